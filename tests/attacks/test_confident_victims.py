"""A victim that is sure of itself, not robust: multiplied logits change no decision and must not change the verdict.

In float32 the softmax of such logits is 1 and its textbook cross-entropy has no gradient left (Carlini & Wagner, S&P 2017; Croce &
Hein, ICML 2020, on the scale of logits). A tool that is fooled by it reports robustness that is not there.
"""

import pytest
import torch
from cases import Case, batch_of, run, statuses
from models import digits, victim
from torch import nn

EPS = {"linf": 0.08, "l2": 1.0, "l1": 5.0}
CASES = [
    Case("fgsm", "linf"),
    *(Case("pgd", norm) for norm in EPS),
    Case("apgd-ce", "linf"),
    Case("apgd-ce", "l2"),
    Case("mi-fgsm", "linf"),
]


class Louder(nn.Module):
    """The same decisions at another scale."""

    def __init__(self, model: nn.Module, scale: float) -> None:
        super().__init__()
        self.model, self.scale = model, scale

    def forward(self, x):
        return self.scale * self.model(x)


def broken(case, model, samples=48):
    x, y = digits(samples)
    params = {} if case.name == "fgsm" else {"steps": 12}
    return statuses(run(model, batch_of(x, y, 10), case.spec(EPS[case.norm], **params))[1]).count("broken")


@pytest.mark.parametrize("scale", [1e3, 1e4])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_breaks_a_confident_victim_as_easily_as_any(case, scale):
    plain = broken(case, victim("mnist-cnn"))
    assert plain >= 8
    assert broken(case, Louder(victim("mnist-cnn"), scale)) >= plain - 3


def test_textbook_cross_entropy_has_no_gradient_there():
    """What the loss of this project is for: were it the textbook's, the test above could not pass."""
    x, y = digits(32)
    z = x.clone().requires_grad_()
    loss = nn.functional.cross_entropy(1e4 * victim("mnist-cnn")(z), y, reduction="none")
    (gradient,) = torch.autograd.grad(loss.sum(), z)
    right = victim("mnist-cnn")(x).argmax(1) == y
    assert right.sum() >= 30
    assert not gradient[right].any()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_peer_is_fooled_where_ours_is_not():
    torchattacks = pytest.importorskip("torchattacks", reason="torchattacks is the reference of this test")
    model, (x, y) = Louder(victim("mnist-cnn"), 1e4).eval(), digits(64)
    torch.manual_seed(0)
    examples = torchattacks.PGD(model, eps=EPS["linf"], alpha=EPS["linf"] / 8, steps=20)(x, y)
    theirs = int((model(examples).argmax(1) != y).sum())
    assert broken(Case("pgd", "linf"), model) >= theirs + 10
