"""The attacks that ask for scores or decisions alone. Declarations only: imports neither torch nor ray."""

from typing import Literal

from pydantic import Field

from raygrid.component import ALL_GOALS, Component, Params


class Square(Params):
    """Parameters of the Square attack."""

    queries: int = Field(5000, ge=1)
    """Looks at the victim for each sample, until one succeeds."""
    p_init: float = Field(0.8, gt=0, le=1)
    """Share of the pixels that the first squares cover; it is halved nine times on the way."""
    rescale: bool = True
    """Halve it at the same shares of the queries, however many; off: after as many as if they were 10,000, as AutoAttack does."""

    def hears(self, norm: str) -> bool:
        """Squares of L-inf become stretches of time; bumps have two dimensions."""
        return norm == "linf"

    def passes(self) -> tuple[int, int]:
        """One look at each candidate."""
        return self.queries, 0


class SimBA(Params):
    """Parameters of SimBA."""

    queries: int = Field(5000, ge=2)
    """Looks at the victim for each sample, until one succeeds."""
    basis: Literal["pixel", "dct"] = "dct"
    """What a step changes: one value, or one cosine pattern of a channel, low frequencies first."""
    step_size: float | None = Field(None, gt=0)
    """L2 length of a step in input units; by default eps / 5 (L2); for L-inf eps on a pixel, eps / 4 at the crest of a cosine."""

    def for_pictures(self) -> bool:
        """Always."""
        return True

    def passes(self) -> tuple[int, int]:
        """One look at each candidate."""
        return self.queries, 0

    def least_passes(self) -> tuple[int, int]:
        """A look at the clean input, and one at a step from it."""
        return 2, 0


class NES(Params):
    """Parameters of NES."""

    queries: int = Field(5000, ge=3)
    """Looks at the victim for each sample, until one succeeds."""
    samples: int = Field(50, ge=2, multiple_of=2)
    """Points for one estimate of the gradient, half of them mirrored."""
    sigma: float = Field(0.001, gt=0)
    """Standard deviation of their distance from the iterate, value by value, in input units."""
    step_size: float | None = Field(None, gt=0)
    """Length of a step in input units; by default eps / 5."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """Share of the direction so far that a step keeps."""
    loss: Literal["ce", "margin"] = "margin"
    """What is descended: cross-entropy, or the margin between the true class and the best other one."""

    def passes(self) -> tuple[int, int]:
        """The points of each estimate and a look after each step; the last step has what is left, if that is a pair or more."""
        steps, rest = divmod(self.queries, self.samples + 1)
        pairs = max(rest - 1, 0) // 2
        return steps * (self.samples + 1) + (2 * pairs + 1 if pairs else 0), 0

    def least_passes(self) -> tuple[int, int]:
        """A pair of points, and a look after the step."""
        return 3, 0


class HopSkipJump(Params):
    """Parameters of HopSkipJump."""

    queries: int = Field(5000, ge=3)
    """Decisions for each sample at most, those for the start included."""
    start_tries: int = Field(100, ge=1)
    """Random points tried as a start; a sample for which none meets the goal is an error, not robust."""
    directions: int = Field(100, ge=1)
    """Points asked at for the first estimate of the boundary's direction; the t-th takes sqrt(t) times as many."""

    def passes(self) -> tuple[int, int]:
        """At most; what does not suffice for another estimate and the search after it is left."""
        return self.queries, 0

    def least_passes(self) -> tuple[int, int]:
        """A start, and two looks on the way from there."""
        return 3, 0


class SurFree(Params):
    """Parameters of SurFree."""

    queries: int = Field(1000, ge=3)
    """Decisions for each sample at most, those for the start included."""
    start_tries: int = Field(100, ge=1)
    """Random points tried as a start; a sample for which none meets the goal is an error, not robust."""
    frequencies: float = Field(0.5, gt=0, le=1)
    """Share of the frequencies of each side, the lowest, that directions are made of."""
    history: int = Field(100, ge=0)
    """Directions back to which a new one is orthogonal; at most half of the dimensions there are."""

    def for_pictures(self) -> bool:
        """Always."""
        return True

    def passes(self) -> tuple[int, int]:
        """At most."""
        return self.queries, 0

    def least_passes(self) -> tuple[int, int]:
        """A start, and two looks on the way from there."""
        return 3, 0


COMPONENTS: tuple[Component, ...] = (
    Component(
        kind="attack",
        name="square",
        summary="Random search over square patches, by scores alone: needs no gradient, so that masking it does not help.",
        build="raygrid.attacks.square:square",
        params=Square,
        source="Andriushchenko et al., ECCV 2020; for L1 Croce & Hein, ICML 2021",
        access="score",
        norms=("linf", "l2", "l1"),
        goals=ALL_GOALS,
        version=3,
    ),
    Component(
        kind="attack",
        name="simba",
        summary="Steps along random basis vectors, one at a time, by scores alone: pixels, or low-frequency cosine patterns.",
        build="raygrid.attacks.score_search:simba",
        params=SimBA,
        source="Guo et al., ICML 2019",
        access="score",
        norms=("linf", "l2"),
        goals=ALL_GOALS,
    ),
    Component(
        kind="attack",
        name="nes",
        summary="Projected gradient descent on a gradient that is estimated from scores at random points.",
        build="raygrid.attacks.score_search:nes",
        params=NES,
        source="Ilyas et al., ICML 2018",
        access="score",
        norms=("linf", "l2"),
        goals=ALL_GOALS,
    ),
    Component(
        kind="attack",
        name="hop-skip-jump",
        summary="The closest example in L-inf or L2 by decisions alone, by estimates of the boundary's direction.",
        build="raygrid.attacks.decision:hop_skip_jump",
        params=HopSkipJump,
        source="Chen, Jordan & Wainwright, S&P 2020",
        access="decision",
        norms=("linf", "l2"),
        goals=ALL_GOALS,
        minimal_norm=True,
    ),
    Component(
        kind="attack",
        name="surfree",
        summary="The closest example in L2 by decisions alone and few of them, by turns in low-frequency directions.",
        build="raygrid.attacks.surfree:surfree",
        params=SurFree,
        source="Maho, Furon & Le Merrer, CVPR 2021",
        access="decision",
        norms=("l2",),
        goals=ALL_GOALS,
        minimal_norm=True,
    ),
)
