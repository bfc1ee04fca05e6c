"""What every attack of the table keeps to: its constraint, budget, access, active set and streams of random numbers."""

import inspect
from functools import cache

import pytest
import torch
from cases import ATTACKS, GRADIENT, Case, batch_of, run, statuses
from models import Counting, Linear, Tiny, digits, numbers, pixels, victim

from raygrid import registry
from raygrid.component import ACCESS_ORDER, resolve
from raygrid.constraints import TOLERANCE, Constraint
from raygrid.goals import Goal
from raygrid.oracle import AccessDeniedError, Oracle
from raygrid.randomness import Randomness
from raygrid.spec import Budget

EVERY = pytest.mark.parametrize("case", ATTACKS, ids=str)
NAMES = sorted({case.name for case in ATTACKS})
EPS = {"linf": 0.1, "l2": 1.0, "l1": 6.0, "l0": 40.0}
"""Breaks some of the digits of mnist-cnn and leaves some."""


def tiny_batch(n=24):
    x = pixels(n, 1, 6, 6, seed=5)
    x = torch.where(pixels(n, 1, 6, 6, seed=6) < 0.3, x.round(), x)  # some values at 0 and 1
    return batch_of(x, Tiny()(x).argmax(1), 3)


def digit_batch(n, order=None):
    x, y = digits(n)
    order = torch.arange(n) if order is None else order
    return batch_of(x[order], y[order], 10, [f"digit-{i}" for i in order.tolist()])


def test_every_attack_and_norm_of_the_catalog_has_its_line():
    fixed_eps = [c for c in registry.of_kind("attack") if not (c.minimal_norm or c.suite or c.fit)]
    wanted = {(component.name, norm) for component in fixed_eps for norm in component.norms}
    assert {(case.name, case.norm) for case in ATTACKS} == wanted


# The constraint


@pytest.mark.parametrize("goal", ["untargeted", "random-target"])
@pytest.mark.parametrize("eps", [0.0, 1e-8, 1e-3, 0.3, 1.0, 36.0])
@EVERY
def test_stays_inside_its_constraint(case, eps, goal):
    if case.norm == "linf" and eps > 1:
        pytest.skip("outside the input range")
    batch = tiny_batch()
    made, verdicts = run(Tiny(), batch, case.spec(eps, goal=goal, **case.few))
    assert not made.failures
    assert Constraint(case.norm, eps).allows(made.x_adv, batch.x).all()
    assert "invalid" not in statuses(verdicts)


@EVERY
def test_stays_inside_its_constraint_on_150_thousand_values(case):
    """float32 sums of so many values, or the rounding of x + delta, once made examples invalid by 2e-6."""
    photo = pixels(1, 3, 224, 224, seed=1)
    x = torch.cat([photo, 0 * photo, 0 * photo + 1, photo * (photo > 0.5)])  # black, white, half black
    model = Linear(numbers(3, photo.numel()) / 100, torch.zeros(3))
    batch = batch_of(x, model(x).argmax(1), 3)
    few = {**case.few, "steps": 2} if "steps" in case.few else case.few
    for eps in {"linf": (1 / 255, 0.3), "l2": (0.01, 3.0), "l1": (0.01, 30.0), "l0": (1.0, 700.0)}[case.norm]:
        made, _ = run(model, batch, case.spec(eps, **few), access=None)
        assert Constraint(case.norm, eps).allows(made.x_adv, x).all()


# eps 0


@EVERY
def test_eps_zero_is_clean(case):
    batch = digit_batch(24)
    model = victim("mnist-cnn")
    predicted = model(batch.x).argmax(1)
    made, verdicts = run(model, batch, case.spec(0.0, **case.few))
    assert torch.equal(made.x_adv, batch.x)
    assert [v.prediction for v in verdicts] == predicted.tolist()
    assert statuses(verdicts) == ["robust" if right else "clean_wrong" for right in predicted == batch.labels]
    assert all(v.linf == v.l2 == v.l1 == v.l0 == 0 and v.snr_db is None for v in verdicts)


# Random numbers, batches, order


class Watched(Randomness):
    """Randomness that keeps every number it gave, by sample."""

    given: dict = {}  # noqa: RUF012 - one test, one run

    def _drawn(self, purposes, index, like, shape, fill):
        numbers_ = super()._drawn(purposes, index, like, shape, fill)
        for position, purpose, row in zip(index.tolist(), purposes, numbers_, strict=True):
            self.given[self.sample_ids[position], purpose] = row.clone()
        return numbers_


