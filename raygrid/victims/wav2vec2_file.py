"""What a recognizer of torchaudio is that somebody brings in a file, and whether it can be that file. Imports no torch: what only
its tensors tell is seen when the victim is built, before any unit runs."""

import zipfile
from dataclasses import replace
from pathlib import Path

from raygrid.assets import is_markup
from raygrid.errors import UsageError
from raygrid.victims.bring_inputs import file_sha256
from raygrid.victims.catalog_speech import BUNDLES, WAV2VEC2, Wav2Vec2Params
from raygrid.victims.info import VictimInfo

NAMES = ("feature_extractor.conv_layers.0.conv.weight", "aux.weight")
"""Tensors of every such model: its first layer, and the one that writes letters, which untaught models lack."""
MOST_NAMES = 1 << 24
"""Bytes of a checkpoint's list of tensors that are looked through; a real one has 40 kB."""


def identify(params: Wav2Vec2Params, id: str) -> VictimInfo:  # noqa: A002 - the registry's signature
    """Say what the victim is: the bundle's architecture, and the weights by their sha256.

    Raises:
        UsageError: no such file, a wrong sha256, or a file that can't be the bundle's.
    """
    path = Path(params.path)
    if why := _why_not(path):
        raise UsageError(
            f'victim "{id}": path: {path} {why}; where there is a network, '
            f'`python -c "import torchaudio; torchaudio.pipelines.{params.bundle}.get_model()"` leaves {BUNDLES[params.bundle]} '
            "in torch's hub cache (torch.hub.get_dir()/checkpoints); every host must find it at this path"
        )
    digest = file_sha256(id, "path", params.path, params.sha256)
    return replace(WAV2VEC2, id=id, arch=f"torchaudio.{params.bundle}", weights_sha256=digest)


def _why_not(path: Path) -> str:
    """Say why a file is no checkpoint of a bundle; empty where it may be one."""
    if not path.is_file():
        return "is no file on this machine"
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        return "is empty"
    if is_markup(head):
        return "is a web page saved as weights"
    if head.startswith(b"PK"):
        return _why_not_archive(path)
    # What is left is a checkpoint of before 2020, whose tensors are listed nowhere.
    return "" if head.startswith(b"\x80") else "is no checkpoint of PyTorch, or a damaged one"


def _why_not_archive(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            (listed,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
            with archive.open(listed) as file:
                names = file.read(MOST_NAMES)
    except (zipfile.BadZipFile, ValueError):
        return "is truncated or damaged, or no checkpoint of PyTorch"
    missing = [name for name in NAMES if name.encode() not in names]
    return f"has no tensor {missing[0]}, so is not of a bundle that writes text" if missing else ""
