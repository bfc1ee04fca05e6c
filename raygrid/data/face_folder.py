"""`face-folder`: photos of faces that a person brings, one sub-folder a person, seen in canonical frames.

Imports the nets that find faces, and torch with them, when there are photos to search.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ImageOps

from raygrid.data.alignment import CROP, MARGIN, SIDE, frame
from raygrid.data.catalog import FACE_FOLDER, FaceFolderParams, FrameParams
from raygrid.data.dataset import Dataset
from raygrid.data.faces import Placed, frames_table, photos_table
from raygrid.data.folder import list_files, sub_folders
from raygrid.data.images import open_image, to_pixels
from raygrid.data.labels import interleave
from raygrid.data.paths import existing_folder
from raygrid.errors import UsageError

RIVAL = 0.25
"""Area of a face's box, as a share of the largest's, from which it may be the one that is meant."""
NAMED = 10
"""Photos or people that one message names."""


class Trouble(NamedTuple):
    """Why a photo gives no frame."""

    field: str
    """The parameter that has to do with it, in `ADVICE`."""
    detail: str = ""


NO_FACE = Trouble("no_face")
ADVICE = {
    "no_face": "no face is found in {}; replace them, or state `no_face: skip` to leave them out",
    "several_faces": (
        "there is more than one face in {}; cut them to the person's own, or state `several_faces: largest` to take the largest"
    ),
    "aligned": (
        f"canonical frames have {SIDE} x {SIDE} pixels and ArcFace's crops {CROP} x {CROP}, unlike {{}}; "
        "state `aligned: false` to have the faces found"
    ),
}

Look = Callable[[np.ndarray], np.ndarray | Trouble]
"""Makes a canonical frame [3, 160, 160] out of a photo [3, H, W], if it can."""
Seen = Mapping[str, np.ndarray | Trouble | UsageError]
"""What became of photos, by their names; an error where one cannot be read."""


def face_folder(params: FaceFolderParams, limit: int | None) -> Dataset:
    """Read the first `limit` photos, one of each person in turn. Ids are the paths below the folder: `ann/1.jpg`.

    Labels count the people in the sorted order of their names. Metadata: `person`.

    Raises:
        UsageError: the folder is missing or holds no people; photos cannot be read or do not show one face; people have too few
            photos. Photos and people are named; parameters say what else may happen to them.
    """
    folder = existing_folder(params.path)
    files, people = _listed(folder, params)
    if params.perturb == "photo":
        placed, skipped = photos_of(files, params, limit)
        table = photos_table(placed, people)
    else:
        frames, skipped = frames_of(files, params, limit)
        table = frames_table(frames, people)
    return Dataset(
        name=f"face-folder:{folder.name}",
        table=table,
        classes=len(people),
        class_names=people,
        source=str(folder) if params.aligned else f"{folder}; {FACE_FOLDER.source}",
        people=(params.known, params.judged),
        notes=left_out(skipped),
    )


def frames_of(
    files: Mapping[str, Path], params: FrameParams, limit: int | None = None
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the canonical frames of the first `limit` photos, by their names, and the photos that are left out.

    Raises:
        UsageError: photos cannot be read or do not show one face, and are not to be left out.
    """
    look = _in_place if params.aligned else _finder(params.several_faces == "largest")
    seen, skipped = _seen(files, look, params, limit)
    return {name: what for name, what in seen.items() if isinstance(what, np.ndarray)}, skipped


def photos_of(
    files: Mapping[str, Path], params: FrameParams, limit: int | None = None
) -> tuple[dict[str, Placed], list[str]]:
    """Return the first `limit` photos as they are, with the landmarks of their faces, and those that are left out.

    Raises:
        UsageError: as `frames_of`; or they have more than one size, or are frames already.
    """
    if params.aligned:
        raise UsageError("perturb: `aligned: true` says that the photos are frames already; say perturb: frame")
    landmarks: dict[bytes, np.ndarray] = {}
    place = _placing(params.several_faces == "largest")

    def look(photo: np.ndarray) -> np.ndarray | Trouble:
        found = place(photo)
        if isinstance(found, Trouble):
            return found
        landmarks[found.photo.tobytes()] = found.landmarks
        return found.photo

    seen, skipped = _seen(files, look, params, limit)
    photos = {name: what for name, what in seen.items() if isinstance(what, np.ndarray)}
    sizes: dict[tuple[int, ...], str] = {}
    for name, photo in photos.items():
        sizes.setdefault(photo.shape, f"{photo.shape[2]} x {photo.shape[1]} ({name})")
    if len(sizes) > 1:
        raise UsageError(
            f"perturb: photos that are attacked themselves must have one size, and these have {len(sizes)}: "
            f"{first_of(list(sizes.values()))}; bring them to one, or say perturb: frame"
        )
    return {name: Placed(photo, landmarks[photo.tobytes()]) for name, photo in photos.items()}, skipped


