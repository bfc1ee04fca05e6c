"""Strength against torchattacks and foolbox: the same attack, victim, samples and eps, where 30 to 70 % of the samples stand.

Ours may be stronger, by the exact projections on ball and box together; it must not be weaker by more than two samples.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from cases import Case, batch_of, run, statuses
from models import digits, victim

SAMPLES = 128
SLACK = 2
"""Samples by which another random start may leave more standing."""


@dataclass(frozen=True)
class Pair:
    """One of our attacks beside a peer's."""

    ours: str
    norm: str
    eps: dict[str, float]
    params: dict[str, Any]
    package: str
    peer: Callable[..., torch.Tensor]
    """(package, model, x, y, eps) -> which samples the peer's example leaves standing [B]."""

    def __str__(self) -> str:
        return f"{self.ours}-{self.norm}"


def torchattacks(name: str, **params: Any) -> Callable[..., torch.Tensor]:
    def attack(package, model, x, y, eps):
        steps = {"alpha": params["alpha"] * eps} if "alpha" in params else {}
        examples = getattr(package, name)(model, eps=eps, **{**params, **steps})(x, y)
        with torch.no_grad():
            return model(examples).argmax(1) == y

    return attack


def foolbox(name: str, **params: Any) -> Callable[..., torch.Tensor]:
    def attack(package, model, x, y, eps):
        bounded = package.PyTorchModel(model, bounds=(0, 1), device="cpu")
        _, _, success = getattr(package.attacks, name)(**params)(bounded, x, y, epsilons=eps)
        return ~success

    return attack


STEPS = 12
PACE = 2.5 / STEPS
"""Step size of PGD, as a share of eps: ours by default."""

PAIRS = [
    Pair("fgsm", "linf", {"mnist-cnn": 0.1, "mnist-cnn-adv": 0.43}, {}, "torchattacks", torchattacks("FGSM")),
    Pair(
        "pgd",
        "linf",
        {"mnist-cnn": 0.08, "mnist-cnn-adv": 0.325},
        {"steps": STEPS},
        "torchattacks",
        torchattacks("PGD", steps=STEPS, alpha=PACE),
    ),
    Pair(
        "pgd",
        "l2",
        {"mnist-cnn": 1.0, "mnist-cnn-adv": 2.5},
        {"steps": STEPS},
        "torchattacks",
        torchattacks("PGDL2", steps=STEPS, alpha=PACE),
    ),
    Pair(
        "pgd",
        "l1",
        {"mnist-cnn": 5.0, "mnist-cnn-adv": 11.0},
        {"steps": STEPS},
        "foolbox",
        foolbox("SparseL1DescentAttack", steps=STEPS, rel_stepsize=PACE),
    ),
    *(
        Pair(
            "mi-fgsm",
            "linf",
            {"mnist-cnn": 0.08, "mnist-cnn-adv": eps},
            {"steps": STEPS, "nesterov": nesterov},
            "torchattacks",
            torchattacks(peer, steps=STEPS, decay=1.0, alpha=1 / STEPS),
        )
        for nesterov, peer, eps in ((False, "MIFGSM", 0.35), (True, "NIFGSM", 0.4))
    ),
    Pair(
        "apgd-ce",
        "linf",
        {"mnist-cnn": 0.08, "mnist-cnn-adv": 0.325},
        {"steps": STEPS},
        "torchattacks",
        torchattacks("APGD", norm="Linf", steps=STEPS),
    ),
    Pair(
        "apgd-ce",
        "l2",
        {"mnist-cnn": 1.0, "mnist-cnn-adv": 2.2},
        {"steps": STEPS},
        "torchattacks",
        torchattacks("APGD", norm="L2", steps=STEPS),
    ),
]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ["mnist-cnn", "mnist-cnn-adv"])
@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_leaves_no_more_standing_than_the_peer(pair, name):
    package = pytest.importorskip(pair.package, reason=f"{pair.package} is the reference of this test")
    model, (x, y), eps = victim(name), digits(SAMPLES), pair.eps[name]
    torch.manual_seed(0)
    theirs = int(pair.peer(package, model, x, y, eps).sum())
    assert 0.3 * SAMPLES <= theirs <= 0.7 * SAMPLES

    _, verdicts = run(model, batch_of(x, y, 10), Case(pair.ours, pair.norm).spec(eps, **pair.params))
    assert sum(v.clean_correct for v in verdicts) == int((model(x).argmax(1) == y).sum())
    assert statuses(verdicts).count("robust") <= theirs + SLACK
