"""Weights of TensorFlow.js models, read as data: a JSON manifest says what lies where in one binary file.

The graph in the manifest is not run: nets are written out in torch, with named layers, and take the tensors by their names.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raygrid.assets import fetch_all
from raygrid.errors import UsageError
from raygrid.pins import ASSETS

STORED = {
    "float32": "<f4",
    "float16": "<f2",
    "int32": "<i4",
    "uint16": "<u2",
    "uint8": "u1",
    "bool": "?",
}
"""Types of values in the file."""
DAMAGED = (ValueError, KeyError, TypeError, AttributeError)
"""What reading raises where the manifest is none, or is not the binary file's."""


def pinned_tensors(name: str) -> dict[str, Tensor]:
    """Read the tensors of a pinned model, fetched first if it is not here.

    Raises:
        UsageError: it can't be fetched.
    """
    manifest, weights = fetch_all([ASSETS[f"{name}/manifest"], ASSETS[name]])
    return read_tensors(manifest, weights)


def read_tensors(manifest: Path, weights: Path) -> dict[str, Tensor]:
    """Read the tensors of a model under TensorFlow's names and in its order of axes; quantized ones come as float32.

    Args:
        manifest: `model.json`.
        weights: the file with the values; a model in several files is joined in the order of the manifest first.

    Raises:
        UsageError: one of the files is damaged, or they are not of one model.
    """
    data = weights.read_bytes()
    tensors, at = {}, 0
    try:
        groups = json.loads(manifest.read_bytes())["weightsManifest"]
        for entry in (entry for group in groups for entry in group["weights"]):
            tensors[entry["name"]], at = _tensor(entry, data, at)
    except DAMAGED as error:
        raise UsageError(
            f"weights {weights}: a damaged file, or not the one that {manifest} tells of: {type(error).__name__}: {error}"
        ) from error
    if at != len(data):
        raise UsageError(f"weights {weights}: {manifest} tells of {at:,} bytes, the file has {len(data):,}")
    return tensors


def _tensor(entry: dict[str, Any], data: bytes, at: int) -> tuple[Tensor, int]:
    """Return a tensor and where the next one starts."""
    quantization = entry.get("quantization", {})
    stored = np.dtype(STORED[quantization.get("dtype", entry["dtype"])])
    count = math.prod(entry["shape"])
    values = np.frombuffer(data, stored, count, at).reshape(entry["shape"])
    if quantization:
        values = values.astype(np.float32)
    if "scale" in quantization:
        values = values * np.float32(quantization["scale"]) + np.float32(quantization["min"])
    return torch.from_numpy(values.astype(values.dtype.newbyteorder("="))), at + count * stored.itemsize


def convolution(kernel: Tensor) -> Tensor:
    """Bring a kernel [H, W, in, out] to torch's order of axes, [out, in, H, W]."""
    return kernel.permute(3, 2, 0, 1).contiguous()


def depthwise(kernel: Tensor) -> Tensor:
    """Bring a kernel [H, W, channels, 1] to torch's order of axes, [channels, 1, H, W]."""
    return kernel.permute(2, 3, 0, 1).contiguous()
