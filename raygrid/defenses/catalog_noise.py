"""Noise inside a victim: parameters and entry. Declarations only: imports neither torch nor ray."""

from typing import Literal

from pydantic import Field, model_validator

from raygrid.component import Component, Params

Kind = Literal["gaussian", "uniform", "laplace", "poisson-like", "multiplicative", "dropout"]


class Noise(Params):
    """Parameters of noise at the input or in hidden layers."""

    site: str = Field("input", min_length=1)
    """Where it is added: `input`, a layer that `raygrid describe VICTIM` lists, or `all` layers."""
    kind: Kind = "gaussian"
    """What is added: Gaussian, uniform or Laplace noise of the standard deviation sigma; Gaussian noise of the deviation sigma
    times the root of each value (`poisson-like`) or times the value (`multiplicative`); `dropout` sets a share of sigma to 0."""
    sigma: float = Field(ge=0)
    """How much. 0 changes nothing."""
    votes: int = Field(1, ge=1)
    """Draws of the noise that each answer is put to the vote of."""
    vote: Literal["majority", "mean"] = "majority"
    """What decides among them: most votes, or the mean of the probabilities."""

    def draws_at_random(self) -> bool:
        """Whether there is any noise."""
        return self.sigma > 0

    def reaches_inside(self) -> bool:
        """Whether there is noise in a hidden layer."""
        return self.site != "input"

    @model_validator(mode="after")
    def _leaves_something(self) -> "Noise":
        if self.kind == "dropout" and self.sigma >= 1:
            raise ValueError(f"dropout of a share of {self.sigma:g} leaves nothing; sigma must be less than 1")
        return self


COMPONENTS: tuple[Component, ...] = (
    Component(
        kind="defense",
        name="noise",
        summary="Noise at the input, in a hidden layer or in all of them, and votes over its draws.",
        build="raygrid.defenses.noise:Noisy",
        params=Noise,
        source="Ukita & Ohki, Neural Networks 2023; at every layer Liu et al., ECCV 2018",
    ),
)
