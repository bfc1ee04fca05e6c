"""Randomized smoothing against the victim on which its truth is known.

For two classes, noise leaves a linear decision as it is, and the smoothed victim's class has the probability
Phi(margin / (sigma |w|)): the L2 distance to its boundary is margin / |w|.
"""

import math

import pytest
import torch
from models import Linear, Tiny, digits, numbers, pixels, radius, victim

from raygrid.constraints import Constraint
from raygrid.defenses.catalog_noise import Noise
from raygrid.defenses.catalog_smoothing import Smoothing
from raygrid.defenses.noise import Noisy
from raygrid.defenses.smoothing import Smoothed
from raygrid.defenses.votes import shares, shares_or_none
from raygrid.errors import UsageError
from raygrid.goals import Goal
from raygrid.judge import NO_ANSWER, judge
from raygrid.metrics.binomial import needed
from raygrid.notebook import attack
from raygrid.oracle import Oracle
from raygrid.outputs import run_model, vouched
from raygrid.randomness import Randomness
from raygrid.registry import find, parse
from raygrid.victims.check import check_victim
from raygrid.victims.info import VictimInfo
from raygrid.victims.victim import Victim

SIDE = 4


def wrapped(module, shape, classes):
    return Victim(module, VictimInfo("small", "small.none", classes, shape, (0.0,), (1.0,), ""))


def linear(margins):
    """Two classes, and inputs at these L2 distances from the boundary between them, all of class 0."""
    w = numbers(SIDE * SIDE, seed=1)
    w /= w.norm()
    x = 0.5 + 0.02 * numbers(len(margins), SIDE * SIDE, seed=2)
    x += (torch.as_tensor(margins) - (x - 0.5) @ w)[:, None] * w
    module = Linear(torch.stack([w, -w]) / 2, torch.stack([-0.5 * w.sum(), 0.5 * w.sum()]) / 2)
    return wrapped(module, (1, SIDE, SIDE), 2), x.view(-1, 1, SIDE, SIDE)


def randomness(n, seed=0):
    return Randomness(seed, "defense", [str(i) for i in range(n)])


def look(n, purpose="judge/0", seed=0):
    return randomness(n, seed).draws(torch.arange(n), [purpose] * n)


def certified(smoothed, x, labels=None, micro_batch=None, seed=0):
    labels = torch.zeros(len(x), dtype=torch.long) if labels is None else labels
    return vouched(smoothed, x, labels, micro_batch, randomness(len(x), seed))


def test_the_certificate_never_exceeds_the_true_distance_and_comes_close_to_it():
    distances = torch.linspace(0.02, 0.7, 100)
    model, x = linear(distances)
    found = torch.tensor(certified(Smoothed(Smoothing(sigma=0.25, n=2000), model), x))
    boxed = radius(model.model, x, torch.zeros(100, dtype=torch.long), "l2")
    assert (found <= distances).all()
    assert (found <= boxed).all(), "and what holds in all directions holds in the box"
    most = 0.25 * torch.distributions.Normal(0, 1).icdf(torch.tensor(0.001 ** (1 / 2000))).item()
    assert found.max() <= most
    provable = (distances > 0.2) & (distances < 0.8 * most)
    assert (found[provable] > 0.7 * distances[provable]).all()


def test_of_many_certificates_no_more_than_alpha_are_wrong():
    n, alpha, distance = 1500, 0.1, 0.15
    model, x = linear([distance] * n)
    found = torch.tensor(certified(Smoothed(Smoothing(sigma=0.25, n=120, n0=20, votes=20, alpha=alpha), model), x))
    wrong = (found > distance).float().mean().item()
    assert alpha / 4 < wrong < alpha + 3 * math.sqrt(alpha * (1 - alpha) / n)


def test_where_votes_are_close_a_wrong_answer_is_as_rare_as_alpha_says_and_none_is_common():
    n, alpha = 2000, 0.1
    model, x = linear([0.005] * n)
    logits = Smoothed(Smoothing(sigma=0.25, votes=101, alpha=alpha), model)(x, look(n))
    answers = torch.bincount(logits.argmax(1), minlength=3) / n
    assert 0.005 < answers[1] < alpha
    assert answers[2] > 0.5


def test_an_input_of_the_wrong_class_or_without_a_class_is_not_certified():
    model, x = linear([0.4, -0.4, 0.0])
    smoothed = Smoothed(Smoothing(sigma=0.25), model)
    right, wrong, nothing = certified(smoothed, x)
    assert right > 0.3 and wrong == nothing == 0
    assert certified(smoothed, x, torch.tensor([1, 1, 1]))[1] > 0.3


def test_answers_and_certificates_do_not_depend_on_what_stands_beside_a_sample():
    model, x = linear(torch.linspace(-0.3, 0.3, 9))
    smoothed = Smoothed(Smoothing(sigma=0.25, n=200), model)
    once = certified(smoothed, x)
    assert certified(smoothed, x, micro_batch=1) == certified(smoothed, x, micro_batch=4) == once
    order = torch.tensor([8, 2, 5, 0])
    draws = randomness(9).draws(order, ["judge/0"] * 4)
    assert torch.equal(smoothed(x[order], draws), smoothed(x, look(9))[order])
    assert certified(smoothed, x, seed=1) != once


