"""Defenses one after another around a victim."""

from raygrid.chain import Chain
from raygrid.component import resolve
from raygrid.victims.victim import Victim


def chained(params: Chain, victim: Victim) -> Victim:
    """Put all defenses around a victim: the first is outermost, and meets the input first.

    One that reaches inside stands right around the victim, wherever it is named: the others have nothing to do with hidden layers.
    """
    inside = [part for part in params.parts if part.params.reaches_inside()]
    around = [part for part in params.parts if not part.params.reaches_inside()]
    for part in (*inside, *reversed(around)):
        victim = resolve(part.build)(part.params, victim)
    return victim
