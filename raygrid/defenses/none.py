"""No defense: the baseline every defense is compared with."""

from raygrid.component import Params
from raygrid.victims.victim import Victim


def none(params: Params, victim: Victim) -> Victim:
    """Return the victim unchanged."""
    return victim
