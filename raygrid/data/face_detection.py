"""Where faces are in a photo: MTCNN (Zhang et al., IEEE SPL 2016), three nets in turn, with the weights that facenet-pytorch ships.

A small net looks everywhere at many scales, two larger ones look at what it found, and the last tells the landmarks. The cascade is
raygrid's own; where a square passes the edge of the photo, it is filled up with edge pixels and keeps its shape. The only module of
raygrid.data beside the scripts that imports torch: a dataset imports it only to search photos.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, linear, max_pool2d, prelu
from torchvision.ops import box_iou, nms

from raygrid.assets import fetch_all
from raygrid.data.alignment import LANDMARKS, TEMPLATE, coarser
from raygrid.data.pins import MTCNN

Weights = Mapping[str, Tensor]

WINDOW = 12
"""Pixels of the square that the first net looks at: the smallest face, at the finest scale."""
STRIDE = 2
"""Pixels between two squares of the first net."""
SMALLEST = 20
"""Pixels of the smallest face that is looked for, or `SHARE` of the photo's longer side where that is more."""
SHARE = 1 / 24
LONGEST = 1000
"""Pixels to which the longer side of a larger photo is brought, by averaging whole blocks: what the search costs stays bounded."""
FACTOR = 0.709
"""From one scale to the next: half the area."""
SURE = (0.6, 0.7, 0.7)
"""Probability above which each net says that there is a face, as published."""
SIDES = (24, 48)
"""Pixels to which the second and the third net's squares are resized."""
SAME_SCALE, SAME_FACE = 0.5, 0.7
"""Overlaps (intersection over union, for the last net over the smaller square) from which two squares are one face."""

CERTAIN = 0.9
"""Confidence from which something is taken for a face. The least certain face of `orl-faces` has 0.98."""
DECIMALS = 1
"""Places are told to a tenth of a pixel: sums of another order, on another machine, then seldom change a frame. When a face of
`orl-faces` is looked for again in its frame, its landmarks are 0.9 pixels away in the mean."""


@dataclass(frozen=True)
class Face:
    """A face in a photo. Points are (right, down) in pixels; the middle of the first pixel is (0, 0)."""

    landmarks: np.ndarray
    """Left eye, right eye, nose, left and right corner of the mouth, as seen in the photo: float64 [5, 2]."""
    box: np.ndarray
    """Left, upper, right, lower edge: float64 [4]."""
    confidence: float
    """Probability that the last net gives it."""

    @property
    def size(self) -> float:
        """Area of the box in pixels."""
        left, top, right, bottom = self.box
        return float((right - left) * (bottom - top))


@dataclass(frozen=True)
class Nets:
    """The weights of the three nets."""

    proposal: Weights
    refinement: Weights
    output: Weights


def load_nets() -> Nets:
    """Return the three nets, fetched first if need be."""
    return Nets(*(torch.load(file, map_location="cpu", weights_only=True) for file in fetch_all(MTCNN)))


@torch.no_grad()
def find_faces(nets: Nets, photo: np.ndarray) -> list[Face]:
    """Return the faces of a photo, uint8 [C, H, W] gray or RGB, the largest first."""
    blocks = ceil(max(photo.shape[1:]) / LONGEST)
    x = torch.from_numpy(coarser(photo, blocks).astype(np.float32)).expand(3, -1, -1)
    boxes = _proposed(nets.proposal, x)
    sure, shift = refine(nets.refinement, _squares(x, boxes, SIDES[0]))
    boxes, sure, shift = (values[sure > SURE[1]] for values in (boxes, sure, shift))
    boxes, sure, shift = (values[nms(boxes, sure, SAME_FACE)] for values in (boxes, sure, shift))
    boxes = _square(_shifted(boxes, shift))
    sure, shift, points = locate(nets.output, _squares(x, boxes, SIDES[1]))
    boxes, sure, shift, points = (values[sure > SURE[2]] for values in (boxes, sure, shift, points))
    corner, sides = boxes[:, None, :2], _sides(boxes)[:, None]
    points = corner + points * sides
    boxes = _shifted(boxes, shift)
    kept = _apart(boxes, sure)
    faces = [
        Face(_places(p, blocks), _places(b, blocks), float(s))
        for p, b, s in zip(points[kept], boxes[kept], sure[kept], strict=True)
    ]
    return sorted(faces, key=lambda face: -face.size)


def find_in_frame(nets: Nets, frame: np.ndarray) -> bool:
    """Return whether the face of a canonical frame, uint8 [3, 160, 160], is found: a certain one around where its nose belongs."""
    nose = TEMPLATE[LANDMARKS.index("nose")]
    around = (
        (face.box[:2] <= nose).all() and (nose <= face.box[2:]).all()
        for face in find_faces(nets, frame)
        if face.confidence >= CERTAIN
    )
    return any(around)


def _places(x: Tensor, blocks: int) -> np.ndarray:
    """Go from edges of pixels to their middles, and from a photo averaged over blocks to the whole."""
    return np.asarray((x.double().numpy() * blocks - 0.5).round(DECIMALS))


# The nets. Inputs are pixels 0..255


def propose(w: Weights, x: Tensor) -> tuple[Tensor, Tensor]:
    """Look at all squares of 12 x 12 pixels of x [B, 3, H, W]: is it a face [B, h, w], how far off its edges are [B, 4, h, w]."""
    x = max_pool2d(_conv(w, 1, _normalized(x)), 2, ceil_mode=True)
    x = _conv(w, 3, _conv(w, 2, x))
    return (
        conv2d(x, w["conv4_1.weight"], w["conv4_1.bias"]).softmax(1)[:, 1],
        conv2d(x, w["conv4_2.weight"], w["conv4_2.bias"]),
    )


