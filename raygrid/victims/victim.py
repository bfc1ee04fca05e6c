"""The victim contract: a frozen model that takes pixels in [0, 1] and keeps its normalization to itself."""

import torch
from torch import Tensor, nn

from raygrid.victims.info import VictimInfo


class Victim(nn.Module):
    """A model under test: pixels [B, C, H, W] in [0, 1] in, logits [B, classes] out.

    Parameters are frozen and the model is in eval mode, so that gradients are taken with respect to the input only.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, info: VictimInfo) -> None:
        super().__init__()
        self.model = model
        self.info = info
        self.register_buffer("mean", torch.tensor(info.mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(info.std).view(1, -1, 1, 1), persistent=False)
        self.requires_grad_(False)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits [B, classes] of pixels [B, C, H, W] in [0, 1]."""
        outputs: Tensor = self.model((x - self.mean) / self.std)
        return outputs

    def train(self, mode: bool = True) -> "Victim":
        """Stay in eval mode: a victim under test never trains, and batch statistics would leak between samples."""
        super().train(False)
        return self
