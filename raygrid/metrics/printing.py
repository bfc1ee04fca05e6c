"""How well pixels could be printed, and how smooth they are: the penalties of attacks on printed things.

Both are means over pixels, so that stickers of different sizes compare; times the number of pixels they are the papers' sums.
"""

from typing import Literal

import torch
from torch import Tensor

PAPER = (0.95, 0.95, 0.93)
INKS = ((0.05, 0.62, 0.90), (0.88, 0.10, 0.52), (0.98, 0.92, 0.10), (0.12, 0.12, 0.13))
"""Shares of red, green and blue that cyan, magenta, yellow and black let through. Chosen by eye, not measured on a printer."""
COLORED, BLACK = (0.0, 0.5, 1.0), (0.5, 0.75, 1.0)
"""How much of the paper each of the colored inks covers, in all 27 mixtures, and black alone."""


def printable_colors() -> Tensor:
    """Return the colors [30, 3] in [0, 1] of raygrid's own model of a printer: halftones of four inks on white paper.

    Where the dots of several inks lie at random, their mean color is the paper's times, for each ink, the share of light that
    passes it (Neugebauer's equations with Demichel's coverages, the overprints being products). A real printer's measured
    colors may take their place in `non_printability`.
    """
    colored = torch.cartesian_prod(*(torch.tensor(COLORED),) * 3)
    cover = torch.cat(
        [torch.nn.functional.pad(colored, (0, 1)), torch.nn.functional.pad(torch.tensor(BLACK)[:, None], (3, 0))]
    )
    passed = 1 - cover[:, :, None] * (1 - torch.tensor(INKS))
    return torch.tensor(PAPER) * passed.prod(1)


def non_printability(
    pixels: Tensor, palette: Tensor, mask: Tensor | None = None, form: Literal["least", "product"] = "least"
) -> Tensor:
    """Non-printability score (Sharif et al., CCS 2016): how far colors lie from those that a printer can make.

    Args:
        pixels: [B, 3, H, W] in [0, 1].
        palette: printable colors [P, 3] in [0, 1], as `printable_colors` gives them.
        mask: pixels that count, bool [B, 1, H, W] or [1, 1, H, W]; default: all.
        form: `least`: the distance to the nearest color, as in Thys et al. (CVPR Workshops 2019). `product`: of the distances
            to all colors, as in Sharif et al.; with a palette as large as ours it is tiny everywhere.

    Returns:
        Scores [B], the means over the pixels that count: 0 where all colors are printable. Differentiable in the pixels.

    Raises:
        ValueError: pixels without three channels, a palette of another shape, or an unknown form.
    """
    if pixels.ndim != 4 or pixels.shape[1] != 3 or palette.ndim != 2 or palette.shape[1] != 3 or not len(palette):
        raise ValueError(
            f"pixels [B, 3, H, W] and a palette [P, 3], not {list(pixels.shape)} and {list(palette.shape)}"
        )
    squares = (pixels[:, None] - palette.to(pixels)[:, :, None, None]).square().sum(2)
    if form == "least":
        return _mean(_root(squares.amin(1)), mask)
    if form == "product":
        return _mean(_root(squares).prod(1), mask)
    raise ValueError(f'form: "least" or "product", not "{form}"')


def total_variation(pixels: Tensor, mask: Tensor | None = None) -> Tensor:
    """Total variation (Rudin et al. 1992; as in Sharif et al., CCS 2016): how much neighboring pixels differ.

    At each pixel the root of the squared differences to the right and to the lower neighbor, summed over the channels.

    Args:
        pixels: [B, C, H, W].
        mask: pixels that count, bool [B, 1, H, W] or [1, 1, H, W]; default: all. A difference counts where both pixels do.

    Returns:
        Variations [B], the means over the pixels that count: 0 for one color. Differentiable in the pixels.
    """
    inside = pixels.new_ones(1, 1, *pixels.shape[2:]) if mask is None else mask.to(pixels)
    right = pixels.diff(dim=3) * inside[..., 1:] * inside[..., :-1]
    down = pixels.diff(dim=2) * inside[..., 1:, :] * inside[..., :-1, :]
    pad = torch.nn.functional.pad
    squares = pad(right.square(), (0, 1)) + pad(down.square(), (0, 0, 0, 1))
    return _mean(_root(squares).sum(1), mask)


def _root(squares: Tensor) -> Tensor:
    """The square root, with gradient 0 instead of infinity at 0."""
    positive = squares > 0
    return torch.where(positive, torch.where(positive, squares, 1).sqrt(), 0)


def _mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """The mean [B] of values [B, H, W] over the pixels that count; 0 where none does."""
    if mask is None:
        return values.mean((1, 2))
    counted = mask[:, 0].to(values).expand_as(values)
    return (values * counted).sum((1, 2)) / counted.sum((1, 2)).clamp_min(1)
