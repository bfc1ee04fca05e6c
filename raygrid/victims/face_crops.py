"""The parts of a canonical frame that face embedders take.

In a canonical frame (see `raygrid/data/alignment.py`) every face has its eyes, nose and mouth in the same places, so that what an
embedder takes is the same part of every frame. Coordinates are those of the middles of pixels: the first is (0, 0).
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from raygrid.data.alignment import CROP, MARGIN, SIDE, TEMPLATE

Points = tuple[tuple[float, float], ...]
"""(x, y) of the left eye, the right eye, the nose, the left and the right corner of the mouth, as seen in the image."""


class Box(NamedTuple):
    """A square part of a frame and its size in pixels after resizing: pixel (i, j) is taken at (left + step j, top + step i)."""

    left: float
    top: float
    step: float
    """Pixels of the frame from one pixel to the next."""
    size: int


ARCFACE_BOX = Box(MARGIN, MARGIN, 1.0, CROP)
"""The middle of the frame, untouched."""


def square(left: float, top: float, side: float, size: int) -> Box:
    """Return the box that covers the frame from the edges `left` and `top` on, `side` pixels wide, resized to `size`.

    The edges of pixels count here: 0 is the left edge of the first, 160 the right edge of the last.
    """
    step = side / size
    return Box(left + (step - 1) / 2, top + (step - 1) / 2, step, size)


def fitted(template: Points, size: int) -> Box:
    """Return the box of `size` pixels in which the landmarks of a frame come nearest to a template's.

    Args:
        template: where an embedder expects the landmarks in its own crop.
        size: height and width of that crop.

    Returns:
        The least squares over scale and position, measured in the frame. A box is not turned: ArcFace's template, which is not
        symmetric, would ask for a fraction of a degree.
    """
    there, here = np.array(template), TEMPLATE
    offsets = there - there.mean(0)
    step = float((offsets * (here - here.mean(0))).sum() / np.square(offsets).sum())
    left, top = (here.mean(0) - step * there.mean(0)).tolist()
    return Box(left, top, step, size)


class Crop(nn.Module):
    """Cut a box out of frames [B, C, 160, 160] and resize it to [B, C, size, size], bilinearly, with antialiasing when shrinking.

    Outside of the frame its edge pixels go on. Two products with fixed matrices do it, whose gradient is as plain: torch's own
    resampling adds up gradients on a GPU in an order that differs from run to run.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, box: Box) -> None:
        super().__init__()
        rows, self.height = _weights(box.top, box.step, box.size)
        columns, self.width = _weights(box.left, box.step, box.size)
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("columns", columns.T.contiguous(), persistent=False)
        self.untouched = all(torch.equal(weights, torch.eye(box.size)) for weights in (rows, columns))

    def forward(self, x: Tensor) -> Tensor:
        """Cut and resize."""
        part = x[:, :, self.height, self.width]
        return part if self.untouched else self.rows @ (part @ self.columns)


def _weights(start: float, step: float, size: int) -> tuple[Tensor, slice]:
    """Return the weights [size, n] of interpolation at start, start + step, ... and the n pixels of the frame that have any.

    A weight falls off linearly over one pixel, over a step of more than one.
    """
    at = (start + step * torch.arange(size, dtype=torch.float64)).clamp(0, SIDE - 1)
    weights = (1 - (at[:, None] - torch.arange(SIDE)).abs() / max(step, 1.0)).clamp_min(0)
    used = weights.any(0).nonzero().flatten()
    pixels = slice(int(used[0]), int(used[-1]) + 1)
    return (weights / weights.sum(1, keepdim=True))[:, pixels].float(), pixels