@EVERY
def test_a_sample_draws_the_same_numbers_whatever_its_batch_and_order(case, monkeypatch):
    """Transfer attacks every sample to the end, so that all of them draw all their numbers."""
    monkeypatch.setattr("raygrid.batch.Randomness", Watched)
    batch = tiny_batch(10)
    spec = case.spec(EPS[case.norm] / 4, access="transfer", **case.few)
    seen = []
    for order, micro_batch in ((range(10), None), (range(10), 1), ([7, 2, 9, 0, 4, 1, 8, 3, 6, 5], 3), ([4], None)):
        Watched.given = {}
        run(Tiny(), batch.take(list(order)), spec, micro_batch=micro_batch, access=case.access)
        seen.append(dict(Watched.given))
    whole, single, shuffled, alone = seen
    assert bool(whole) is case.random
    for other in (single, shuffled):
        assert other.keys() == whole.keys()
        assert all(torch.equal(other[key], whole[key]) for key in whole)
    assert all(torch.equal(alone[key], whole[key]) for key in alone)
    assert {key for key in whole if key[0] == "sample-4"} == set(alone)


@EVERY
def test_verdicts_hardly_depend_on_the_batch_size_and_order(case):
    """Sums in another order round differently; a sample on the edge of eps may then fall to the other side."""
    model, n = victim("mnist-cnn"), 100
    spec = case.spec(EPS[case.norm], **case.few)
    _, whole = run(model, digit_batch(n), spec, micro_batch=64)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(1))
    _, shuffled = run(model, digit_batch(n, order), spec, micro_batch=7)
    back = [shuffled[i].status for i in order.argsort().tolist()]
    assert sum(a != b for a, b in zip(statuses(whole), back, strict=True)) <= 1
    if case.access == "gradient":
        assert {"robust", "broken"} <= set(back)

    few = 16
    _, single = run(model, digit_batch(few), spec, micro_batch=1)
    assert statuses(single) == statuses(whole)[:few]


@EVERY
def test_a_rerun_is_bit_identical_at_equal_micro_batch(case):
    batch = digit_batch(14)
    spec = case.spec(EPS[case.norm], **case.few)
    once, again = (run(victim("mnist-cnn"), batch, spec, micro_batch=7)[0].x_adv for _ in range(2))
    assert torch.equal(once, again)
    other = run(victim("mnist-cnn"), batch, spec, micro_batch=7, seed=1)[0].x_adv
    assert torch.equal(once, other) is not (case.random and not case.notes)


# Costs


@pytest.mark.parametrize("micro_batch", [None, 5])
@EVERY
def test_counts_the_passes_that_the_victim_saw(case, micro_batch):
    model, batch = Counting(Tiny()), tiny_batch()
    made, _ = run(Tiny(), batch, case.spec(EPS[case.norm] / 8, **case.few))
    counted = Oracle(model, len(batch.ids), access=case.access, micro_batch=micro_batch)
    attack(case, counted, batch, EPS[case.norm] / 8)
    assert counted.forwards.sum() == model.forwards
    assert counted.backwards.sum() == model.backwards
    if micro_batch is None:
        assert made.forwards == counted.forwards.tolist()


def attack(case, oracle, batch, eps, **params):
    component = registry.find("attack", case.name)
    params = dict(registry.parse(component, {**case.few, **params}))
    goal = Goal("untargeted", batch.labels)
    randomness = Randomness(0, case.name, batch.ids)
    return resolve(component.build)(oracle, goal, batch.x, Constraint(case.norm, eps), randomness, **params)


@pytest.mark.parametrize("params", ["defaults", "few"])
@EVERY
def test_spends_all_its_passes_and_no_more_when_nothing_stops_it(case, params):
    given = case.few if params == "few" else {}
    if "queries" in registry.find("attack", case.name).params.model_fields:
        given = {"queries": 700} | given  # thousands are no other test
    if "targets" in registry.find("attack", case.name).params.model_fields:
        given = {"targets": 2} | given  # three classes have two rivals
    batch = tiny_batch(3)
    oracle = Oracle(Tiny(), 3, access=case.access, stop_early=False)
    component = registry.find("attack", case.name)
    parsed = registry.parse(component, given)
    resolve(component.build)(
        oracle,
        Goal("untargeted", batch.labels),
        batch.x,
        Constraint(case.norm, EPS[case.norm]),
        Randomness(0, case.name, batch.ids),
        **dict(parsed),
    )
    forwards, backwards = case.passes(parsed)
    assert oracle.forwards.tolist() == [forwards] * 3
    assert oracle.backwards.tolist() == [backwards] * 3


@pytest.mark.parametrize(
    "budget", [Budget(0), Budget(1), Budget(5), Budget(None, 0), Budget(None, 3), Budget(9, 8)], ids=str
)
@EVERY
def test_spends_no_more_than_its_budget(case, budget):
    batch = tiny_batch()
    made, verdicts = run(Tiny(), batch, case.spec(EPS[case.norm] / 8, budget=budget, **case.few))
    assert not made.failures  # an attack that ignores what it has left is stopped with an error
    assert max(made.forwards) <= (budget.queries if budget.queries is not None else 1000)
    assert max(made.backwards) <= (budget.gradients if budget.gradients is not None else 1000)
    assert set(statuses(verdicts)) <= {"robust", "broken"}


