"""What a suite has seen so far, and which of its later stages that calls for. Imports neither torch nor ray.

Every condition is a function of what the earlier units of the series tell, so that a suite is as deterministic as its attacks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

ZERO_SHARE = 0.05
"""Share of a sample's gradients that may be zero throughout before it counts as masked."""
FORETELLS = "first-order"
"""The attack that compares what a gradient foretells of a step with what the step brings."""
MISLED = 0.25
"""Share of the samples that stand and whose gradient was compared with what a step brings, above which gradients mislead."""
CLOSE = 0.1
"""Share below which five times as many steps are spent on it. The two of 256 digits that only Square's 5,000 queries broke in
AutoAttack had 0.011 and 0.021 left, and 500 steps break them too."""


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
    false_gradients: Sequence[int]
    backwards: Sequence[int]
    left: Sequence[float]
    """Margin of the example, as a share of the clean one; 1 where there is none."""
    unknown: Sequence[bool]
    """Whether there is no verdict on the sample: an attack or the victim failed on it."""
    random: bool = False
    """Whether the victim answered differently to the same example."""


def left_of(margins: Sequence[float | None], clean: Sequence[float]) -> list[float]:
    """Return each margin as a share of the clean one; 1 where there is none, or none to lose."""
    return [
        1.0 if margin is None or not before > 0 else margin / before
        for margin, before in zip(margins, clean, strict=True)
    ]


UNKNOWN = ("error", "timeout", "invalid")
"""Statuses that are no verdict."""


def unknown_in_suite(records: Sequence[Record], eps: float) -> Sequence[bool]:
    """Return which samples the stages before failed on, at the eps of a stage; a smaller eps tells nothing of a larger one."""
    last = records[-1]
    return last.unknown if last.eps == eps else [False] * len(last.unknown)


Condition = Callable[[Sequence[Record]], list[bool]]
"""Which samples a stage is to attack [N], of those that still stand."""


def always(records: Sequence[Record]) -> list[bool]:
    """Call for every sample."""
    return [True] * len(records[-1].broken)


def close(records: Sequence[Record]) -> list[bool]:
    """Call for samples whose margin has come down to CLOSE of what it was."""
    return [left <= CLOSE for left in _least(records)]


def masked(records: Sequence[Record]) -> list[bool]:
    """Call for all samples of a victim that shows a sign of masking, which is a property of the victim and not of the sample.

    The signs: gradients that are zero or foretell nothing, a sample that scores or FAB broke and gradient descent had left, answers
    at random.
    """
    sign = _zero(records) or _misled(records) or _beaten(records) or any(record.random for record in records)
    return [sign] * len(records[-1].broken)


def random(records: Sequence[Record]) -> list[bool]:
    """Call for all samples of a victim that answers at random."""
    return [any(record.random for record in records)] * len(records[-1].broken)


def answers_differ(fooled: Sequence[int | None], draws: int) -> bool:
    """Whether some of the draws of an example were fooled and others not."""
    return any(count is not None and 0 < count < draws for count in fooled)


def _least(records: Sequence[Record]) -> list[float]:
    """Return the least share of the margin that any unit at this eps left each sample."""
    here = [record.left for record in records if record.eps == records[-1].eps]
    return [min(left) for left in zip(*here, strict=True)]


def _zero(records: Sequence[Record]) -> bool:
    return any(
        zero > ZERO_SHARE * looks
        for record in records
        for zero, looks in zip(record.zero_gradients, record.backwards, strict=True)
        if looks
    )


def _misled(records: Sequence[Record]) -> bool:
    """Whether gradients of more than MISLED of the samples that still stand did not foretell what a step brings, at this eps."""
    standing = [
        bool(wrong)
        for record in records
        if record.eps == records[-1].eps and record.attack == FORETELLS
        for wrong, looks, broken in zip(record.false_gradients, record.backwards, records[-1].broken, strict=True)
        if looks and not broken
    ]
    return sum(standing) > MISLED * len(standing)


def _beaten(records: Sequence[Record]) -> bool:
    """Whether another kind of attack broke a sample that gradient descent had left standing before."""
    return any(
        not _descends(record) and broken and attacked
        for number, record in enumerate(records)
        if any(_descends(earlier) for earlier in records[:number])
        for broken, attacked in zip(record.broken, record.attacked, strict=True)
    )


def _descends(record: Record) -> bool:
    """Whether it is an attack by gradient descent; FAB steps onto boundaries, from where descent does not come."""
    return record.access == "gradient" and record.attack != "fab"


CONDITIONS: dict[str, Condition] = {
    "": always,
    "close": close,
    "masked": masked,
    "random": random,
}
