import pytest
import torch
from models import Counting, Tiny, pixels

from raygrid.goals import Goal
from raygrid.oracle import AccessDeniedError, BudgetSpentError, NotFiniteError, Oracle
from raygrid.spec import Budget

N = 6
X = pixels(N, 1, 6, 6)
GOAL = Goal("untargeted", torch.tensor([0, 1, 2, 0, 1, 2]))
ALL = torch.arange(N)


def some(*positions):
    return torch.tensor(positions, dtype=torch.long)


def oracle_of(victim=None, **arguments):
    return Oracle(victim or Tiny(), N, **arguments)


ASKS = {
    "decision": lambda oracle: oracle.decide(GOAL, X, ALL),
    "score": lambda oracle: oracle.look(GOAL, X, ALL),
    "scores": lambda oracle: oracle(X, ALL),
    "gradient": lambda oracle: oracle.gradient(GOAL, X, ALL),
}
ALLOWED = {
    "none": (),
    "decision": ("decision",),
    "score": ("decision", "score", "scores"),
    "gradient": tuple(ASKS),
}


@pytest.mark.parametrize("access", ALLOWED)
@pytest.mark.parametrize("asked", ASKS)
def test_gives_what_the_access_allows_and_no_more(access, asked):
    oracle = oracle_of(access=access)
    if asked in ALLOWED[access]:
        ASKS[asked](oracle)
        assert oracle.forwards.tolist() == [1] * N
    else:
        with pytest.raises(AccessDeniedError):
            ASKS[asked](oracle)
        assert not oracle.forwards.any()


@pytest.mark.parametrize("micro_batch", [None, 1, 4, 64])
def test_answers_are_the_victims_whatever_the_micro_batch(micro_batch):
    victim = Tiny()
    x = X.clone().requires_grad_()
    logits = victim(x)
    loss = GOAL.loss(logits, "margin")
    (gradient,) = torch.autograd.grad(loss.sum(), x)
    oracle = oracle_of(victim, micro_batch=micro_batch)
    assert torch.allclose(oracle(X, ALL), logits)
    for query in (oracle.look(GOAL, X, ALL, "margin"), oracle.gradient(GOAL, X, ALL, "margin")):
        assert torch.allclose(query.loss, loss, atol=1e-5)
        assert torch.equal(query.success, GOAL.success(logits))
    assert torch.allclose(oracle.gradient(GOAL, X, ALL, "margin").gradient, gradient, atol=1e-5)
    assert torch.equal(oracle.decide(GOAL, X, ALL), GOAL.success(logits))


def test_an_index_tells_whose_goal_and_whose_cost_it_is():
    oracle, index = oracle_of(), some(4, 1)
    query = oracle.gradient(GOAL, X[index], index)
    assert torch.allclose(query.loss, oracle_of().gradient(GOAL, X, ALL).loss[index])
    assert oracle.forwards.tolist() == oracle.backwards.tolist() == [0, 1, 0, 0, 1, 0]


def test_a_sample_named_twice_pays_twice():
    victim = Counting(Tiny())
    oracle, index = oracle_of(victim), some(2, 2, 2, 5)
    oracle.gradient(GOAL, X[index], index)
    assert oracle.forwards.tolist() == oracle.backwards.tolist() == [0, 0, 3, 0, 0, 1]
    assert oracle.forwards.sum() == victim.forwards == victim.backwards
    limited = oracle_of(budget=Budget(2))
    with pytest.raises(BudgetSpentError):
        limited(X[index], index)


@pytest.mark.parametrize("order", [[3, 1, 5, 0, 2, 4], [0, 1, 2, 3, 4, 5]])
def test_a_full_index_in_any_order_is_taken_at_its_word(order):
    index = torch.tensor(order)
    assert torch.allclose(
        oracle_of().look(GOAL, X[index], index).loss, oracle_of().look(GOAL, X, ALL).loss[index], atol=1e-5
    )


@pytest.mark.parametrize("budget", [Budget(3), Budget(None, 3), Budget(9, 3), Budget(3, 9)], ids=str)
def test_rounds_end_when_the_budget_does(budget):
    oracle = oracle_of(budget=budget)
    rounds = [oracle.gradient(GOAL, X[active], active) for active in oracle.rounds(10)]
    assert len(rounds) == 3
    assert oracle.forwards.tolist() == [3] * N
    with pytest.raises(BudgetSpentError, match=r"rounds leaves those out"):
        oracle.gradient(GOAL, X, ALL)
    assert oracle.forwards.tolist() == [3] * N, "what is refused costs nothing"


def test_rounds_leave_out_those_who_cannot_pay():
    oracle = oracle_of(budget=Budget(3))
    oracle(X[:2], some(0, 1))
    oracle(X[:1], some(0))
    assert oracle.remaining(ALL).tolist() == [1, 2, 3, 3, 3, 3]
    assert oracle.active(queries=2).tolist() == [1, 2, 3, 4, 5]
    assert [active.tolist() for active in oracle.rounds(2, queries=3)] == [[2, 3, 4, 5]] * 2


def test_rounds_are_no_more_than_asked_and_none_when_nobody_stands():
    assert len(list(oracle_of().rounds(4))) == 4
    assert list(oracle_of(skip=torch.ones(N, dtype=torch.bool)).rounds(4)) == []
    assert list(Oracle(Tiny(), 0).rounds(4)) == []


