import pytest
import torch
from models import Counting, Tiny, pixels

from raygrid.defenses.catalog_noise import Noise
from raygrid.defenses.defended import Defended
from raygrid.defenses.noise import Noisy
from raygrid.errors import UsageError
from raygrid.goals import Goal
from raygrid.ledger import BudgetSpentError
from raygrid.oracle import AccessDeniedError, Oracle
from raygrid.randomness import Randomness
from raygrid.sample_errors import NotFiniteError
from raygrid.spec import Budget
from raygrid.victims.info import VictimInfo
from raygrid.victims.victim import Victim

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


class Flat(Tiny):
    """Tiny, whose scores hang on no pixel of samples whose first pixel is 1."""

    def forward(self, x):
        return super().forward(torch.where(x[:, :1, :1, :1] == 1, x.detach(), x))


def test_zero_gradients_are_counted_look_by_look():
    x = X.clone()
    x[2, 0, 0, 0], x[4, 0, 0, 0] = 1, 1
    oracle = oracle_of(Flat())
    oracle.gradient(GOAL, x, ALL)
    assert oracle.zero_gradients.tolist() == [0, 0, 1, 0, 1, 0]
    oracle.gradient(GOAL, x[[1, 2, 2]], some(1, 2, 2))
    assert oracle.zero_gradients.tolist() == [0, 0, 3, 0, 1, 0]


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


# The inside


class Inside(Victim):
    """Tiny as a victim of named layers; "1" is what the ReLU leaves."""

    def __init__(self):
        tiny = Tiny()
        model = torch.nn.Sequential(tiny.conv, torch.nn.ReLU(), torch.nn.Flatten(), tiny.head)
        super().__init__(model, VictimInfo("inside", "inside", 3, (1, 6, 6), (0.0,), (1.0,), "", license="", source=""))


def own_loss(sight, z, where):
    """The margin, once by the logits of one pass, once by those of two copies of the layer's values, one of them below 0."""
    goal, logits, h = GOAL.at(where), sight.logits(z), sight.features(z, "1")
    resumed = sight.resume(torch.stack([h, -1 - h], 1).flatten(0, 1), "1")
    return goal.margin(logits) + goal.margin(resumed[::2]) + resumed[1::2, 0], goal.met(logits.detach())


@pytest.mark.parametrize("micro_batch", [None, 1, 4, 64])
def test_a_loss_of_the_attacks_own_is_differentiated_whatever_the_micro_batch(micro_batch):
    oracle, index = oracle_of(Inside(), micro_batch=micro_batch), some(5, 0, 3, 1, 4)
    query = oracle.differentiate(own_loss, X[index], index, 4)
    x = X[index].requires_grad_()
    logits = Inside()(x)
    zeros = Inside().resume(torch.zeros(1, 3, 4, 4), "1")[0, 0]
    value = 2 * GOAL.at(index).margin(logits)
    assert torch.allclose(query.loss, (value + zeros).detach(), atol=1e-5)
    assert torch.allclose(query.gradient, torch.autograd.grad(value.sum(), x)[0], atol=1e-5)
    assert torch.equal(query.success, GOAL.at(index).success(logits))
    assert oracle.forwards.tolist() == oracle.backwards.tolist() == [4, 4, 0, 4, 4, 4]


@pytest.mark.parametrize("micro_batch", [None, 4])
def test_the_values_of_a_layer_are_the_victims_and_cost_a_pass(micro_batch):
    oracle, index = oracle_of(Inside(), micro_batch=micro_batch), some(4, 1)
    assert torch.allclose(oracle.features(X[index], "1", index), Inside().features(X[index], "1"))
    assert oracle.forwards.tolist() == [0, 1, 0, 0, 1, 0] and not oracle.backwards.any()
    with pytest.raises(UsageError, match='no layer "relu"; it has: 0, 1, 2'):
        oracle.features(X, "relu", ALL)


@pytest.mark.parametrize("access", ["none", "decision", "score"])
def test_who_has_less_than_gradient_access_knows_nothing_of_the_inside(access):
    oracle = oracle_of(Inside(), access=access)
    with pytest.raises(AccessDeniedError, match="asked for gradient access"):
        oracle.features(X, "1", ALL)
    with pytest.raises(AccessDeniedError, match="asked for gradient access"):
        oracle.differentiate(own_loss, X, ALL, 4)
    assert not oracle.forwards.any()


