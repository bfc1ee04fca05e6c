"""What a suite has seen so far, and which of its later stages that calls for. Imports neither torch nor ray.

Every condition is a function of what the earlier units of the series tell, so that a suite is as deterministic as its attacks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

ZERO_SHARE = 0.05
"""Share of a sample's gradients that may be zero throughout before it counts as masked."""


@dataclass(frozen=True)
class Record:
    """One earlier unit of the series, sample by sample."""

    attack: str
    access: str
    eps: float
    broken: Sequence[bool]
    attacked: Sequence[bool]
    """Whether the unit itself attacked the sample, and did not inherit its example."""
    zero_gradients: Sequence[int]
    backwards: Sequence[int]
    draws: int = 1
    """How often each example was judged; more than once where the victim answers at random."""


Condition = Callable[[Sequence[Record]], list[bool]]
"""Which samples a stage is to attack [N], of those that still stand."""


def always(records: Sequence[Record]) -> list[bool]:
    """Call for every sample."""
    return [True] * len(records[-1].broken)


def masked(records: Sequence[Record]) -> list[bool]:
    """Call for all samples where the gradient of some was zero, or where scores alone broke one that gradients had left.

    Masking is a property of the victim, not of the sample that showed it.
    """
    return [_zero(records) or _beaten(records)] * len(records[-1].broken)


def _zero(records: Sequence[Record]) -> bool:
    return any(
        zero > ZERO_SHARE * looks
        for record in records
        for zero, looks in zip(record.zero_gradients, record.backwards, strict=True)
        if looks
    )


def _beaten(records: Sequence[Record]) -> bool:
    """Whether an attack without gradients broke a sample that one with gradients had left standing before."""
    return any(
        record.access != "gradient" and broken and attacked
        for number, record in enumerate(records)
        if any(earlier.access == "gradient" for earlier in records[:number])
        for broken, attacked in zip(record.broken, record.attacked, strict=True)
    )


CONDITIONS: dict[str, Condition] = {"": always, "masked": masked}
