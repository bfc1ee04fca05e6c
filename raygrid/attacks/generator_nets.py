"""Generator and discriminator of the feature-space attack (Ukita & Ohki, Neural Networks 167, 2023), for pictures of any size.

The source's are for 96x96. Here there are as many halvings as leave 3 pixels of the shorter side, as its five do of 96, and five at
most (four in the discriminator): three at 28x28 and 32x32, five at 96x96 and 224x224. What a halving rounds off, the doubling that
answers to it gives back.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils.parametrize import ParametrizationList, register_parametrization

NARROWEST = 3
"""Pixels of the shorter side that halvings leave at least, where there are so many."""
SPREAD = 0.02
"""Standard deviation of weights at first."""
WARM_UP = 15
"""Power iterations before the first step, so that the largest singular value is known when it is first divided by."""


class Generator(nn.Module):
    """An encoder and a decoder, without short cuts: pictures [B, C, H, W] in [-1, 1] -> pictures likewise.

    Args:
        shape: of a picture, (C, H, W).
        width: channels behind the first halving, 64 in the source; each halving doubles them, up to eight times as many.
    """

    def __init__(self, shape: Sequence[int], width: int) -> None:
        super().__init__()
        channels = _channels(width, halvings(shape, 5))
        # Not on the first and last; a shift in front of a normalization would do nothing, so there is none.
        normalized = [0 < i < len(channels) - 1 for i in range(len(channels))]
        self.down = nn.ModuleList(
            nn.Sequential(
                _spectral(nn.Conv2d(inside, outside, 4, 2, 1, bias=not normed)),
                nn.BatchNorm2d(outside) if normed else nn.Identity(),
                nn.LeakyReLU(0.2),
            )
            for inside, outside, normed in zip([shape[0], *channels], channels, normalized, strict=False)
        )
        self.middle = _spectral(nn.Conv2d(channels[-1], channels[-1], 1))
        back = [*channels[-2::-1], channels[0]]
        self.up = nn.ModuleList(
            _spectral(nn.ConvTranspose2d(inside, outside, 4, 2, 1, bias=False), across=True)
            for inside, outside in zip([channels[-1], *back], back, strict=False)
        )
        self.norm = nn.ModuleList(nn.BatchNorm2d(outside) for outside in back)
        self.last = _spectral(nn.Conv2d(channels[0], shape[0], 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return pictures [B, C, H, W] in [-1, 1] for pictures x likewise."""
        h, sizes = x, []
        for halve in self.down:
            sizes.append(h.shape[-2:])
            h = halve(h)
        h = self.middle(h)
        for double, norm, size in zip(self.up, self.norm, reversed(sizes), strict=True):
            h = norm(double(h, output_size=size)).relu()
        pictures: Tensor = self.last(h).tanh()
        return pictures


class Discriminator(nn.Module):
    """Says how much pictures [B, C, H, W] in [-1, 1] look like real ones: [B], above 0 if they do. Arguments as `Generator`'s."""

    def __init__(self, shape: Sequence[int], width: int) -> None:
        super().__init__()
        channels = _channels(width, halvings(shape, 4))
        self.down = nn.ModuleList(
            _spectral(nn.Conv2d(inside, outside, 4, 2, 1))
            for inside, outside in zip([shape[0], *channels], channels, strict=False)
        )
        _, height, length = shape
        pixels = (height >> len(channels)) * (length >> len(channels))
        self.last = _spectral(nn.Linear(channels[-1] * pixels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return [B]."""
        h = x
        for halve in self.down:
            h = nn.functional.leaky_relu(halve(h), 0.1)
        said: Tensor = self.last(h.flatten(1))
        return said[:, 0]


def halvings(shape: Sequence[int], most: int) -> int:
    """Return how often pictures of a shape (C, H, W) are halved."""
    side = min(shape[1:])
    return max([1, *(i for i in range(1, most + 1) if side >> i >= NARROWEST)])


def bare(kind: type[Generator] | type[Discriminator], shape: Sequence[int], width: int) -> nn.Module:
    """Return a network whose numbers are still to be filled in, on the CPU. Asks no generator of random numbers for any."""
    with torch.device("meta"):
        net = kind(shape, width)
    return net.to_empty(device="cpu")


def drawn(
    kind: type[Generator] | type[Discriminator], shape: Sequence[int], width: int, source: torch.Generator
) -> nn.Module:
    """Return a network at the start of its training, on the CPU: all its numbers are drawn from the source."""
    net = bare(kind, shape, width)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
                module.weight.normal_(1, SPREAD, generator=source)
            elif isinstance(module, ParametrizationList):
                weight = module.original
                weight.normal_(0, SPREAD, generator=source)
                cast(Spectral, module[0]).start(weight, source)
        for name, tensor in net.named_parameters():
            if name.endswith("bias"):
                tensor.zero_()
    return net


class Spectral(nn.Module):
    """Divides a weight by its largest singular value (Miyato et al., ICLR 2018), which a power iteration a look comes closer to.

    Args:
        rows: of the weight as a matrix.
        across: whether these are its second dimension and not its first, as in transposed convolutions.
    """

    u: Tensor

    def __init__(self, rows: int, *, across: bool) -> None:
        super().__init__()
        self.across = across
        self.register_buffer("u", torch.empty(rows))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weight, divided."""
        matrix = self._matrix(weight)
        with torch.no_grad():
            v = normalize(matrix.T @ self.u, dim=0)
            if self.training:
                self.u = normalize(matrix @ v, dim=0)  # another tensor: a gradient may still need the old one
        return weight / (self.u @ matrix @ v)

    def start(self, weight: Tensor, source: torch.Generator) -> None:
        """Draw where the iteration starts, and take some steps."""
        matrix = self._matrix(weight)
        self.u.normal_(generator=source)
        for _ in range(WARM_UP):
            self.u = normalize(matrix @ normalize(matrix.T @ self.u, dim=0), dim=0)

    def _matrix(self, weight: Tensor) -> Tensor:
        return (weight.transpose(0, 1) if self.across else weight).flatten(1)


def _spectral(module: nn.Conv2d | nn.ConvTranspose2d | nn.Linear, *, across: bool = False) -> nn.Module:
    rows = module.weight.shape[1 if across else 0]
    return register_parametrization(module, "weight", Spectral(rows, across=across), unsafe=True)


def _channels(width: int, halvings: int) -> list[int]:
    return [width * 2 ** min(i, 3) for i in range(halvings)]