def test_the_class_is_chosen_by_other_votes_than_those_that_prove_it_and_than_those_that_judge():
    asked = []

    class Watched(Smoothed):
        def votes(self, x, draws, votes):
            asked.append((votes, draws.purposes))
            return super().votes(x, draws, votes)

    model, x = linear([0.3])
    watched = Watched(Smoothing(sigma=0.25, votes=50, n0=30, n=70), model)
    certified(watched, x)
    watched(x, look(1))
    assert asked == [(30, ("certify/0",)), (70, ("certify/1",)), (50, ("judge/0",))]


def test_votes_are_counted_pass_by_pass(monkeypatch):
    sizes = []

    class Counted(Linear):
        def forward(self, x):
            sizes.append(len(x))
            return super().forward(x)

    model, x = linear([0.3] * 2)
    model.model.__class__ = Counted
    monkeypatch.setattr("raygrid.defenses.noise.AT_ONCE", 10 * SIDE * SIDE)
    votes = Smoothed(Smoothing(sigma=0.25), model).votes(x, look(2), 25)
    assert sizes == [20, 20, 10] and votes.sum(1).tolist() == [25, 25]


def test_no_answer_leads_exactly_where_the_test_tells_the_first_two_from_nothing():
    votes = torch.tensor([[a, b, 60 - a - b] for a in range(61) for b in range(61 - a)])
    logits = shares_or_none(votes, 0.05)
    assert torch.equal(logits[:, :3], shares(votes, votes.sum(1, keepdim=True)))
    first_two = votes.topk(2).values
    decided = first_two[:, 0] >= torch.from_numpy(needed(first_two.sum(1).numpy(), 0.05))
    assert torch.equal(logits.argmax(1) < 3, decided) and 0 < decided.sum() < len(votes)
    assert torch.isfinite(logits).all()
    assert torch.equal(logits.argmax(1)[decided], votes.argmax(1)[decided])


def test_a_hundred_thousand_votes_still_decide_to_the_vote():
    least = int(needed(torch.tensor(100_000).numpy(), 0.001))
    votes = torch.tensor([[least, 100_000 - least], [least - 1, 100_001 - least], [100_000, 0]])
    assert shares_or_none(votes, 0.001).argmax(1).tolist() == [0, 2, 0]


def test_noise_may_abstain_as_smoothing_does():
    model, x = linear(torch.linspace(-0.2, 0.2, 20))
    noisy = Noisy(Noise(site="input", sigma=0.25, votes=30, abstain=0.01), model)
    smoothed = Smoothed(Smoothing(sigma=0.25, votes=30, alpha=0.01), model)
    assert torch.equal(noisy(x, look(20)), smoothed(x, look(20)))
    assert certified(noisy, x) == [None] * 20, "but it certifies nothing"
    silent = Noisy(Noise(site="input", sigma=0, votes=30, abstain=0.01), model)
    assert not silent.abstains and torch.equal(silent(x), model(x))


def test_who_abstains_already_is_not_made_to_do_so_again():
    smoothed = Smoothed(Smoothing(sigma=0.25), linear([0.1])[0])
    with pytest.raises(UsageError, match="abstains already"):
        Smoothed(Smoothing(sigma=0.25), smoothed)
    votes = Noisy(Noise(site="input", sigma=0.1, votes=3), smoothed)
    assert votes.abstains and votes(pixels(2, 1, SIDE, SIDE), look(2)).shape == (2, 3)


def test_an_attacker_takes_the_gradient_of_one_copy_and_no_answer_has_a_column_there_too():
    model = wrapped(Tiny(), (1, 6, 6), 3)
    x, labels = pixels(5, 1, 6, 6), torch.tensor([0, 1, 2, 0, 1])
    smoothed = Smoothed(Smoothing(sigma=0.25), model)
    plain = Noisy(Noise(site="input", sigma=0.25), model)
    looks = [
        Oracle(defended, 5, eot=3, numbers=randomness(5)).gradient(Goal("untargeted", labels), x, torch.arange(5))
        for defended in (smoothed, plain)
    ]
    torch.testing.assert_close(looks[0].gradient, looks[1].gradient)
    assert looks[0].gradient.flatten(1).abs().sum(1).gt(0).all()
    oracle = Oracle(smoothed, 5, numbers=randomness(5))
    rivals = oracle(x, torch.arange(5)).scatter(1, labels[:, None], -torch.inf).argmax(1)
    assert rivals.max() == 3, "close votes have no answer as the next best"
    steered = oracle.gradient(Goal("untargeted", labels).rival(rivals), x, torch.arange(5), "margin")
    assert steered.gradient.flatten(1).abs().sum(1).gt(0).all()


class Silent(Victim):
    """Answers by the first pixel: below 1/2 its class, from there on nothing."""

    abstains = True

    def forward(self, x):
        nothing = (x[:, 0, 0, 0] >= 0.5).float()
        return torch.stack([1 - nothing, torch.full_like(nothing, -1), 3 * nothing], dim=1)