@EVERY
def test_spends_nothing_on_what_is_wrong_already_and_stops_at_success(case):
    batch = digit_batch(40)
    labels = batch.labels.clone()
    labels[::4] = (labels[::4] + 1) % 10
    made, verdicts = run(victim("mnist-cnn"), batch_of(batch.x, labels, 10), case.spec(EPS[case.norm], **case.few))
    most, _ = case.passes(registry.parse(registry.find("attack", case.name), case.few))
    for i, verdict in enumerate(verdicts):
        if i % 4 == 0:
            assert (verdict.status, made.forwards[i], made.backwards[i]) == ("clean_wrong", 0, 0)
            assert torch.equal(made.x_adv[i], batch.x[i])
        if verdict.status == "robust":
            assert made.forwards[i] == most
            assert not made.claimed[i]
        if verdict.status == "broken":
            assert made.claimed[i] is (case.name != "fgsm")  # one step, and no look at what came of it
            assert made.forwards[i] <= most
    if case.name in {"pgd", "apgd-ce"} and case.norm != "l1":
        assert min(made.forwards[i] for i, v in enumerate(verdicts) if v.status == "broken") < most


# Access


@EVERY
def test_needs_exactly_the_access_that_the_catalog_says(case):
    assert registry.find("attack", case.name).access == case.access
    batch = tiny_batch(4)
    less = ACCESS_ORDER[ACCESS_ORDER.index(case.access) - 1]
    attack(case, Oracle(Tiny(), 4, access=case.access), batch, 0.1)
    with pytest.raises(AccessDeniedError, match=f"asked for {case.access} access and has {less} access"):
        attack(case, Oracle(Tiny(), 4, access=less), batch, 0.1)


@pytest.mark.parametrize("case", GRADIENT, ids=str)
def test_a_gradient_attack_with_less_access_is_an_error_and_never_robust(case):
    _, verdicts = run(Tiny(), tiny_batch(4), case.spec(0.1, **case.few), access="score")
    assert statuses(verdicts) == ["error"] * 4
    assert all("asked for gradient access and has score access" in v.error for v in verdicts)


# Strength


@cache
def broken_by_noise(norm):
    """The most of 60 digits that either noise breaks, with its defaults."""
    noises = (Case(name, norm, access="decision") for name in ("uniform-noise", "gaussian-noise"))
    return max(count_broken(noise, 60, EPS[norm]) for noise in noises)


def count_broken(case, samples, eps, **params):
    return statuses(run(victim("mnist-cnn"), digit_batch(samples), case.spec(eps, **params))[1]).count("broken")


def variant(case):
    return {name: case.few[name] for name in case.variant}


@pytest.mark.parametrize("case", GRADIENT, ids=str)
def test_beats_random_noise_of_its_size(case):
    few = {"steps": 20} if "steps" in case.few else {}
    found = count_broken(case, 60, EPS[case.norm], **few | variant(case) | case.strong)
    assert found >= 10 + broken_by_noise(case.norm)


@pytest.mark.parametrize("case", [case for case in GRADIENT if "restarts" in case.few], ids=str)
def test_more_restarts_break_no_less(case):
    eps, rest = 0.8 * EPS[case.norm], {"steps": 5} | variant(case)
    one, three = (count_broken(case, 60, eps, restarts=n, **rest) for n in (1, 3))
    assert one <= three


# The catalog


@pytest.mark.parametrize("name", NAMES)
def test_the_parameters_of_an_attack_are_the_catalogs(name):
    component = registry.find("attack", name)
    signature = inspect.signature(resolve(component.build)).parameters.values()
    keywords = {p.name for p in signature if p.kind is inspect.Parameter.KEYWORD_ONLY}
    assert keywords == set(component.params.model_fields)
    given = [p.name for p in signature if p.kind is not inspect.Parameter.KEYWORD_ONLY]
    assert given == ["oracle", "goal", "x", "constraint", "randomness"]
    assert all(p.default is inspect.Parameter.empty for p in signature), "defaults stand in the catalog alone"


@pytest.mark.parametrize("name", NAMES)
def test_the_catalog_explains_an_attack(name):
    component = registry.find("attack", name)
    assert component.summary
    assert component.norms
    assert component.goals
    assert component.version >= 1
    assert all(field.description for field in component.params.model_fields.values())
    if component.access != "decision":  # noise has no paper
        assert any(digit.isdigit() for digit in component.source), "the paper with its year"


def test_the_tolerance_is_what_the_documents_say():
    assert TOLERANCE == 1e-6
