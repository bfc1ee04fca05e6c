"""Gradients in 16 bits: close to those of float32, never believed where they say success, and on a GPU the same captured or not."""

import pytest
import torch
from torch import Tensor, nn

from raygrid import attack, registry
from raygrid.component import resolve
from raygrid.data.dataset import pixels
from raygrid.errors import UsageError
from raygrid.goals import Goal
from raygrid.oracle import NEARLY, Oracle
from raygrid.victims.mixed import PASSES_BEFORE_CAPTURE, MixedPasses, mixed_passes
from raygrid.victims.victim import Victim

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    table = resolve(registry.find("data", "mnist-5k").build)(registry.find("data", "mnist-5k").params(), 64).table
    return torch.tensor(pixels(table)), torch.tensor(table.column("label").to_numpy())


@pytest.fixture(scope="module")
def victim() -> Victim:
    component = registry.find("victim", "mnist-cnn")
    params = component.params()
    built: Victim = resolve(component.build)(params, resolve(component.identify or "")(params, "mnist-cnn"))
    return built


def gradient(passes, x: Tensor) -> tuple[Tensor, Tensor]:
    z = x.detach().requires_grad_(True)
    logits = passes(z)
    return logits.detach(), torch.autograd.grad((logits[:, 0] - logits[:, 1]).sum(), z)[0]


def test_gradients_point_where_those_of_float32_point(victim, digits):
    x, _ = digits
    (logits, g), (exact, exact_g) = gradient(victim.mixed, x), gradient(victim, x)
    assert logits.dtype == g.dtype == torch.float32
    assert not torch.equal(logits, exact)  # else nothing was rounded, and this says nothing
    alike = torch.cosine_similarity(g.flatten(1), exact_g.flatten(1))
    assert alike.median() > 0.99
    assert alike.min() > 0.9
    assert (logits - exact).abs().max() < 0.03 * exact.abs().max()


