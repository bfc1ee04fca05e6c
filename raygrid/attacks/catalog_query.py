"""The attacks that ask for scores or decisions alone. Declarations only: imports neither torch nor ray."""

from pydantic import Field

from raygrid.component import ALL_GOALS, Component, Params


class Square(Params):
    """Parameters of the Square attack."""

    queries: int = Field(5000, ge=1)
    """Looks at the victim for each sample, until one succeeds."""
    p_init: float = Field(0.8, gt=0, le=1)
    """Share of the pixels that the first squares cover; it is halved nine times on the way."""

    def passes(self) -> tuple[int, int]:
        """One look at each candidate."""
        return self.queries, 0


COMPONENTS: tuple[Component, ...] = (
    Component(
        kind="attack",
        name="square",
        summary="Random search over square patches, by scores alone: needs no gradient, so that masking it does not help.",
        build="raygrid.attacks.square:square",
        params=Square,
        source="Andriushchenko et al., ECCV 2020",
        access="score",
        norms=("linf", "l2"),
        goals=ALL_GOALS,
    ),
)
