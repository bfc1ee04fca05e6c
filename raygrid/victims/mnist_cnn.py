"""Two small CNNs for MNIST, one architecture: trained plainly and adversarially by `raygrid/victims/train_mnist.py`."""

from collections import OrderedDict

from torch import nn

from raygrid.component import Params
from raygrid.victims.info import VictimInfo
from raygrid.victims.loading import load_into, load_tensors, weights_file
from raygrid.victims.victim import Victim


def build(params: Params, info: VictimInfo) -> Victim:
    """Build the net with the weights that `info.arch` names."""
    model = mnist_cnn()
    load_into(model, load_tensors(weights_file(info.arch), info.weights_sha256), info.id)
    return Victim(model, info)


def mnist_cnn() -> nn.Sequential:
    """Return the untrained net: digits [B, 1, 28, 28] to logits [B, 10]; 114,314 parameters in named stages."""
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 16, 5, padding=2),
            pool1=nn.MaxPool2d(2),
            relu1=nn.ReLU(),  # after the pooling: the same function at a quarter of the cost
            conv2=nn.Conv2d(16, 32, 5, padding=2),
            pool2=nn.MaxPool2d(2),
            relu2=nn.ReLU(),
            flatten=nn.Flatten(),
            hidden=nn.Linear(32 * 7 * 7, 64),
            relu3=nn.ReLU(),
            logits=nn.Linear(64, 10),
        )
    )