class Close(nn.Module):
    """Two classes whose scores differ in the last bits of float32 only, which 16 bits round to the same or the wrong way."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(1, 2)
        with torch.no_grad():
            self.linear.weight.copy_(torch.tensor([[1.0], [-1.0]]))
            self.linear.bias.copy_(torch.tensor([100.001, 100.002]))

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.linear(x.flatten(1))
        return outputs


def test_what_succeeds_in_float32_succeeds_whatever_rounding_makes_of_it():
    model = Close().requires_grad_(False)
    x, goal = torch.zeros(3, 1, 1, 1), Goal("untargeted", torch.tensor([1, 1, 0]))
    rounded = mixed_passes(model)(x).argmax(1)
    assert rounded.tolist() == [0, 0, 0]  # class 1 in float32
    for oracle in (Oracle(model, 3, mixed=MixedPasses(model)), Oracle(model, 3)):
        assert oracle.gradient(goal, x, torch.arange(3)).success.tolist() == [False, False, True]


def test_what_16_bits_put_just_short_of_success_is_asked_in_float32_and_nothing_farther_off(victim, digits):
    x, y = digits
    goal, everyone = (
        Goal("untargeted", (y + 1) % 10),
        torch.arange(len(x)),
    )  # met by all: these are other classes' labels
    logits = victim(x)
    asked: list[int] = []
    victim_seen = lambda z: asked.append(len(z)) or victim(z)  # type: ignore[func-returns-value]  # noqa: E731

    def short_by(share):
        """All wrong, in the direction of the label: the margin that is left is this share of the largest score."""
        raised = logits.amax(1) + share * logits.abs().amax(1)
        return lambda z: (
            victim(z)
            + (raised - logits.gather(1, goal.labels[:, None])[:, 0])[:, None] * nn.functional.one_hot(goal.labels, 10)
        )

    for share, found in ((NEARLY / 2, True), (NEARLY * 4, False)):
        asked.clear()
        said = Oracle(victim_seen, len(x), mixed=short_by(share)).gradient(goal, x, everyone)
        assert (said.success == found).all()
        assert sum(asked) == found * len(x)


@pytest.mark.parametrize(("steps", "exact"), [(1, 0), (3, 0), (4, 1), (8, 2), (10, 2), (40, 10)])
def test_the_last_quarter_of_the_steps_is_in_float32(victim, digits, steps, exact):
    x, y = digits[0][:2], digits[1][:2]
    asked: list[int] = []
    seen = lambda z: asked.append(len(z)) or victim(z)  # type: ignore[func-returns-value]  # noqa: E731
    oracle = Oracle(victim, 2, mixed=seen, stop_early=False)
    found = [len(asked) for on in oracle.rounds(steps) if oracle.gradient(Goal("untargeted", y), x, on)]
    assert found == [*range(1, steps - exact + 1), *[steps - exact] * exact]
    oracle.gradient(Goal("untargeted", y), x, oracle.active())
    assert len(asked) == steps - exact + 1  # what is asked after them, or by another run, is in 16 bits again


def test_steps_that_are_broken_off_leave_the_next_ones_as_they_were(victim, digits):
    x, y = digits[0][:2], digits[1][:2]
    asked: list[int] = []
    seen = lambda z: asked.append(len(z)) or victim(z)  # type: ignore[func-returns-value]  # noqa: E731
    oracle = Oracle(victim, 2, mixed=seen, stop_early=False)
    for step, _ in enumerate(oracle.rounds(4)):
        if step == 3:
            break
    oracle.gradient(Goal("untargeted", y), x, oracle.active())
    assert len(asked) == 1


def test_what_is_lost_in_16_bits_is_asked_in_float32(victim, digits):
    x, y = digits
    goal, everyone = Goal("untargeted", y), torch.arange(len(x))
    exact = Oracle(victim, len(x)).gradient(goal, x, everyone)
    for factor in (torch.inf, 0.0):
        lost = Oracle(victim, len(x), mixed=lambda z, factor=factor: victim(z) * factor).gradient(goal, x, everyone)
        assert all(torch.equal(found, wanted) for found, wanted in zip(lost, exact, strict=True))


class Overflowing(torch.autograd.Function):
    """The identity, whose larger slopes become infinite, and no number of them NaN."""

    @staticmethod
    def forward(ctx, z):
        return z.view_as(z)

    @staticmethod
    def backward(ctx, slope):
        return torch.where(slope > slope.max() / 2, torch.inf, slope)


def test_a_gradient_that_is_infinite_where_the_loss_is_not_is_asked_in_float32(victim, digits):
    x, y = digits
    goal, everyone = Goal("untargeted", y), torch.arange(len(x))
    exact = Oracle(victim, len(x)).gradient(goal, x, everyone)
    found = Oracle(victim, len(x), mixed=lambda z: victim(Overflowing.apply(z))).gradient(goal, x, everyone)
    assert found.gradient.isfinite().all() and torch.allclose(found.gradient, exact.gradient, rtol=1e-4, atol=1e-5)


def test_what_is_confirmed_costs_the_attacker_no_look(victim, digits):
    x, y = digits
    oracle = Oracle(victim, len(x), mixed=victim.mixed)
    wrong = Goal("untargeted", (y + 1) % 10)
    assert oracle.gradient(wrong, x, oracle.active()).success.all()
    assert set(oracle.forwards) == {1}


@pytest.mark.parametrize("name", ["pgd", "apgd-ce", "fmn"])
def test_as_many_stand_as_in_float32(victim, digits, name):
    x, y = digits
    steps = {"steps": 10}
    found = [
        attack(victim, x, y, name, norm="linf", eps=0.08, precision=precision, **steps)  # type: ignore[arg-type]
        for precision in ("float32", "mixed")
    ]
    standing = [sum(verdict.status == "robust" for verdict in one.verdicts) for one in found]
    assert abs(standing[0] - standing[1]) <= 2
    assert not torch.equal(found[0].x_adv, found[1].x_adv)


def test_a_gradient_that_is_lost_beside_a_sample_changes_nothing_of_it(victim, digits):
    x, y = digits
    alone = Oracle(victim, 1, mixed=victim.mixed).gradient(Goal("untargeted", y[:1]), x[:1], torch.arange(1))
    halved = lambda z: victim.mixed(z) * torch.tensor([[1.0], [0.0]])  # noqa: E731
    beside = Oracle(victim, 2, mixed=halved).gradient(Goal("untargeted", y[:2]), x[:2], torch.arange(2))
    exact = Oracle(victim, 2).gradient(Goal("untargeted", y[:2]), x[:2], torch.arange(2))
    assert torch.allclose(beside.gradient[1], exact.gradient[1], rtol=1e-4, atol=1e-6)
    assert not torch.allclose(beside.gradient[0], exact.gradient[0], rtol=1e-4, atol=1e-6)
    assert torch.cosine_similarity(beside.gradient[0].flatten(), alone.gradient[0].flatten(), dim=0) > 0.9999


def test_precisions_that_are_none_are_refused(victim, digits):
    with pytest.raises(UsageError, match='precision is float32 or mixed, not "bfloat16"'):
        attack(victim, *digits, "pgd", eps=0.1, precision="bfloat16")  # type: ignore[arg-type]


def test_who_takes_no_gradients_takes_no_precision(victim, digits):
    with pytest.raises(UsageError, match='attack "square" takes no gradients'):
        attack(victim, *digits, "square", eps=0.1, precision="mixed")


@on_gpu
def test_a_captured_pass_is_the_one_that_was_captured(victim, digits):
    on_card = victim.to("cuda")
    passes, x = MixedPasses(on_card), digits[0].cuda()
    first = gradient(passes, x[:50])
    kept = [tensor.clone() for tensor in first]
    for _ in range(PASSES_BEFORE_CAPTURE + 2):
        later = gradient(passes, x[:50])
    gradient(passes, 1 - x[:50])  # overwrites what lies in the graph, and nothing that was given out
    for before, copy, after in zip(first, kept, later, strict=True):
        assert torch.equal(before, copy)
        assert torch.equal(before, after)
    assert list(passes._graphs) == [(64, 1, 28, 28)]


@on_gpu
def test_other_samples_in_the_batch_change_nothing_on_a_gpu(victim, digits):
    on_card = victim.to("cuda")
    passes, x = MixedPasses(on_card), digits[0].cuda()
    alone, among = gradient(passes, x[:3]), gradient(passes, x)
    assert torch.cosine_similarity(alone[1].flatten(1), among[1][:3].flatten(1)).min() > 0.999
