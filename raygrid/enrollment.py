"""What a verification has to find out once for each victim behind each defense: the embeddings of all clean photos, from which
thresholds, the photos that an attacker knows and those that judge him are taken. A declaration: imports neither torch nor ray."""

from dataclasses import dataclass, field

from raygrid.component import Component, Params

NO_MATCH, MATCH = 0, 1
ANSWERS = ("no match", "match")
"""How tables write the two answers of a verification."""


class Enroll(Params):
    """Enrollment has no parameters: the false accept rate only picks a threshold among what it keeps."""

    def needs_fit(self) -> bool:
        """Always: it is nothing else."""
        return True


ENROLLMENT = Component(
    kind="enrollment",
    name="enrollment",
    summary="Embeddings of all clean photos, and similarities of the people set apart for calibration.",
    params=Enroll,
    build="raygrid.verification:enroll",
)


@dataclass(frozen=True)
class Enrollment:
    """To be fitted like a defense or an attack, see `grid.Fit`."""

    component: Component = ENROLLMENT
    params: Params = field(default_factory=Enroll)