def _seen(files: Mapping[str, Path], look: Look, params: FrameParams, limit: int | None) -> tuple[Seen, list[str]]:
    """Look at the first `limit` photos. Returns what became of them, and which are left out."""
    seen = _look_at(files, look, limit, params.no_face == "skip")
    skipped = [name for name, what in seen.items() if what is NO_FACE] if params.no_face == "skip" else []
    if messages := list(_complaints({name: what for name, what in seen.items() if name not in skipped})):
        raise UsageError(*messages)
    return seen, skipped


def left_out(skipped: Sequence[str]) -> str:
    """Say which photos are left out."""
    return f"Left out, since no face is found in them: {first_of(skipped)}." if skipped else ""


def _listed(folder: Path, params: FaceFolderParams) -> tuple[dict[str, Path], tuple[str, ...]]:
    """Return the image files by their paths below the folder, one of each person in turn, and the people that count."""
    people = sorted(sub_folders(folder))
    if not people:
        raise UsageError(f'path: "{folder}" has no sub-folders; put the photos of each person into one of its own')
    files, who = list_files(folder, people)
    counts = np.bincount(who, minlength=len(people))
    needed = params.known + params.judged + 1
    few = [f"{person} ({count})" for person, count in zip(people, counts, strict=True) if count < needed]
    if few and params.few_photos == "refuse":
        raise UsageError(
            f"few_photos: fewer than {needed} image files of {first_of(few)}: one to attack with, {params.known} that an attacker "
            f"may have and {params.judged} that judge. Add photos, say a smaller `known` or `judged`, or state `few_photos: skip` "
            "to leave these people out"
        )
    enough = counts >= needed
    return (
        {files[i].relative_to(folder).as_posix(): files[i] for i in interleave(who) if enough[who[i]]},
        tuple(person for person, stays in zip(people, enough, strict=True) if stays),
    )


def _look_at(files: Mapping[str, Path], look: Look, limit: int | None, skip: bool) -> Seen:
    """Look at the first `limit` photos; those without a face do not count where they are skipped."""
    seen: dict[str, np.ndarray | Trouble | UsageError] = {}
    skipped = 0
    for name, file in files.items():
        if len(seen) - skipped == limit:
            break
        try:
            # Cameras write down how they were held, and store the photo as it came.
            seen[name] = look(to_pixels(ImageOps.exif_transpose(open_image(file, str(file))), str(file)))
        except UsageError as error:
            seen[name] = error
        skipped += skip and seen[name] is NO_FACE
    return seen


def _in_place(photo: np.ndarray) -> np.ndarray | Trouble:
    """Take a canonical frame as it is, and ArcFace's crop as the middle of one."""
    height, width = photo.shape[1:]
    if (height, width) == (CROP, CROP):
        return np.pad(photo, ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)), mode="edge")
    return photo if (height, width) == (SIDE, SIDE) else Trouble("aligned", f" ({width} x {height})")


def _finder(largest: bool) -> Look:
    """Return what looks for the face and makes the frame."""
    place = _placing(largest)

    def look(photo: np.ndarray) -> np.ndarray | Trouble:
        found = place(photo)
        return found if isinstance(found, Trouble) else frame(*found)

    return look


def _placing(largest: bool) -> Callable[[np.ndarray], Placed | Trouble]:
    """Return what looks for the face; the largest of several, or else only where there is one."""
    from raygrid.data.face_detection import CERTAIN, find_faces, load_nets

    nets = load_nets()

    def place(photo: np.ndarray) -> Placed | Trouble:
        faces = [face for face in find_faces(nets, photo) if face.confidence >= CERTAIN]
        if not faces:
            return NO_FACE
        rivals = [face for face in faces if face.size >= RIVAL * faces[0].size]
        if len(rivals) > 1 and not largest:
            return Trouble("several_faces", f" ({len(rivals)})")
        return Placed(photo, faces[0].landmarks)

    return place


def _complaints(seen: Seen) -> Iterator[str]:
    """Say what is wrong: with photos that cannot be read one by one, with others by what it is."""
    unreadable = [message for what in seen.values() if isinstance(what, UsageError) for message in what.messages]
    yield from unreadable[:NAMED]
    if len(unreadable) > NAMED:
        yield f"{len(unreadable) - NAMED} more photos cannot be read"
    first: dict[bytes, str] = {}
    for name, what in seen.items():
        if isinstance(what, np.ndarray) and (same := first.setdefault(what.tobytes(), name)) != name:
            yield f"{name} is the same photo as {same}; remove one of them: no attack is judged on photos that it has seen"
    for field, advice in ADVICE.items():
        named = [name + what.detail for name, what in seen.items() if isinstance(what, Trouble) and what.field == field]
        if named:
            yield f"{field}: {advice.format(first_of(named))}"


def first_of(names: Sequence[str]) -> str:
    """Name the first few."""
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