@pytest.mark.parametrize(
    ("goal", "statuses"),
    [
        (Goal("untargeted", torch.zeros(3, dtype=torch.long)), ["robust", "broken", "clean_wrong"]),
        (Goal("targeted", torch.zeros(3, dtype=torch.long), torch.ones(3, dtype=torch.long)), ["robust"] * 3),
    ],
)
def test_no_answer_is_never_right_and_never_robust_and_never_what_a_target_asks_for(goal, statuses):
    model = Silent(Tiny(), VictimInfo("silent", "silent.none", 2, (1, 1, 2), (0.0,), (1.0,), ""))
    x = torch.tensor([0.2, 0.4, 0.6]).view(3, 1, 1, 1).expand(3, 1, 1, 2)
    x_adv = x + 0.2
    clean = run_model(model, x, 2)
    found = judge(model, goal, x, x_adv, Constraint("linf", 0.3), clean, {})
    assert [v.status for v in found] == statuses
    assert [v.clean_correct for v in found] == [True, True, False]
    assert [(v.clean_prediction, v.prediction, v.abstained) for v in found] == [
        (0, 0, False), (0, NO_ANSWER, True), (NO_ANSWER, NO_ANSWER, True),
    ]  # fmt: skip
    assert found[0].confidence == pytest.approx(1 / (1 + math.exp(-2))), "among the classes"
    assert found[1].confidence is found[2].confidence is None
    assert all((v.margin <= 0) is bool(v.success) for v in found)


def test_a_sample_that_can_not_be_certified_spoils_no_other():
    class Fails(Smoothed):
        def certify(self, x, draws):
            if (x > 0.9).any():
                raise RuntimeError("no")
            return super().certify(x, draws)

    model, x = linear([0.3] * 4)
    x[2] = 1
    found = certified(Fails(Smoothing(sigma=0.25, n=100), model), x)
    assert found[2] is None and all(radius > 0 for i, radius in enumerate(found) if i != 2)


MISTAKES = {
    "sigma 0": ("smoothing", {"sigma": 0}, "sigma"),
    "sigma below 0": ("smoothing", {"sigma": -0.1}, "sigma"),
    "no sigma": ("smoothing", {}, "sigma"),
    "n too small": ("smoothing", {"sigma": 0.25, "n": 9}, "all 9 noisy copies of n agreed.* certify at alpha 0.001; it must be 10"),
    "votes too few": ("smoothing", {"sigma": 0.25, "votes": 10}, "all 10 noisy copies of votes agreed.* it must be 11 or more"),
    "a strict alpha": ("smoothing", {"sigma": 0.25, "n": 100, "alpha": 1e-40, "votes": 1000}, "it must be 133 or more"),
    "alpha 1": ("smoothing", {"sigma": 0.25, "alpha": 1}, "alpha"),
    "n0 0": ("smoothing", {"sigma": 0.25, "n0": 0}, "n0"),
    "noise of few votes": ("noise", {"sigma": 1, "votes": 5, "abstain": 0.05}, "votes must be 6 or more"),
    "noise of mean": ("noise", {"sigma": 1, "votes": 50, "vote": "mean", "abstain": 0.05}, "vote must be majority"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "params", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_what_could_prove_nothing_is_refused_in_one_message(name, params, message):
    with pytest.raises(UsageError, match=message) as caught:
        parse(find("defense", name), params)
    assert len(caught.value.messages) == 1


@pytest.mark.parametrize("alpha", [0.3, 0.05, 0.001, 2.0**-10, 1e-6])
def test_the_fewest_copies_that_are_taken_can_answer_and_certify(alpha):
    for votes, n in ((v, v) for v in range(1, 40)):
        enough = 2 * 0.5**votes <= alpha, alpha ** (1 / n) > 0.5
        try:
            Smoothing(sigma=1, votes=votes, n=n, alpha=alpha)
        except ValueError:
            assert not all(enough), votes
        else:
            assert all(enough), votes


def test_smoothed_digits_pass_the_preflight():
    x, labels = digits(8)
    model = Smoothed(Smoothing(sigma=0.25, votes=12), victim("mnist-cnn"))
    assert check_victim(model, x, labels, 10, may_be_random=True) == check_victim(model, x, labels, 10) == []


def test_a_notebook_attacks_a_smoothed_module_and_takes_no_answer_for_no_class():
    x, labels = digits(6)
    model = Smoothed(Smoothing(sigma=0.25, votes=12), victim("mnist-cnn"))
    done = attack(model, x, labels, "pgd", norm="l2", eps=2.0, steps=3, eot=2, draws=3)
    assert {v.draws for v in done.verdicts} == {3} and done.statuses["broken"] >= 1
    assert all(v.abstained is (v.prediction == NO_ANSWER) for v in done.verdicts)
    with pytest.raises(UsageError, match=r"y must lie in 0\.\.9"):
        attack(model, x, labels + 5, "pgd", norm="l2", eps=2.0)
