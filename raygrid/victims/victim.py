"""The victim contract: a frozen model that takes pixels in [0, 1] and keeps its normalization to itself."""

import torch
from torch import Tensor, nn

from raygrid.randomness import Draws
from raygrid.victims.info import VictimInfo
from raygrid.victims.layers import Layers
from raygrid.victims.mixed import MixedPasses


class Victim(nn.Module):
    """A model under test: pixels [B, C, H, W] in [0, 1] in, logits [B, classes] out.

    Parameters are frozen and the model is in eval mode, so that gradients are taken with respect to the input only.
    """

    mean: Tensor
    std: Tensor
    random = False
    """Whether the answers differ from look to look; see `raygrid/defenses/defended.py`."""
    abstains = False
    """Whether it may decline to answer: the last column of its logits, behind those of the classes, then stands for no answer."""

    def __init__(self, model: nn.Module, info: VictimInfo) -> None:
        super().__init__()
        self.model = model
        self.info = info
        self.register_buffer("mean", torch.tensor(info.mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(info.std).view(1, -1, 1, 1), persistent=False)
        self._layers: Layers | None = None
        self._mixed: MixedPasses | None = None
        self.requires_grad_(False)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits [B, classes] of pixels [B, C, H, W] in [0, 1]."""
        outputs: Tensor = self.model(self.inside(x))
        return outputs

    def inside(self, x: Tensor, draws: Draws | None = None) -> Tensor:
        """Return what the model inside takes for pixels [B, C, H, W] in [0, 1]; a defense may need random numbers for that."""
        return (x - self.mean) / self.std

    def softly_inside(self, x: Tensor, draws: Draws | None = None) -> Tensor:
        """Return the same, in a form that an attacker can take gradients of."""
        return self.inside(x, draws)

    @property
    def layers(self) -> Layers:
        """The stages of the model inside; taken apart at the first time of asking, on the device where it is then."""
        if self._layers is None:
            self._layers = Layers(self.model, self.info.id)
        return self._layers

    @property
    def mixed(self) -> MixedPasses:
        """Its passes in 16 bits, for gradients; made at the first time of asking, on the device where it is then."""
        if self._mixed is None:
            self._mixed = MixedPasses(self)
        return self._mixed

    def features(self, x: Tensor, layer: str) -> Tensor:
        """Return the values [B, ...] of a hidden layer for pixels x [B, C, H, W] in [0, 1].

        Raises:
            UsageError: there is no such layer.
        """
        return self.layers.features(self.inside(x), layer)

    def resume(self, h: Tensor, layer: str) -> Tensor:
        """Return the logits [B, classes] that follow from values h [B, ...] of a hidden layer.

        Raises:
            UsageError: there is no such layer.
        """
        return self.layers.resume(h, layer)

    def train(self, mode: bool = True) -> "Victim":
        """Stay in eval mode: a victim under test never trains, and batch statistics would leak between samples."""
        super().train(False)
        return self