def test_what_is_skipped_is_never_active():
    oracle = oracle_of(skip=ALL % 2 == 0)
    assert oracle.active().tolist() == [1, 3, 5]
    assert oracle.retire(some(1, 3), torch.tensor([True, False])).tolist() == [False, True]
    assert oracle.active().tolist() == [3, 5]


def test_broken_samples_are_active_no_more():
    oracle = oracle_of()
    assert oracle.retire(ALL, torch.zeros(N, dtype=torch.bool)) is None
    assert oracle.retire(ALL, ALL == 2).tolist() == [True, True, False, True, True, True]
    assert oracle.active().tolist() == [0, 1, 3, 4, 5]
    oracle.retire(some(0, 5), torch.tensor([False, True]))
    assert oracle.active().tolist() == [0, 1, 3, 4]
    assert oracle.broken.tolist() == [False, False, True, False, False, True]


def test_without_early_stop_broken_samples_go_on():
    oracle = oracle_of(stop_early=False)
    assert oracle.retire(ALL, ALL == 2) is None
    assert oracle.active().tolist() == ALL.tolist()
    assert oracle.broken.tolist() == [False, False, True, False, False, False]


class Faulty(torch.nn.Module):
    """Tiny, with a fault in some outputs or gradients of samples whose first pixel is 1."""

    def __init__(self, fault):
        super().__init__()
        self.model, self.fault = Tiny(), fault

    def forward(self, x):
        bad = (x[:, 0, 0, 0] == 1)[:, None]
        logits = self.model(x)
        if self.fault == "gradient":
            return logits + torch.where(bad, (x[:, 0, 0, :1] - 1).abs().sqrt(), 0.0)  # 0, with an infinite slope
        return torch.where(bad, torch.tensor(self.fault), logits)


@pytest.mark.parametrize("micro_batch", [None, 1, 4])
@pytest.mark.parametrize("fault", [float("nan"), float("inf"), "gradient"])
def test_names_the_samples_on_which_the_victim_is_not_finite(fault, micro_batch):
    x = 0.9 * X
    x[[1, 4], 0, 0, 0] = 1.0
    oracle = oracle_of(Faulty(fault), micro_batch=micro_batch)
    with pytest.raises(NotFiniteError) as caught:
        oracle.gradient(GOAL, x, ALL)
    assert set(caught.value.positions) <= {1, 4}
    assert caught.value.positions
    sound = some(5, 0, 3)
    assert torch.isfinite(oracle.gradient(GOAL, x[sound], sound).gradient).all()
    if fault != "gradient":
        with pytest.raises(NotFiniteError) as caught:
            oracle.decide(GOAL, x, ALL)
        assert caught.value.positions == [1, 4]


def test_large_finite_scores_are_no_fault():
    class Huge(Tiny):
        def forward(self, x):
            return 3e37 * super().forward(x).sign()

    assert not oracle_of(Huge()).look(GOAL, X, ALL, "margin").loss.isnan().any()


def test_parameters_get_no_gradients():
    victim = Tiny().requires_grad_(False)
    oracle_of(victim).gradient(GOAL, X, ALL)
    assert all(parameter.grad is None for parameter in victim.parameters())


# Channels


class Noted:
    """A channel that halves what it is shown, and notes at which purpose it showed which sample."""

    def __init__(self):
        self.shown = []

    def __call__(self, x, index, purpose):
        self.shown += [(int(i), purpose) for i in index]
        return x / 2


@pytest.mark.parametrize("micro_batch", [None, 1, 4])
@pytest.mark.parametrize("asked", ASKS)
def test_every_draw_of_every_look_passes_the_channel_at_a_purpose_of_its_own(asked, micro_batch):
    channel = Noted()
    oracle = oracle_of(channel=channel, eot=2, micro_batch=micro_batch)
    for _ in range(3):
        ASKS[asked](oracle)
    wanted = {(i, f"craft/{look}/{draw}") for i in range(N) for look in range(3) for draw in range(2)}
    assert set(channel.shown) == wanted
    assert len(channel.shown) == len(wanted)


@pytest.mark.parametrize("micro_batch", [None, 2])
def test_the_looks_of_a_sample_are_counted_for_it_alone(micro_batch):
    """Else what a sample is shown would depend on what stands beside it."""
    channel = Noted()
    oracle = oracle_of(channel=channel, eot=3, micro_batch=micro_batch)
    for index in (some(1, 4), some(4), some(0, 1, 2, 4, 5)):
        gradient = oracle.gradient(GOAL, X[index], index).gradient
    seen = {i: max(int(purpose.split("/")[1]) for j, purpose in channel.shown if j == i) for i in (0, 1, 2, 4, 5)}
    assert seen == {0: 0, 1: 1, 2: 0, 4: 2, 5: 0}
    x = X[index].clone().requires_grad_()
    (wanted,) = torch.autograd.grad(GOAL.at(index).loss(Tiny()(x / 2)).sum(), x)
    assert torch.allclose(gradient, wanted, atol=1e-6)


def test_a_sample_named_twice_is_seen_twice_in_the_same_way():
    channel = Noted()
    oracle = oracle_of(channel=channel)
    oracle(X[[2, 2]], some(2, 2))
    oracle(X[[2]], some(2))
    assert channel.shown == [(2, "craft/0/0"), (2, "craft/0/0"), (2, "craft/2/0")]


def test_the_victim_sees_what_the_channel_shows():
    oracle = oracle_of(channel=Noted())
    assert torch.allclose(oracle(X, ALL), Tiny()(X / 2))
    assert torch.equal(oracle.decide(GOAL, X, ALL), GOAL.success(Tiny()(X / 2)))
