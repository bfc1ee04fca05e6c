"""Safe loading of weights: only tensors come out of a file, and what is wrong with a file is said in one message."""

from pathlib import Path
from typing import NoReturn

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from raygrid.assets import is_markup, sha256_of
from raygrid.errors import UsageError

WRAPPERS = ("state_dict", "model")
"""Top-level keys under which training scripts keep the tensors, beside an epoch or an optimizer."""
NAMED = 5
"""How many names of a mismatch are told."""

FOREIGN = (
    (b"version https://git-lfs", "a git-lfs pointer instead of the weights; run `git lfs pull` where it came from"),
    (b"\x89HDF", "an HDF5 (Keras) file; convert it to safetensors"),
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
)
"""First bytes of files often mistaken for PyTorch weights, and what to do about each."""


def weights_file(arch: str) -> Path:
    """Return where the weights of `architecture.tag` stand in the package."""
    return Path(__file__).parent / "weights" / f"{arch}.safetensors"


def load_tensors(path: Path, sha256: str | None) -> dict[str, Tensor]:
    """Read named tensors, on the CPU, from a safetensors file or a PyTorch checkpoint; no code in the file is run.

    Args:
        path: the file; its format is told by its first bytes. A checkpoint is a mapping from names to tensors, or holds
            one under `state_dict` or `model`.
        sha256: what the file must hash to, checked before it is parsed; None to take it as it is.

    Raises:
        UsageError: the file is missing, is not the pinned one, or holds something else.
    """
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise UsageError(f"cannot read weights {path}: {error.strerror}") from error
    if not head:
        _refuse(path, "empty; download it again")
    if is_markup(head):
        _refuse(path, "a web page saved as weights; download the file itself, not the page that links to it")
    for magic, what in FOREIGN:
        if head.startswith(magic):
            _refuse(path, what)
    if sha256 is not None and (found := sha256_of(path)) != sha256:
        _refuse(path, f"not the pinned file: expected sha256 {sha256}, got {found}")
    if head[8:9] == b"{":  # after the eight bytes of the header's length
        return _load_safetensors(path)
    return _load_checkpoint(path)


def load_into(model: nn.Module, tensors: dict[str, Tensor], name: str) -> None:
    """Copy the tensors into the model: every name and every shape must match.

    Raises:
        UsageError: they do not; the first few of each kind are named, after `name`, the victim's.
    """
    wanted = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    given = {key: tuple(value.shape) for key, value in tensors.items()}
    complaints = {
        "missing": [key for key in wanted if key not in given],
        "unexpected": [key for key in given if key not in wanted],
        "of another shape": [
            f"{key} {given[key]} instead of {shape}" for key, shape in wanted.items() if given.get(key, shape) != shape
        ],
    }
    if any(complaints.values()):
        told = "; ".join(f"{len(names)} {kind}: {_first(names)}" for kind, names in complaints.items() if names)
        raise UsageError(
            f'the weights do not fit victim "{name}": {told}. They were probably saved from another architecture, '
            "from another number of classes, or from inside a wrapper that prefixes every name"
        )
    model.load_state_dict(tensors)


def _first(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")


def _refuse(path: Path, what: str) -> NoReturn:
    raise UsageError(f"weights {path}: this is {what}")


def _load_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except SafetensorError as error:
        raise UsageError(f"weights {path}: truncated or damaged safetensors ({error}); download it again") from error


def _load_checkpoint(path: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # an unpickler fails with whatever the bytes lead it to
        raise UsageError(
            f"weights {path}: a truncated or damaged checkpoint, or one that holds more than tensors, which raygrid "
            f"does not unpickle ({_gist(error)}). Save it with safetensors.torch.save_file(model.state_dict(), PATH)"
        ) from error
    if isinstance(content, dict):
        for key in WRAPPERS:
            if isinstance(content.get(key), dict):
                content = content[key]
                break
    if not (isinstance(content, dict) and content and all(map(_is_named_tensor, content.items()))):
        _refuse(path, f"no mapping from names to tensors but {_describe(content)}; save model.state_dict()")
    return dict(content)


def _is_named_tensor(item: tuple[object, object]) -> bool:
    return isinstance(item[0], str) and isinstance(item[1], Tensor)


def _describe(content: object) -> str:
    if not isinstance(content, dict):
        return f"a {type(content).__name__}"
    kinds = [f"{key!r} ({type(value).__name__})" for key, value in content.items() if not isinstance(value, Tensor)]
    return f"a mapping that holds {_first(kinds) or 'nothing'}"


def _gist(error: Exception) -> str:
    """Return the first sentence of an error; torch's go on for paragraphs, and advise what is not safe."""
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0].split('. ')[0] if str(error).strip() else ''}"
