"""What the suites consist of. Pure: imports neither torch nor ray."""

from raygrid.attacks.catalog_suites import Audit, AutoAttack
from raygrid.component import Stage

EVERY_CLASS = 1_000_000
"""As many rivals as there are."""
RAND_DRAWS = 20
"""Draws that each look of AutoAttack's version rand averages over."""


def autoattack(params: AutoAttack, norm: str) -> tuple[Stage, ...]:
    """Return the stages of AutoAttack (Croce & Hein, ICML 2020), version by version as its authors published them.

    For L1 (Croce & Hein, ICML 2021) APGD-CE has five restarts and APGD-T five targets. In version plus the authors' untargeted FAB
    steps to the nearest of all classes at once. FAB is theirs and the paper's, without our leaps, and in L2 and L1 APGD steps
    as theirs does.
    """
    l1, theirs = norm == "l1", {"leaps": False}
    steps = {} if norm == "linf" else {"variant": "published"}
    square = Stage("square", {"queries": 5000, "rescale": False})
    stages = {
        "standard": (
            Stage("apgd-ce", {"restarts": 5 if l1 else 1} | steps),
            Stage("apgd-t", {"targets": 5 if l1 else 9} | steps),
            Stage("fab", theirs),
            square,
        ),
        "plus": (
            Stage("apgd-ce", {"restarts": 5} | steps),
            Stage("apgd-dlr", {"restarts": 5} | steps),
            Stage("fab", {"restarts": 5, "targeted": False, "targets": EVERY_CLASS} | theirs),
            square,
            Stage("apgd-t", steps),
            Stage("fab", {"restarts": 5} | theirs),
        ),
        "rand": (Stage("apgd-ce", steps, eot=RAND_DRAWS), Stage("apgd-dlr", steps, eot=RAND_DRAWS)),
    }
    return stages[params.version]


def audit(params: Audit, norm: str) -> tuple[Stage, ...]:
    """Return the stages of audit.

    Cheap attacks come first: one step, which shows whether gradients foretell what steps bring, APGD-CE, a race of rival
    classes, which is APGD-T for half its passes, and a short Square that shows whether scores see what gradients don't. A
    long run goes for samples that nearly fell. The others are AutoAttack's stages, FAB with leaps, and an attack on decisions
    alone: they are called where the victim shows a sign of masking, which is a gradient of zero, gradients of a quarter of the
    standing samples that mislead, an answer at random, or a sample that Square or FAB broke and gradient descent had left. Behind
    ripples, x + 0.02 sin(400 x), the short Square broke none of 64 digits, as blind as descent, and 5,000 queries 11.

    Where answers are random, looks average over draws, first as in AutoAttack's version rand: without that stage 7 of 12 digits
    stood behind a random crop, and 5 with it.

    In L2 and L1 a short FAB-T looks at all samples: descent gets stuck there on victims trained against L-inf. Of 46 digits of
    mnist-cnn-adv (L2 1.6) that it left, FAB-T with 5 targets and 60 steps breaks 14, Square with 5,000 queries 5, APGD-T at most 5.
    """
    del params  # it has none
    return (
        Stage("first-order"),
        Stage("apgd-ce"),
        Stage("apgd-race"),
        Stage("square", {"queries": 200}),
        *(() if norm == "linf" else (Stage("fab", {"targets": 5, "steps": 60}),)),
        Stage("apgd", {"loss": "margin", "steps": 500}, when="close"),
        Stage("apgd-ce", eot=RAND_DRAWS, when="random"),
        Stage("apgd", {"loss": "margin"}, eot=RAND_DRAWS, when="random"),
        Stage("apgd-t", when="masked"),
        Stage("fab", when="masked"),
        Stage("square", {"queries": 5000, "rescale": False}, when="masked"),
        *(() if norm == "l1" else (Stage("hop-skip-jump", when="masked"),)),
    )
