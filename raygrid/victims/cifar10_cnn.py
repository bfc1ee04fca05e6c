"""The CIFAR-10 CNN of the package cifar-10-model: its Keras weights, read as data with h5py, in a torch net."""

from collections import OrderedDict
from pathlib import Path

import h5py
import torch
from torch import Tensor, nn

from raygrid.assets import fetch
from raygrid.component import Params
from raygrid.pins import ASSETS
from raygrid.victims.info import VictimInfo
from raygrid.victims.loading import load_into
from raygrid.victims.victim import Victim

NORM_EPS = 1e-3

STAGE_OF = {
    **{f"conv2d{suffix}": f"conv{n}" for n, suffix in enumerate(("", "_1", "_2", "_3", "_4", "_5"), 1)},
    **{f"batch_normalization{suffix}": f"norm{n}" for n, suffix in enumerate(("", "_1", "_2", "_3", "_4", "_5"), 1)},
    "dense": "hidden1",
    "dense_1": "hidden2",
    "dense_2": "logits",
}
"""From Keras' layers to our stages."""

TENSOR_OF = {
    "kernel:0": "weight",
    "bias:0": "bias",
    "gamma:0": "weight",
    "beta:0": "bias",
    "moving_mean:0": "running_mean",
    "moving_variance:0": "running_var",
}


def build(params: Params, info: VictimInfo) -> Victim:
    """Build the net with its trained weights."""
    model = cifar10_cnn()
    load_into(model, read_keras(fetch(ASSETS["cifar10-cnn"])), info.id)
    return Victim(model, info)


def cifar10_cnn() -> nn.Sequential:
    """Return the untrained net, in named stages: RGB 0..255, [B, 3, 32, 32], to logits [B, 10].

    The original ends in a ReLU, which would hide negative logits and their gradients; it is left off.
    """
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    channels = 3
    for number, out in enumerate((64, 64, 128, 128, 64, 64), 1):
        stages[f"conv{number}"] = nn.Conv2d(channels, out, 3)
        stages[f"relu{number}"] = nn.ReLU()
        stages[f"norm{number}"] = nn.BatchNorm2d(out, eps=NORM_EPS)
        if number in {2, 4}:
            stages[f"pool{number // 2}"] = nn.MaxPool2d(2)
        channels = out
    stages["flatten"] = nn.Flatten()  # of one pixel, so that the order of height, width and channels does not matter
    stages["hidden1"], stages["relu7"] = nn.Linear(64, 1024), nn.ReLU()
    stages["hidden2"], stages["relu8"] = nn.Linear(1024, 512), nn.ReLU()
    stages["logits"] = nn.Linear(512, 10)
    return nn.Sequential(stages)


def read_keras(path: Path) -> dict[str, Tensor]:
    """Read the tensors of the Keras file under torch's names and in torch's order of axes."""
    tensors = {}
    with h5py.File(path, "r") as file:
        for layer, stage in STAGE_OF.items():
            for name, values in file["model_weights"][layer][layer].items():
                tensors[f"{stage}.{TENSOR_OF[name]}"] = _torch_axes(torch.from_numpy(values[()]))
            if stage.startswith("norm"):
                tensors[f"{stage}.num_batches_tracked"] = torch.tensor(0)
    return tensors


def _torch_axes(values: Tensor) -> Tensor:
    """Reverse Keras' kernels: [H, W, in, out] to [out, in, H, W], [in, out] to [out, in]; vectors stay."""
    order = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}[values.ndim]
    return values.permute(order).contiguous()
