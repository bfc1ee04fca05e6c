"""Random numbers that belong to a sample: the same whatever the shard, batch size, order, host, retry or victim."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import torch
from torch import Tensor


@dataclass(frozen=True)
class Randomness:
    """Streams of numbers, one per (seed, sample id, attack, purpose). Asking twice gives the same numbers twice.

    Numbers are drawn on the CPU, so that every device sees the same ones.
    """

    seed: int
    attack: str
    sample_ids: Sequence[str]

    def uniform(self, purpose: str, index: Tensor, like: Tensor) -> Tensor:
        """Return numbers in [0, 1) of shape [len(index), *like.shape[1:]] for the samples at the positions `index`."""
        return self._stack(purpose, index, like, lambda g: torch.rand(like.shape[1:], generator=g))

    def normal(self, purpose: str, index: Tensor, like: Tensor) -> Tensor:
        """Return standard normal numbers of shape [len(index), *like.shape[1:]]."""
        return self._stack(purpose, index, like, lambda g: torch.randn(like.shape[1:], generator=g))

    def poisson(self, purpose: str, index: Tensor, rate: Tensor) -> Tensor:
        """Return Poisson numbers of the means rate [len(index), ...]."""
        means = zip(index.tolist(), rate.cpu(), strict=True)
        rows = [torch.poisson(mean, self.generator(purpose, self.sample_ids[i])) for i, mean in means]
        return torch.stack(rows).to(rate) if rows else rate.clone()

    def integers(self, purpose: str, high: int) -> Tensor:
        """Return one integer in [0, high) for every sample: [N], on the CPU."""
        draws = [torch.randint(high, (), generator=self.generator(purpose, sample)) for sample in self.sample_ids]
        return torch.stack(draws) if draws else torch.empty(0, dtype=torch.long)

    def generator(self, purpose: str, sample_id: str) -> torch.Generator:
        """Return a fresh generator at the start of one sample's stream."""
        words = "\0".join((str(self.seed), sample_id, self.attack, purpose)).encode()
        seed = int.from_bytes(blake2b(words, digest_size=8).digest(), "little") >> 1
        return torch.Generator().manual_seed(seed)

    def _stack(self, purpose: str, index: Tensor, like: Tensor, draw: Callable[[torch.Generator], Tensor]) -> Tensor:
        rows = [draw(self.generator(purpose, self.sample_ids[i])) for i in index.tolist()]
        return torch.stack(rows).to(like) if rows else like.new_empty((0, *like.shape[1:]))
