"""Random numbers that belong to a sample: the same whatever the shard, batch size, order, host, retry or victim."""

import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b

import torch
from torch import Tensor

Fill = Callable[[Tensor, torch.Generator], object]
"""Writes numbers of a stream over a tensor."""
Row = tuple[Tensor, int, str]
"""A sample's numbers, its position, and what they are for."""

DRAWERS = 8
"""Threads that draw what a GPU is to have: the random start of a hundred photos takes as long as four steps of PGD there. Hosts
without a GPU draw on their own core alone, since others work on the rest."""
WORTH_A_THREAD = 1 << 14
"""Numbers for a sample: fewer are drawn before a thread has started."""


def _uniform(row: Tensor, generator: torch.Generator) -> None:
    row.uniform_(generator=generator)


def _normal(row: Tensor, generator: torch.Generator) -> None:
    row.normal_(generator=generator)


def one_by_one(write: Callable[..., None], rows: Sequence[Row]) -> None:
    """Write rows one after the other."""
    for row in rows:
        write(*row)


def by_threads(write: Callable[..., None], rows: Sequence[Row]) -> None:
    """Write rows several at once."""
    inference = torch.is_inference_mode_enabled()  # a thread has its own, and may write on no tensor of another's

    def told(row: Row) -> None:
        with torch.inference_mode(inference):
            write(*row)

    with ThreadPoolExecutor(DRAWERS) as pool:
        list(pool.map(told, rows))


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
        return self._drawn([purpose] * len(index), index, like, like.shape[1:], _uniform)

    def normal(self, purpose: str, index: Tensor, like: Tensor) -> Tensor:
        """Return standard normal numbers of shape [len(index), *like.shape[1:]]."""
        return self._drawn([purpose] * len(index), index, like, like.shape[1:], _normal)

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
        return torch.Generator().manual_seed(self.start(purpose, sample_id))

    def start(self, purpose: str, sample_id: str) -> int:
        """Return the seed of one sample's stream."""
        words = f"{self.seed}\0{sample_id}\0{self.attack}\0{purpose}".encode()
        return int.from_bytes(blake2b(words, digest_size=8).digest(), "little") >> 1

    def draws(self, index: Tensor, purposes: Sequence[str]) -> "Draws":
        """Return the numbers of one look at each of the samples at the positions `index`, each for a purpose of its own."""
        return Draws(self, index, tuple(purposes))

    def _drawn(self, purposes: Sequence[str], index: Tensor, like: Tensor, shape: Sequence[int], fill: Fill) -> Tensor:
        """Return a tensor of its own [len(index), *shape], each row filled from the start of its sample's stream."""
        at_once = like.is_cuda and math.prod(shape) >= WORTH_A_THREAD
        # What is pinned reaches a GPU in a third of the time.
        numbers = torch.empty((len(index), *shape), pin_memory=at_once)

        def write(row: Tensor, i: int, purpose: str) -> None:
            fill(row, self.generator(purpose, self.sample_ids[i]))

        draw = by_threads if at_once else one_by_one
        draw(write, list(zip(numbers, index.tolist(), purposes, strict=True)))
        return numbers.to(like)


@dataclass(frozen=True)
class Draws:
    """The random numbers of one look at each of some samples [B]: what a victim that answers at random is given with them."""

    randomness: Randomness
    index: Tensor
    """Positions of the samples [B]."""
    purposes: tuple[str, ...]
    """What each sample's numbers are for: `judge/0`, say."""

    def normal(self, what: str, like: Tensor, copies: int, std: float = 1.0) -> Tensor:
        """Return normal numbers [B, copies, *like.shape[1:]]; `what` tells apart several that one look needs."""
        return self._each(what, like, copies, lambda row, generator: row.normal_(std=std, generator=generator))

    def uniform(self, what: str, like: Tensor, copies: int) -> Tensor:
        """Return numbers in [0, 1) of shape [B, copies, *like.shape[1:]]."""
        return self._each(what, like, copies, _uniform)

    def copied(self, numbers: Iterable[int]) -> "Draws":
        """Return the numbers of several looks in the place of each, copy by copy: [B * copies]."""
        numbers = list(numbers)
        purposes = tuple(f"{purpose}/{number}" for purpose in self.purposes for number in numbers)
        return Draws(self.randomness, self.index.repeat_interleave(len(numbers)), purposes)

    def split(self, size: int) -> list["Draws"]:
        """Return the numbers of the first `size` samples, of the next, and so on."""
        starts = range(0, len(self.index), size)
        return [Draws(self.randomness, self.index[i : i + size], self.purposes[i : i + size]) for i in starts]

    def behind(self) -> "Draws":
        """Return the numbers of the same looks for what lies behind the one that asks, so that no two draw the same."""
        return Draws(self.randomness, self.index, tuple(f"{purpose}/behind" for purpose in self.purposes))

    def _each(self, what: str, like: Tensor, copies: int, fill: Fill) -> Tensor:
        purposes = [f"{purpose}/{what}" for purpose in self.purposes]
        return self.randomness._drawn(purposes, self.index, like, (copies, *like.shape[1:]), fill)
