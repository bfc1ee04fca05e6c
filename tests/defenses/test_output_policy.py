"""What victims tell of their answers: the label always, and of the scores no more than the policy says."""

import pytest
import torch
from attacking import attacked, share
from defense_cases import defended
from models import digits, numbers, victim

from raygrid.component import ACCESS_ORDER
from raygrid.defenses.output_policy import LEAD, labels, rounded, top
from raygrid.registry import find

POLICIES = [
    {"temperature": 100.0},
    {"temperature": 0.01},
    {"top": 1},
    {"top": 3},
    {"step": 0.5},
    {"step": 0.001},
    {"label_only": True},
    {"temperature": 5.0, "top": 2, "step": 0.1},
]


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_the_label_stays(policy):
    x, _ = digits(100)
    x = (x + 0.5 * numbers(*x.shape)).clamp(0, 1)  # unsure of many of them
    model = defended("output-policy", **policy)
    assert torch.equal(model(x).argmax(1), victim("mnist-cnn")(x).argmax(1))


def test_of_the_others_the_mean_is_told():
    logits = numbers(50, 10)
    told, p = top(logits, 3).exp(), logits.softmax(1)
    assert torch.allclose(told.sum(1), torch.ones(50), atol=1e-5)
    best = p.topk(3).indices
    assert torch.allclose(told.gather(1, best), p.gather(1, best), atol=1e-6)
    assert all(len(row.unique()) == 4 for row in told)
    assert torch.equal(top(torch.zeros(2, 5), 2).argmax(1), torch.zeros(2, dtype=torch.long))


def test_rounded_scores_are_multiples_of_the_step():
    logits = 3 * numbers(50, 10)
    told = rounded(logits, 0.05).exp() / 0.05
    lead = torch.zeros_like(told).scatter(1, logits.argmax(1, keepdim=True), LEAD)
    steps = (told - lead)[logits.softmax(1) > 0.03]
    assert torch.allclose(steps, steps.round(), atol=1e-3)
    assert (told - lead)[logits.softmax(1) < 0.02].allclose(torch.tensor(0.25), atol=1e-3)
    thousand = rounded(torch.linspace(0, 1, 1000)[None], 0.05)  # of which every one is rounded to 0
    assert thousand.argmax() == 999 and torch.isfinite(thousand).all()


def test_labels_tell_nothing_of_the_scores():
    assert torch.equal(labels(torch.tensor([[1.0, 2.0, 3.0]])), labels(torch.tensor([[-5.0, 2.0, 2.1]])))
    assert torch.allclose(labels(numbers(4, 10)).exp().sum(1), torch.ones(4))
    assert torch.isfinite(labels(numbers(4, 1))).all()


@pytest.mark.parametrize("most", ACCESS_ORDER)
def test_labels_leave_decisions_and_other_policies_what_there_was(most):
    params = find("defense", "output-policy").params
    assert params(label_only=True).leaves(most) == ("none" if most == "none" else "decision")
    assert params(top=1, step=0.1).leaves(most) == most


def test_rounding_hampers_score_attacks_and_not_transfer():
    few = {"eps": 0.15, "attack": "square", "queries": 150}
    free, coarse = (share(attacked("output-policy", policy, **few)) for policy in ({"temperature": 2.0}, {"step": 0.5}))
    assert coarse < free - 0.2
    blind = share(attacked("output-policy", {"label_only": True}, eps=0.15, steps=15, awareness="none"))
    assert blind > 0.9
