"""Attacks on defended victims as hosts run them, by attackers who know of the defense or don't."""

from typing import Any

import torch
from defense_cases import defended
from models import digits, victim

from raygrid.batch import Batch, numbers_of
from raygrid.judge import Verdict
from raygrid.kernel import craft, score
from raygrid.outputs import run_model
from raygrid.registry import find, parse
from raygrid.spec import AttackSpec, DefenseSpec, JudgeSpec


def attacked(
    defense: str,
    params: dict[str, Any],
    *,
    eps: float,
    n: int = 40,
    awareness: str = "all",
    attack: str = "pgd",
    **rest: Any,
) -> list[Verdict]:
    """Verdicts on so many digits of mnist-cnn behind a defense, attacked in L-inf."""
    x, y = digits(n)
    batch = Batch([f"digit-{i}" for i in range(n)], x, y, 10)
    model = defended(defense, **params) if defense != "none" else victim("mnist-cnn")
    component = find("defense", defense)
    behind = DefenseSpec(component, parse(component, params))
    found = find("attack", attack)
    eot = rest.pop("eot", None)
    bare = AttackSpec(found, parse(found, rest), "linf", eps, access=found.access, awareness=awareness, eot=eot)
    spec = bare.facing(behind)
    judging = JudgeSpec().of(spec, random=behind.params.draws_at_random())
    source = victim("mnist-cnn") if spec.elsewhere else model
    made = craft(source, batch, spec, 0, access=found.access, judging=judging)
    assert not made.failures
    clean = run_model(model, x, 10, None, judging.draws, numbers=numbers_of(batch, 0), alarms=True)
    return score(model, batch, spec, 0, made.x_adv, made.failures, clean, broken_at=judging.broken_at)


def share(verdicts: list[Verdict], status: str = "broken") -> float:
    """Share of the verdicts with this status."""
    return sum(v.status == status for v in verdicts) / len(verdicts)


def undetected(verdicts: list[Verdict]) -> float:
    """Share that was broken without an alarm."""
    return sum(v.status == "broken" and not v.detected for v in verdicts) / len(verdicts)


def gray(rows: list[list[float]]) -> torch.Tensor:
    """A picture [1, 1, H, W]."""
    return torch.tensor(rows)[None, None]
