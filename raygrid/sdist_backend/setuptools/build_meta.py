"""A build back end that builds nothing: it answers pip with the metadata that the sdist carries, and runs no code of it.

pip downloads an sdist only after asking its build back end for the name and the version, and the usual one runs setup.py for that.
pip calls this one in the folder of the unpacked sdist (PEP 517, and `__legacy__` where there is no pyproject.toml).
"""

import shutil
from email import message_from_bytes
from pathlib import Path
from types import SimpleNamespace


def prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: object = None) -> str:
    """Put the sdist's own metadata where pip reads them; return the name of their folder."""
    said = message_from_bytes(Path("PKG-INFO").read_bytes())
    name = f"{said['Name'].replace('-', '_')}-{said['Version']}.dist-info"
    place = Path(metadata_directory, name)
    place.mkdir()
    shutil.copyfile("PKG-INFO", place / "METADATA")
    return name


__legacy__ = SimpleNamespace(prepare_metadata_for_build_wheel=prepare_metadata_for_build_wheel)
