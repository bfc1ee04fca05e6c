"""Random noise of the same size: the baseline any attack must beat. Declarations only: imports neither torch nor ray."""

from pydantic import Field

from raygrid.component import ALL_GOALS, Component, Params


class Noise(Params):
    """Parameters of random noise."""

    draws: int = Field(1, ge=1)
    """Points tried for each sample, until one succeeds."""

    def passes(self) -> tuple[int, int]:
        """One look at each point."""
        return self.draws, 0


COMPONENTS: tuple[Component, ...] = (
    Component(
        kind="attack",
        name="uniform-noise",
        summary="Points drawn uniformly from the ball: the baseline any attack must beat.",
        build="raygrid.attacks.noise:uniform_noise",
        params=Noise,
        access="decision",
        norms=("linf", "l2", "l1", "l0"),
        goals=ALL_GOALS,
    ),
    Component(
        kind="attack",
        name="gaussian-noise",
        summary="Gaussian noise of length eps (L-inf: standard deviation eps / 2, clipped at eps).",
        build="raygrid.attacks.noise:gaussian_noise",
        params=Noise,
        access="decision",
        norms=("linf", "l2", "l1"),
        goals=ALL_GOALS,
    ),
    Component(
        kind="attack",
        name="salt-and-pepper",
        summary="Values at random places set to black or white: the baseline any L0 attack must beat.",
        build="raygrid.attacks.noise:salt_and_pepper",
        params=Noise,
        access="decision",
        norms=("l0",),
        goals=ALL_GOALS,
    ),
)
