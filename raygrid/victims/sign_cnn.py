"""A small CNN for the drawn signs of `road-signs`, trained by `raygrid/victims/train_signs.py`."""

from collections import OrderedDict

from torch import nn

from raygrid.component import Params
from raygrid.victims.info import VictimInfo
from raygrid.victims.loading import load_into, load_tensors, weights_file
from raygrid.victims.victim import Victim


def build(params: Params, info: VictimInfo) -> Victim:
    """Build the net with the weights that `info.arch` names."""
    model = sign_cnn()
    load_into(model, load_tensors(weights_file(info.arch), info.weights_sha256), info.id)
    return Victim(model, info)


def sign_cnn() -> nn.Sequential:
    """Return the untrained net: signs [B, 3, 32, 32] to logits [B, 12]; 73,372 parameters in named stages."""
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(3, 16, 3, padding=1),
            pool1=nn.MaxPool2d(2),
            relu1=nn.ReLU(),  # after the pooling: the same function at a quarter of the cost
            conv2=nn.Conv2d(16, 32, 3, padding=1),
            pool2=nn.MaxPool2d(2),
            relu2=nn.ReLU(),
            conv3=nn.Conv2d(32, 64, 3, padding=1),
            pool3=nn.MaxPool2d(2),
            relu3=nn.ReLU(),
            flatten=nn.Flatten(),
            hidden=nn.Linear(64 * 4 * 4, 48),
            relu4=nn.ReLU(),
            logits=nn.Linear(48, 12),
        )
    )
