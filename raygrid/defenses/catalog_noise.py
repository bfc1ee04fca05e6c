"""Noise inside a victim: parameters and entry. Declarations only: imports neither torch nor ray."""

import math
from typing import Literal

from pydantic import Field, model_validator

from raygrid.component import Component, Params

Kind = Literal["gaussian", "uniform", "laplace", "poisson-like", "multiplicative", "dropout"]


def votes_at(alpha: float) -> int:
    """Return the least number of votes that a two-sided test at the level alpha tells from a fair coin's, if all agree."""
    return math.ceil(1 - math.log2(alpha))


class Noise(Params):
    """Parameters of noise at the input or in hidden layers."""

    site: str = Field("input", min_length=1)
    """Where it is added: `input`, a layer that `raygrid describe VICTIM` lists, `convolutions`, which is what comes out of each, or
    `all` layers. The last two take an ensemble member by member, unless there is something to measure or to abstain from."""
    kind: Kind = "gaussian"
    """What is added: Gaussian, uniform or Laplace noise of the standard deviation sigma; Gaussian noise of the deviation sigma
    times the root of each value (`poisson-like`) or times the value (`multiplicative`); `dropout` sets a share of sigma to 0."""
    sigma: float = Field(ge=0)
    """How much, in the unit. 0 changes nothing."""
    unit: Literal["absolute", "mean", "std"] = "absolute"
    """What sigma is measured in: the values themselves (at the input: pixels in [0, 1]), or the mean magnitude or the standard
    deviation of the layer on clean samples that the grid sets apart (`splits`). Multiplicative noise and dropout have none."""
    votes: int = Field(1, ge=1)
    """Draws of the noise that each answer is put to the vote of."""
    vote: Literal["majority", "mean"] = "majority"
    """What decides among them: most votes, or the mean of the probabilities; of embeddings always the mean, to be said."""
    abstain: float | None = Field(None, gt=0, lt=1)
    """Level of a two-sided test below which there is no answer: the first two classes' votes could be a fair coin's. Default: the
    first always wins."""

    def needs_fit(self) -> bool:
        """Whether the layers have to be measured first."""
        return self.unit != "absolute" and self.sigma > 0

    def draws_at_random(self) -> bool:
        """Whether there is any noise."""
        return self.sigma > 0

    def reaches_inside(self) -> bool:
        """Whether there is noise in a hidden layer."""
        return self.site != "input"

    def reads_classes(self) -> bool:
        """Whether votes are counted."""
        return self.abstain is not None or (self.votes > 1 and self.vote == "majority")

    def averages_answers(self) -> bool:
        """Whether there are several, and their mean is taken."""
        return self.votes > 1 and self.vote == "mean"

    def may_abstain(self) -> bool:
        """Whether it may decline to answer."""
        return self.abstain is not None and self.draws_at_random()

    @model_validator(mode="after")
    def _can_answer(self) -> "Noise":
        if self.abstain is not None and self.vote != "majority":
            raise ValueError(f"abstain tests votes that are counted; vote must be majority, not {self.vote}")
        if self.abstain is not None and self.votes < (least := votes_at(self.abstain)):
            raise ValueError(
                f"even {self.votes} of {self.votes} votes prove nothing at abstain {self.abstain:g}; votes must be {least} or more"
            )
        return self

    @model_validator(mode="after")
    def _leaves_something(self) -> "Noise":
        if self.kind == "dropout" and self.sigma >= 1:
            raise ValueError(f"dropout of a share of {self.sigma:g} leaves nothing; sigma must be less than 1")
        if self.kind in ("dropout", "multiplicative") and self.unit != "absolute":
            raise ValueError(f"{self.kind} noise is a share of each value; it has no other unit than absolute")
        return self


COMPONENTS: tuple[Component, ...] = (
    Component(
        kind="defense",
        name="noise",
        summary="Noise at the input, in a hidden layer or in all of them, and votes over its draws.",
        build="raygrid.defenses.noise:build",
        fit="raygrid.defenses.noise:measure",
        params=Noise,
        source="Ukita & Ohki, Neural Networks 2023; at every layer Liu et al., ECCV 2018",
    ),
)
