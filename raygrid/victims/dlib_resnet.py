"""dlib's face embedder, a ResNet of 29 layers (King, 2017), its weights read as data out of dlib's own file format."""

from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pad

from raygrid.assets import fetch
from raygrid.component import Params
from raygrid.errors import UsageError
from raygrid.pins import ASSETS
from raygrid.victims.face_crops import Crop, Points, fitted
from raygrid.victims.info import VictimInfo
from raygrid.victims.loading import load_into
from raygrid.victims.mean import Mean
from raygrid.victims.victim import Victim

CHIP = 150
"""Height and width of the crop that the net was trained on, dlib's "face chip"."""
PADDING = 0.25
"""Of a chip: this part of the face's size on each side."""

EYES = (
    (0.121737, 0.187122, 0.265825, 0.334606, 0.260918, 0.182743),
    (0.645647, 0.714428, 0.793132, 0.858516, 0.79751, 0.719335),
)
"""x of the six points of each eye in dlib's mean face (`get_face_chip_details`, the average positions of face points 17-67)."""
EYES_Y = (0.216423, 0.178758, 0.179852, 0.231733, 0.245099, 0.244077)
"""y of the points of an eye."""
NOSE = (0.490127, 0.515625)
"""The tip: point 30."""
MOUTH = ((0.254149, 0.780233), (0.726104, 0.780233))
"""The corners: points 48 and 54."""


class Stage(NamedTuple):
    """A residual block."""

    channels: int
    out: int
    halves: bool


STAGES = (
    *(Stage(32, 32, False),) * 3,
    Stage(32, 64, True),
    *(Stage(64, 64, False),) * 3,
    Stage(64, 128, True),
    *(Stage(128, 128, False),) * 2,
    Stage(128, 256, True),
    *(Stage(256, 256, False),) * 2,
    Stage(256, 256, True),
)
STEM = 32
OUT = 128


def build(params: Params, info: VictimInfo) -> Victim:
    """Build the net with its weights."""
    model = dlib_resnet()
    load_into(model, read_dat(fetch(ASSETS["dlib-resnet"])), info.id)
    return Victim(model, info)


def chip_landmarks() -> Points:
    """Return where dlib's mean face has its landmarks in a chip.

    dlib fits more points than five: the middle of an eye is the mean of its six.
    """
    y = sum(EYES_Y) / len(EYES_Y)
    eyes = [(sum(xs) / len(xs), y) for xs in EYES]
    return tuple((_in_chip(x), _in_chip(y)) for x, y in (*eyes, NOSE, *MOUTH))


def _in_chip(share: float) -> float:
    return CHIP * (PADDING + share) / (1 + 2 * PADDING)


def dlib_resnet() -> nn.Sequential:
    """Return the untrained net, in named stages: crop, conv0, relu0, pool0, block1, relu1, ..., relu14, mean, embedding.

    It takes (255 x - average) / 256 for frames x in [0, 1], shape [B, 3, 160, 160], and returns embeddings [B, 128], to be compared
    by their Euclidean distance.
    """
    stages: OrderedDict[str, nn.Module] = OrderedDict(
        crop=Crop(fitted(chip_landmarks(), CHIP)),
        conv0=nn.Conv2d(3, STEM, 7, stride=2),
        relu0=nn.ReLU(),
        pool0=nn.MaxPool2d(3, stride=2),
    )
    for number, stage in enumerate(STAGES, 1):
        stages[f"block{number}"] = Block(*stage)
        stages[f"relu{number}"] = nn.ReLU()
    stages["mean"] = Mean()
    stages["embedding"] = nn.Linear(STAGES[-1].out, OUT, bias=False)
    return nn.Sequential(stages)


class Block(nn.Module):
    """Two convolutions and what goes around them, added; the ReLU behind the sum is a stage of its own."""

    def __init__(self, channels: int, out: int, halves: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride=2 if halves else 1, padding=0 if halves else 1)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(out, out, 3, padding=1)
        self.halves = halves

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, channels, H, W] to [B, out, H, W], or to [B, out, floor(H / 2), floor(W / 2)]."""
        y: Tensor = self.conv2(self.relu(self.conv1(x)))
        if not self.halves:
            return x + y
        x = avg_pool2d(x, 2)
        # dlib adds tensors of different sizes as if the smaller one went on with zeros.
        channels, height, width = (max(pair) for pair in zip(x.shape[1:], y.shape[1:], strict=True))
        return _extended(x, channels, height, width) + _extended(y, channels, height, width)


def _extended(x: Tensor, channels: int, height: int, width: int) -> Tensor:
    return pad(x, (0, width - x.shape[3], 0, height - x.shape[2], 0, channels - x.shape[1]))


def read_dat(path: Path) -> dict[str, Tensor]:
    """Read the tensors of dlib's file under the names of `dlib_resnet`.

    The file holds one flat tensor a layer, in the order from the input to the output. Behind a convolution comes what its batch
    normalization was in training, a factor and a summand a channel; they are folded into the convolution.

    Raises:
        UsageError: the file is damaged, or another net's.
    """
    reader = _Reader(path)
    tensors: dict[str, Tensor] = {}
    for name, channels, out, kernel in _convolutions():
        values = reader.read(out * channels * kernel**2 + out)
        weight, bias = values[:-out], values[-out:]
        factor, summand = reader.read(2 * out).chunk(2)
        tensors[f"{name}.weight"] = weight.view(out, channels, kernel, kernel) * factor.view(-1, 1, 1, 1)
        tensors[f"{name}.bias"] = bias * factor + summand
    width = STAGES[-1].out
    tensors["embedding.weight"] = reader.read(width, OUT).view(width, OUT).T.contiguous()
    return tensors


def _convolutions() -> Iterator[tuple[str, int, int, int]]:
    """Yield name, channels in and out, and width of the kernel."""
    yield "conv0", 3, STEM, 7
    for number, stage in enumerate(STAGES, 1):
        yield f"block{number}.conv1", stage.channels, stage.out, 3
        yield f"block{number}.conv2", stage.out, stage.out, 3


class _Reader:
    """Finds serialized tensors one behind the other: version 2, four sizes, then the values as little-endian float32."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = path.read_bytes()
        self.at = 0

    def read(self, samples: int, channels: int = 1) -> Tensor:
        """Return the values of the next tensor of samples x channels x 1 x 1."""
        head = b"".join(map(_serialized, (2, samples, channels, 1, 1)))
        found = self.data.find(head, self.at)
        start = found + len(head)
        self.at = start + 4 * samples * channels
        if found < 0 or self.at > len(self.data):
            raise UsageError(
                f"weights {self.path}: a damaged file, or no dlib face recognition ResNet: no tensor of "
                f"{samples} x {channels} values where one should be"
            )
        return torch.from_numpy(np.frombuffer(self.data, "<f4", samples * channels, start).astype(np.float32))


def _serialized(number: int) -> bytes:
    """Return a number as dlib writes it: how many bytes it has, then the bytes, the lowest first."""
    length = (number.bit_length() + 7) // 8
    return bytes([length]) + number.to_bytes(length, "little")
