"""The files and folders that a dataset's `path` names."""

from pathlib import Path

from raygrid.errors import UsageError, did_you_mean


def existing(path: str, field: str = "path") -> Path:
    """Return the file or folder.

    Raises:
        UsageError: there is none; the nearest name beside it is offered.
    """
    place = Path(path).expanduser()
    if place.exists():
        return place
    folder = place.parent.absolute()
    if not folder.is_dir():
        raise UsageError(f'{field}: there is no "{path}": the folder "{folder}" does not exist')
    beside = [entry.name for entry in folder.iterdir()]
    raise UsageError(f'{field}: there is no "{path}" in "{folder}"{did_you_mean(place.name, beside)}')


def existing_file(path: str, field: str = "path") -> Path:
    """Return the file. Raises UsageError if there is none."""
    file = existing(path, field)
    if not file.is_file():
        raise UsageError(f'{field}: "{path}" is a folder, not a file')
    return file


def existing_folder(path: str, field: str = "path") -> Path:
    """Return the folder. Raises UsageError if there is none."""
    folder = existing(path, field)
    if not folder.is_dir():
        raise UsageError(f'{field}: "{path}" is a file, not a folder')
    return folder
