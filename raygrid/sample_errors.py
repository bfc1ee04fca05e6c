"""What keeps an attack from some samples, and from those alone."""

import math

import torch
from torch import Tensor


class SampleError(RuntimeError):
    """Some samples, and only those, can't be attacked; the others can, in a run without them.

    Attributes:
        positions: which, in the run that ended with this error.
    """

    def __init__(self, why: str, positions: list[int]) -> None:
        super().__init__(why)
        self.positions = positions


class NotFiniteError(SampleError):
    """The victim returned NaN or infinity for some samples."""

    def __init__(self, what: str, positions: list[int]) -> None:
        super().__init__(f"the victim returned a {what} that is not finite", positions)


class NoStartError(SampleError):
    """A search that starts from an example found none to start from: that says nothing about how robust these samples are."""

    def __init__(self, tries: int, positions: list[int], known: int = 0) -> None:
        photos = f"{min(known, tries)} known photos and " if known else ""
        what = f"{photos}{max(tries - known, 0)} random points of the box"
        super().__init__(f"no starting point: none of {what} meets the goal", positions)


def finite(values: Tensor) -> bool:
    """One number tells of any NaN or infinity among them; finite ones it may take for infinite where they are huge."""
    return math.isfinite(float(values.sum()))


def require_finite(what: str, values: Tensor, index: Tensor) -> None:
    """Refuse values [B, ...] of the samples at the positions `index` [B] that are NaN or infinite.

    Raises:
        NotFiniteError: some are; it names the samples.
    """
    if not finite(values):  # rows are searched only then
        bad = ~torch.isfinite(values).view(len(values), -1).all(1)
        if bool(bad.any()):
            raise NotFiniteError(what, index[bad].tolist())
