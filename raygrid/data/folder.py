"""`image-folder`: image files that a person brings, one sub-folder a class."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from raygrid.data.catalog import FolderParams
from raygrid.data.dataset import Dataset, make_table
from raygrid.data.images import open_image, stack, to_pixels
from raygrid.data.labels import interleave
from raygrid.data.paths import existing_folder
from raygrid.errors import UsageError, did_you_mean

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})


def image_folder(params: FolderParams, limit: int | None) -> Dataset:
    """Read the first `limit` files, one of each class in turn. Ids are the paths below the folder: `cat/001.png`.

    Raises:
        UsageError: the folder is missing, has no or other classes, or a file of it cannot be read.
    """
    folder = existing_folder(params.path)
    names = params.class_names or _class_names(folder)
    files, labels = list_files(folder, names)
    order = interleave(labels)[:limit]
    ids = [files[i].relative_to(folder).as_posix() for i in order]
    x = stack([to_pixels(open_image(files[i], str(files[i])), str(files[i]), **params.shaping()) for i in order], ids)
    return Dataset(
        name=f"image-folder:{folder.name}",
        table=make_table(ids, x, labels[order]),
        classes=len(names),
        class_names=tuple(names),
        source=str(folder),
    )


def _class_names(folder: Path) -> tuple[str, ...]:
    names = tuple(sorted(sub_folders(folder)))
    if not names:
        raise UsageError(f'path: "{folder}" has no sub-folders; put the images of each class into one of its own')
    return names


def sub_folders(folder: Path) -> list[str]:
    """Return the names of a folder's sub-folders, without hidden ones."""
    return [entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")]


def list_files(folder: Path, names: Sequence[str]) -> tuple[list[Path], np.ndarray]:
    """Return the image files of every class, sorted, and their labels [N]. A class without a sub-folder has no files."""
    if unknown := sorted(set(sub_folders(folder)) - set(names)):
        hint = did_you_mean(unknown[0], names)
        raise UsageError(f'class_names: the sub-folder "{unknown[0]}" of "{folder}" is not among them{hint}')
    found = [
        (file, label)
        for label, name in enumerate(names)
        for file in sorted((folder / name).rglob("*"))
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
    ]
    return [file for file, _ in found], np.array([label for _, label in found], dtype=np.int64)
