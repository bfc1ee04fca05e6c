"""How many samples go through a model at once: as many as memory is spared for on a CPU, one of few numbers on a GPU.

There the first pass of each size is planned anew, every convolution of it, for milliseconds each, and an attack that leaves out
what has fallen would have as many sizes as samples.
"""

from collections.abc import Callable, Sequence
from math import prod

import torch
from torch import Tensor

FINE = 8
"""Sizes from a power of two to the next: an eighth at most is computed for nothing."""
CPU_PASS_VALUES = 8 * 3 * 224 * 224
"""Input values of one pass on a CPU at most, where nobody says otherwise: eight photos. EfficientNet-Lite0 then takes 1.3 GB for
forward and backward, 2.0 GB with sixteen at a time, which is no faster; a shard of 32 on each core would fill a laptop."""


def samples_of_a_pass(shape: Sequence[int], native: int = 0) -> int:
    """Return how many samples of a shape [C, H, W] go through a model at once on a CPU, one at least; `native`: to what height and
    width it brings smaller ones."""
    return max(1, CPU_PASS_VALUES // max(prod(shape), shape[0] * native**2))


def filled_up(samples: int, sizes: int = FINE) -> int:
    """Return the size of the batch that so many samples are filled up to; `sizes`, a power of two, lie from each power of two to
    the next: of two 1, 2, 3, 4, 6, 8, 12 ..."""
    step = max(1, (1 << max(0, samples - 1).bit_length()) // (2 * sizes))
    return -(-samples // step) * step


def fill(x: Tensor, size: int) -> Tensor:
    """Return x [B, ...] with zeros behind, [size, ...]; x itself where nothing is missing."""
    return x if size == len(x) else torch.cat([x, x.new_zeros(size - len(x), *x.shape[1:])])


def in_few_sizes(model: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return what a model makes of x [B, ...]; on a GPU in a batch of one of few sizes."""
    return model(fill(x, filled_up(len(x))))[: len(x)] if x.is_cuda else model(x)
