"""The canonical frame of a face, and the fixed parts of it that face embedders take.

A canonical frame is RGB, 160 x 160 pixels in [0, 1]. The similarity transform that fits best (Umeyama 1991) has brought the eyes,
the nose and the corners of the mouth to `LANDMARKS`, so that what an embedder takes is the same part of every frame. Coordinates
are those of the centers of pixels: the first is (0, 0).
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

Points = tuple[tuple[float, float], ...]
"""(x, y) of the left eye, the right eye, the nose, the left and the right corner of the mouth, as seen in the image."""

SIDE = 160
"""Height and width of a canonical frame."""
MARGIN = 24
"""Around ArcFace's crop of 112 x 112, which lies in the middle of the frame."""
ARCFACE: Points = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)
"""Where ArcFace (Deng et al., CVPR 2019) puts the landmarks in its crop."""
LANDMARKS: Points = tuple((x + MARGIN, y + MARGIN) for x, y in ARCFACE)
"""Where they are in a canonical frame."""


class Box(NamedTuple):
    """A square part of a frame and its size in pixels after resizing: pixel (i, j) is taken at (left + step j, top + step i)."""

    left: float
    top: float
    step: float
    """Pixels of the frame from one pixel to the next. At most 1: nothing is smoothed."""
    size: int


ARCFACE_BOX = Box(MARGIN, MARGIN, 1.0, 112)


def fitted(template: Points, size: int) -> Box:
    """Return the box of `size` pixels in which the landmarks of a frame come nearest to a template's.

    Args:
        template: where an embedder expects the landmarks in its own crop.
        size: height and width of that crop.

    Returns:
        The least squares over scale and position, measured in the frame. A box is not turned: ArcFace's template, which is not
        symmetric, would ask for a fraction of a degree.
    """
    there, here = torch.tensor(template, dtype=torch.float64), torch.tensor(LANDMARKS, dtype=torch.float64)
    offsets = there - there.mean(0)
    step = float((offsets * (here - here.mean(0))).sum() / offsets.square().sum())
    left, top = (here.mean(0) - step * there.mean(0)).tolist()
    return Box(left, top, step, size)


class Crop(nn.Module):
    """Cut a box out of frames [B, C, 160, 160] and resize it to [B, C, size, size], bilinearly; edge pixels go on outside.

    The result is linear in the frame: two products with fixed matrices, whose gradients are the same in every run on any device.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, box: Box) -> None:
        super().__init__()
        self.box = box
        self.register_buffer("rows", _weights(box.top, box.step, box.size), persistent=False)
        self.register_buffer("columns", _weights(box.left, box.step, box.size).T.contiguous(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Cut and resize. Without resizing, values pass as they are."""
        left, top, step, size = self.box
        if step == 1 and float(left).is_integer() and float(top).is_integer():
            return x[:, :, int(top) : int(top) + size, int(left) : int(left) + size]
        return self.rows @ (x @ self.columns)


def _weights(start: float, step: float, size: int) -> Tensor:
    """Return the weights [size, 160] of linear interpolation at start, start + step, ..."""
    at = (start + step * torch.arange(size, dtype=torch.float64)).clamp(0, SIDE - 1)
    return (1 - (at[:, None] - torch.arange(SIDE)).abs()).clamp_min(0).float()
