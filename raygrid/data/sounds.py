"""Data whose sounds have names: `named-sounds`, out of packages, and `sound-folder`, which a person brings."""

from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from raygrid.assets import fetch_all
from raygrid.audioset import class_names, label_of
from raygrid.data.audio import Recording, read_recording, repeated, to_table
from raygrid.data.audio_folder import audio_files
from raygrid.data.catalog_audio import NAMED_SOUNDS, SoundFolderParams, SoundParams
from raygrid.data.dataset import Dataset
from raygrid.data.folder import sub_folders
from raygrid.data.labels import interleave
from raygrid.data.paths import existing_folder
from raygrid.data.pins_sounds import MEANT, NAMED
from raygrid.errors import UsageError

NOTES = (
    "Labels are what the files are called, which no model had a say in. Of one sound several classes of AudioSet are true, and of "
    "short recordings not even people are always sure: a clean answer other than the label is often no mistake."
)


def named_sounds(params: SoundParams, limit: int | None) -> Dataset:
    """Return the first `limit` of 79 recordings, one of each class in turn. Metadata: `sound`, the class."""
    labels = [label_of(MEANT[asset.name], params.classes, asset.name) for asset in NAMED]
    order = interleave(np.array(labels))[:limit]
    chosen = [NAMED[i] for i in order]
    recordings = [
        read_recording(file, asset.name, rate=params.rate, mix=True, id=str(PurePosixPath(asset.name).with_suffix("")))
        for asset, file in zip(chosen, fetch_all(chosen), strict=True)
    ]
    meant = [MEANT[asset.name] for asset in chosen]
    return _dataset(
        NAMED_SOUNDS.name, recordings, [labels[i] for i in order], meant, params, NAMED_SOUNDS.license, NOTES
    )


def sound_folder(params: SoundFolderParams, limit: int | None) -> Dataset:
    """Read the first `limit` files, one of each class in turn. Ids are the paths below the folder: `Dog/rex.wav`.

    Raises:
        UsageError: the folder is missing, has no or other classes, or a file of it cannot be used.
    """
    folder = existing_folder(params.path)
    if not (classes := sorted(sub_folders(folder))):
        raise UsageError(f'path: "{folder}" has no sub-folders; put the sounds of each class into one of its own')
    places = {name: label_of(name, params.classes, f'path: sub-folder "{name}"') for name in classes}
    found = [(file, name) for name in classes for file in audio_files(folder / name)]
    chosen = [found[i] for i in interleave([name for _, name in found])[:limit]]
    recordings = [
        read_recording(file, str(file), rate=params.rate, mix=params.mix, id=file.relative_to(folder).as_posix())
        for file, _ in chosen
    ]
    meant = [name for _, name in chosen]
    labels = [places[name] for name in meant]
    return _dataset(f"sound-folder:{folder.name}", recordings, labels, meant, params, source=str(folder))


def _dataset(
    name: str,
    recordings: Sequence[Recording],
    labels: Sequence[int],
    meant: Sequence[str],
    params: SoundParams,
    terms: str = "",
    notes: str = "",
    source: str = NAMED_SOUNDS.source,
) -> Dataset:
    if params.short == "repeat":
        recordings = [repeated(recording, round(params.seconds * params.rate)) for recording in recordings]
    names = class_names(params.classes)
    return Dataset(
        name=name,
        table=to_table(recordings, params, labels, sound=meant),
        classes=len(names),
        class_names=names,
        license=terms,
        source=source,
        notes=notes,
        extra={"sample_rate": params.rate},
    )
