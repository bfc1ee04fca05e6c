"""`npz`: arrays x, y that a person brings in a NumPy archive."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from raygrid.data.catalog import NpzParams
from raygrid.data.dataset import Dataset, make_table
from raygrid.data.images import channels_first
from raygrid.data.labels import count_classes, integer_labels
from raygrid.data.paths import existing_file
from raygrid.errors import UsageError, did_you_mean


def npz(params: NpzParams, limit: int | None) -> Dataset:
    """Read the first `limit` samples in the order of the file. Ids are the `ids` array, else the row.

    Raises:
        UsageError: the file is missing or no archive of plain arrays, or its arrays are not images and labels.
    """
    file = existing_file(params.path)
    arrays = _read(file, ("x", "y"), ("ids",))
    labels = integer_labels(arrays["y"], f'array "y" of {file}')
    lengths = {name: array.shape[0] if array.ndim else 0 for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise UsageError(f"path: the arrays of {file} differ in length: {lengths}; each needs one entry a sample")
    x = channels_first(arrays["x"][:limit], params.layout, f'array "x" of {file}')
    ids = [str(value) for value in arrays.get("ids", np.arange(len(labels)))[:limit]]
    return Dataset(
        name=f"npz:{file.stem}",
        table=make_table(ids, x, labels[:limit]),
        classes=count_classes(int(labels.max(initial=-1)), params.classes, params.class_names),
        classes_stated=bool(params.classes or params.class_names),
        class_names=params.class_names,
        source=str(file),
    )


def _read(file: Path, needed: tuple[str, ...], optional: tuple[str, ...]) -> dict[str, np.ndarray]:
    try:
        archive = np.load(file, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise UsageError(f"path: {file} holds one array; save images and labels together: np.savez(path, x=x, y=y)")
        with archive:
            for name in needed:
                if name not in archive.files:
                    raise UsageError(
                        f'path: {file} has no array "{name}" (it has {", ".join(archive.files) or "none"})'
                        f"{did_you_mean(name, archive.files)}; save them with np.savez(path, x=images, y=labels)"
                    )
            return {name: archive[name] for name in (*needed, *optional) if name in archive.files}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError) as error:
        reason = "arrays of Python objects are refused" if "allow_pickle" in str(error) else str(error)
        raise UsageError(f"path: {file} is not a .npz archive of plain arrays ({reason})") from error