def test_a_loss_takes_no_more_passes_than_it_said_and_no_more_than_the_budget():
    with pytest.raises(ValueError, match="no more passes than it said"):
        oracle_of(Inside()).differentiate(own_loss, X, ALL, 3)
    for budget in (Budget(3), Budget(None, 3)):
        oracle = oracle_of(Inside(), budget=budget)
        with pytest.raises(BudgetSpentError):
            oracle.differentiate(own_loss, X, ALL, 4)
        assert not oracle.forwards.any()


def test_a_loss_of_part_of_a_sample_is_refused():
    def odd(sight, z, where):
        sight.logits(z[:-1])

    with pytest.raises(ValueError, match="whole copies of its samples"):
        oracle_of(Inside()).differentiate(odd, X, ALL, 4)


def test_what_the_hinge_of_a_loss_hides_is_not_finite_all_the_same():
    def hinge(sight, z, where):
        logits = sight.logits(z)
        return GOAL.at(where).margin(logits).clamp_min(0), GOAL.at(where).met(logits.detach())

    class Infinite(Inside):
        def forward(self, x):
            logits = super().forward(x)
            return torch.where((x[:, 0, 0, :1] == 1) & (torch.arange(3) == 1), torch.inf, logits)

    x = 0.9 * X
    x[3, 0, 0, 0] = 1.0
    for micro_batch in (None, 2):
        with pytest.raises(NotFiniteError) as caught:
            oracle_of(Infinite(), micro_batch=micro_batch).differentiate(hinge, x, ALL, 1)
        assert caught.value.positions == [3]


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5], [4, 2]])
@pytest.mark.parametrize("micro_batch", [None, 1, 4])
def test_every_pass_of_a_loss_is_a_look_of_its_own_at_a_random_victim(order, micro_batch):
    """As looks one by one would have seen it, whatever stands beside a sample."""
    victim, index = Noisy(Noise(site="input", sigma=0.3), Inside()), torch.tensor(order)
    numbers = Randomness(0, "defense", [f"sample-{i}" for i in range(N)])
    single = oracle_of(victim, numbers=numbers)
    seen = [single(X[index], index) for _ in range(3)]
    assert not torch.allclose(seen[0], seen[1])

    def loss(sight, z, where):
        logits = torch.cat([sight.logits(z)[:, None], sight.logits(z.repeat_interleave(2, 0)).view(len(z), 2, 3)], 1)
        return (logits * torch.tensor([1.0, 10.0, 100.0])[:, None])[..., 0].sum(1), logits[:, 0, 0] > 0

    oracle = oracle_of(victim, numbers=numbers, micro_batch=micro_batch)
    query = oracle.differentiate(loss, X[index], index, 3)
    wanted = seen[0][:, 0] + 10 * seen[1][:, 0] + 100 * seen[2][:, 0]
    assert torch.allclose(query.loss, wanted, rtol=1e-4)
    assert torch.allclose(oracle(X[index], index), single(X[index], index), atol=1e-5)


def test_a_loss_is_averaged_over_the_draws_of_the_oracle():
    channel = Noted()
    oracle = oracle_of(Inside(), channel=channel, eot=2)
    query = oracle.differentiate(own_loss, X, ALL, 4)
    assert oracle.forwards.tolist() == [8] * N
    # Two passes of four start at the input; those that start inside pass no channel.
    assert set(channel.shown) == {(i, f"craft/{look}/{draw}") for i in range(N) for look in (0, 1) for draw in (0, 1)}
    assert torch.allclose(query.loss, oracle_of(Inside()).differentiate(own_loss, X / 2, ALL, 4).loss)


def test_the_inside_of_a_defended_victim_has_the_gradient_that_stands_in():
    class Rounded(Defended):
        def before(self, x, draws):
            return x.round()

        def softly_before(self, x, draws):
            return x + (x.round() - x).detach()

    def loss(sight, z, where):
        h = sight.features(z, "1").flatten(1)
        return h.sum(1), h[:, 0] > 0

    query = oracle_of(Rounded(Inside())).differentiate(loss, X, ALL, 1)
    assert torch.allclose(query.loss, Inside().features(X.round(), "1").flatten(1).sum(1))
    assert (query.gradient.flatten(1).abs().sum(1) > 0).all()