def refine(w: Weights, x: Tensor) -> tuple[Tensor, Tensor]:
    """Look at squares x [B, 3, 24, 24]: is it a face [B], and how far off its edges are [B, 4], in sides of the square."""
    x = max_pool2d(_conv(w, 1, _normalized(x)), 3, 2, ceil_mode=True)
    x = _conv(w, 3, max_pool2d(_conv(w, 2, x), 3, 2, ceil_mode=True))
    x = prelu(_dense(w, "4", _columns_first(x)), w["prelu4.weight"])
    return _dense(w, "5_1", x).softmax(1)[:, 1], _dense(w, "5_2", x)


def locate(w: Weights, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Look at squares x [B, 3, 48, 48]: as `refine`, and where the landmarks are [B, 5, 2], from 0 to 1 across the square."""
    x = max_pool2d(_conv(w, 1, _normalized(x)), 3, 2, ceil_mode=True)
    x = max_pool2d(_conv(w, 2, x), 3, 2, ceil_mode=True)
    x = _conv(w, 4, max_pool2d(_conv(w, 3, x), 2, ceil_mode=True))
    x = prelu(_dense(w, "5", _columns_first(x)), w["prelu5.weight"])
    points = _dense(w, "6_3", x).view(-1, 2, 5).transpose(1, 2)
    return _dense(w, "6_1", x).softmax(1)[:, 1], _dense(w, "6_2", x), points


def _normalized(x: Tensor) -> Tensor:
    return (x - 127.5) / 128


def _conv(w: Weights, layer: int, x: Tensor) -> Tensor:
    return prelu(conv2d(x, w[f"conv{layer}.weight"], w[f"conv{layer}.bias"]), w[f"prelu{layer}.weight"])


def _dense(w: Weights, layer: str, x: Tensor) -> Tensor:
    return linear(x, w[f"dense{layer}.weight"], w[f"dense{layer}.bias"])


def _columns_first(x: Tensor) -> Tensor:
    """Flatten maps as the nets were trained: by column, then row, then channel."""
    return x.permute(0, 3, 2, 1).flatten(1)


# Squares of the photo: left, upper, right, lower edge in pixels, the upper left corner of the photo being (0, 0)


def _proposed(w: Weights, x: Tensor) -> Tensor:
    """Return the squares [N, 4] of a photo [3, H, W] in which the first net sees faces."""
    height, width = x.shape[1:]
    smallest = max(SMALLEST, SHARE * max(height, width))
    found = [torch.empty(0, 9)]
    scale = WINDOW / smallest
    while min(height, width) * scale >= WINDOW:
        found.append(_proposed_at(w, x, round(height * scale), round(width * scale)))
        scale *= FACTOR
    together = torch.cat(found)
    boxes, sure, shift = together[:, :4], together[:, 4], together[:, 5:]
    kept = nms(boxes, sure, SAME_FACE)
    return _square(_shifted(boxes[kept], shift[kept]))


def _proposed_at(w: Weights, x: Tensor, height: int, width: int) -> Tensor:
    """Look at a photo resized: squares in pixels of the photo, probabilities and shifts, [N, 4 + 1 + 4]."""
    sure, shift = propose(w, _resized(x, height, width)[None])
    row, column = (sure[0] > SURE[0]).nonzero(as_tuple=True)
    corner = STRIDE * torch.stack([column, row], 1)
    ratio = torch.tensor([x.shape[2] / width, x.shape[1] / height]).repeat(2)
    boxes = torch.cat([corner, corner + WINDOW], 1) * ratio
    found = torch.cat([boxes, sure[0, row, column, None], shift[0, :, row, column].T], 1)
    return found[nms(boxes, found[:, 4], SAME_SCALE)]


def _resized(x: Tensor, height: int, width: int) -> Tensor:
    return interpolate(x[None], (height, width), mode="bilinear", antialias=True, align_corners=False)[0]


def _squares(x: Tensor, boxes: Tensor, side: int) -> Tensor:
    """Cut squares [N, 4] out of a photo, resized to [N, 3, side, side]. Edge pixels go on outside."""
    cuts = []
    for left, top, right, bottom in boxes.round().long().tolist():
        rows = torch.arange(top, max(bottom, top + 1)).clamp(0, x.shape[1] - 1)
        columns = torch.arange(left, max(right, left + 1)).clamp(0, x.shape[2] - 1)
        cuts.append(_resized(x[:, rows[:, None], columns], side, side))
    return torch.stack(cuts) if cuts else x.new_empty(0, 3, side, side)


def _sides(boxes: Tensor) -> Tensor:
    return boxes[:, 2:] - boxes[:, :2]


def _shifted(boxes: Tensor, shift: Tensor) -> Tensor:
    """Move the edges of boxes [N, 4] by shares of their sides."""
    return boxes + shift * _sides(boxes).repeat(1, 2)


def _square(boxes: Tensor) -> Tensor:
    """Make boxes square, around the same middle, on whole pixels."""
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    side = _sides(boxes).amax(1, keepdim=True).round()
    corner = (middle - side / 2).round()
    return torch.cat([corner, corner + side], 1)


def _apart(boxes: Tensor, sure: Tensor) -> list[int]:
    """Return the places of the surest boxes, of which none holds another: overlap is measured over the smaller."""
    area = _sides(boxes).prod(1)
    iou = box_iou(boxes, boxes)
    shared = iou / (1 + iou) * (area + area[:, None])
    over_smaller = shared / torch.minimum(area, area[:, None])
    kept: list[int] = []
    for place in sure.argsort(descending=True, stable=True).tolist():
        if all(over_smaller[place, other] <= SAME_FACE for other in kept):
            kept.append(place)
    return kept
