"""Who still stands among the samples of an attack, and what each has cost: counts, budgets, and the active set."""

import numpy as np
import torch
from torch import Tensor

from raygrid.spec import Budget

UNLIMITED = 1 << 60


class BudgetSpentError(RuntimeError):
    """An attack asked for a sample whose budget is spent."""


class Ledger:
    """The books of N samples.

    Args:
        samples: how many, N; `index` arguments are positions in 0..N-1.
        budget: the most that may be spent on a sample.
        eot: passes that each look consists of.
        stop_early: whether a sample that was broken costs nothing more.
        skip: [N] bool, samples that are not to be attacked at all; None: none.
        device: where the samples are.

    Attributes:
        forwards, backwards: passes spent on each sample [N]. All but `everyone` is NumPy: bookkeeping stays off the device.
        broken: the samples that were reported broken, [N] bool.
        everyone: all positions, on the device. `active` gives it out itself where all are ready: what follows knows it again, and
            gathers nothing.
    """

    def __init__(
        self, samples: int, budget: Budget, eot: int, stop_early: bool, skip: Tensor | None, device: torch.device
    ) -> None:
        self.forwards = np.zeros(samples, dtype=np.int64)
        self.backwards = np.zeros(samples, dtype=np.int64)
        self.broken = np.zeros(samples, dtype=np.bool_)
        self.everyone = torch.arange(samples, device=device)
        self._eot, self._stop_early = eot, stop_early
        self._most_forwards = UNLIMITED if budget.queries is None else budget.queries
        self._most_backwards = UNLIMITED if budget.gradients is None else budget.gradients
        self._limited = budget != Budget()
        self._standing = np.ones(samples, dtype=np.bool_)
        if skip is not None:
            self._standing &= ~skip.cpu().numpy()
        self._known = self.everyone, np.arange(samples)
        self._once = np.ones(samples, dtype=np.int64)

    def active(self, queries: int, gradients: int) -> Tensor:
        """Return the positions, ascending, of the samples that are still standing and can pay for this many looks."""
        ready = self._standing
        if self._limited:
            ready = ready & (self.forwards <= self._most_forwards - queries * self._eot)
            ready = ready & (self.backwards <= self._most_backwards - gradients * self._eot)
        return self.everyone if ready.all() else self._handed_out(np.flatnonzero(ready))

    def remaining(self, index: Tensor) -> Tensor:
        """Return how many more looks each sample may cost [B]."""
        return torch.from_numpy((self._most_forwards - self.forwards[self._positions(index)]) // self._eot)

    def retire(self, index: Tensor, success: Tensor) -> Tensor | None:
        """Take note of broken samples. Returns which of [B] go on, ascending; None where all do."""
        fell = success.cpu().numpy()
        where = slice(None) if index is self.everyone else self._positions(index)
        self.broken[where] |= fell
        if not self._stop_early or not fell.any():
            return None
        self._standing[where] &= ~fell
        return torch.from_numpy(np.flatnonzero(~fell)).to(self.everyone.device)

    def charge(self, index: Tensor, queries: int, gradients: int) -> Tensor:
        """Count a look at each sample of the index, which may name some more than once.

        Returns:
            How many looks each had before [B], on the CPU.

        Raises:
            BudgetSpentError: a sample can't pay.
        """
        where = self._positions(index)
        looks = torch.from_numpy(self.forwards[where] // self._eot)
        times = self._once if index is self.everyone else np.bincount(where, minlength=len(self._once))
        times = times * self._eot if self._eot > 1 else times
        forwards, backwards = self.forwards + queries * times, self.backwards + gradients * times
        if self._limited and ((forwards > self._most_forwards) | (backwards > self._most_backwards)).any():
            raise BudgetSpentError(
                "the attack asked for a sample whose budget is spent; Oracle.rounds leaves those out"
            )
        self.forwards, self.backwards = forwards, backwards
        return looks

    def _handed_out(self, positions: np.ndarray) -> Tensor:
        """Return positions as a tensor on the device, and remember them: to ask a GPU for them again is to wait for it."""
        self._known = torch.from_numpy(positions).to(self.everyone.device), positions
        return self._known[0]

    def _positions(self, index: Tensor) -> np.ndarray:
        index_known, positions = self._known
        return positions if index is index_known else index.cpu().numpy()
