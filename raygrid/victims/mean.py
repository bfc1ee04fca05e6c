"""Global average pooling as one named stage."""

from torch import Tensor, nn


class Mean(nn.Module):
    """The mean of every channel: [B, C, H, W] to [B, C]."""

    def forward(self, x: Tensor) -> Tensor:
        """Take the mean."""
        return x.mean((2, 3))
