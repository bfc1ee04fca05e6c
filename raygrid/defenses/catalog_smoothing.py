"""Randomized smoothing: parameters and entry. Declarations only: imports neither torch nor ray."""

import math

from pydantic import Field, model_validator

from raygrid.component import Component, Params
from raygrid.defenses.catalog_noise import votes_at


class Smoothing(Params):
    """Parameters of randomized smoothing."""

    sigma: float = Field(gt=0)
    """Standard deviation of the noise, in units of pixels in [0, 1]."""
    votes: int = Field(100, ge=1)
    """Noisy copies that each answer is put to the vote of."""
    n0: int = Field(100, ge=1)
    """Noisy copies that choose the class to certify."""
    n: int = Field(1000, ge=1)
    """Further noisy copies that bound this class's probability. The radius can't exceed what n of n copies prove."""
    alpha: float = Field(0.001, gt=0, lt=1)
    """How often an answer may differ from the smoothed victim's, and how often a certificate may not hold, at most."""

    def reads_classes(self) -> bool:
        """Always."""
        return True

    def draws_at_random(self) -> bool:
        """Whether there is any noise: always."""
        return True

    @model_validator(mode="after")
    def _can_prove(self) -> "Smoothing":
        """Refuse numbers of copies that could prove nothing, even if all of them agreed."""
        if self.votes < (least := votes_at(self.alpha)):
            raise ValueError(
                f"{_in_vain('votes', self.votes)} answer at alpha {self.alpha:g}; it must be {least} or more"
            )
        if self.n < (least := samples_at(self.alpha)):
            raise ValueError(f"{_in_vain('n', self.n)} certify at alpha {self.alpha:g}; it must be {least} or more")
        return self


def samples_at(alpha: float) -> int:
    """Return the least n at which n of n copies bound a probability above 1/2: alpha^(1/n) > 1/2."""
    return math.floor(-math.log2(alpha)) + 1


def _in_vain(name: str, number: int) -> str:
    return f"even if all {number} noisy copies of {name} agreed, smoothing could never"


COMPONENTS: tuple[Component, ...] = (
    Component(
        kind="defense",
        name="smoothing",
        summary="Most votes over noisy copies, or no answer; certifies an L2 radius for each clean input.",
        build="raygrid.defenses.smoothing:Smoothed",
        params=Smoothing,
        source="Cohen, Rosenfeld & Kolter, ICML 2019",
    ),
)
