"""When a suite escalates: what its conditions make of what was seen."""

from dataclasses import replace

import pytest

from raygrid.attacks.catalog_suites import Audit, AutoAttack
from raygrid.attacks.suites import audit, autoattack
from raygrid.evidence import CLOSE, CONDITIONS, ZERO_SHARE, Record, answers_differ, left_of, unknown_in_suite
from raygrid.registry import find, parse


def record(attack="apgd-ce", access="gradient", broken=(False, False), left=(0.5, 0.5), zeros=(0, 0), eps=0.1, **rest):
    attacked = rest.pop("attacked", (True, True))
    looks = (100, 100) if access == "gradient" else (0, 0)
    unknown, false = rest.pop("unknown", (False, False)), rest.pop("false", (0, 0))
    return Record(attack, access, eps, broken, attacked, zeros, false, looks, left, unknown, **rest)


def called(name, *records):
    return CONDITIONS[name](records)


def test_without_evidence_only_the_stages_without_a_condition_are_called():
    seen = record(), record("square", "score")
    assert {name: any(called(name, *seen)) for name in CONDITIONS} == {
        "": True, "close": False, "masked": False, "random": False,
    }  # fmt: skip


def test_a_sample_is_close_by_the_least_margin_that_any_attack_at_this_eps_left_it():
    near, far = CLOSE, CLOSE + 0.01
    assert called("close", record(left=(near, far)), record(left=(0.9, 0.9))) == [True, False]
    assert called("close", record(left=(far, far)), record(left=(0.9, near))) == [False, True]
    assert called("close", record(left=(near, near), eps=0.05), record(left=(far, far))) == [False, False]


@pytest.mark.parametrize(
    ("signs", "masked"),
    [
        ([record(zeros=(int(100 * ZERO_SHARE) + 1, 0))], True),
        ([record(zeros=(int(100 * ZERO_SHARE), 0))], False),
        ([record(), record("square", "score", broken=(True, False))], True),
        ([record(), record("square", "score", broken=(True, False), attacked=(False, True))], False),
        ([record("square", "score", broken=(True, False)), record()], False),
        ([record(), record(broken=(True, False))], False),
        ([record(), record("fab", broken=(True, False))], True),
        ([record(random=True)], True),
        ([record("first-order", false=(1, 1))], True),
        ([record("first-order", false=(0, 0))], False),
        ([record("first-order", false=(1, 0)), record(broken=(False, True))], True),
        ([record("first-order", false=(1, 0)), record(broken=(True, False))], False),
        ([record("first-order", false=(1, 1), eps=0.05), record(eps=0.1)], False),
    ],
    ids=[
        "zero gradients",
        "few zero gradients",
        "scores break what gradients left",
        "an inherited success is no sign",
        "scores came first",
        "gradients break it",
        "FAB breaks what descent left",
        "answers at random",
        "gradients mislead",
        "those of none",
        "those of all that stand",
        "those of none that stands",
        "those at another eps",
    ],
)
def test_a_sign_of_masking_calls_for_every_sample(signs, masked):
    assert called("masked", *signs) == [masked] * 2


@pytest.mark.parametrize(("misled", "sign"), [(2, False), (3, True)])
def test_gradients_mislead_where_those_of_more_than_a_quarter_of_eight_samples_do(misled, sign):
    false = (1,) * misled + (0,) * (8 - misled)
    eight = {
        "broken": (False,) * 8,
        "attacked": (True,) * 8,
        "zeros": (0,) * 8,
        "left": (0.5,) * 8,
        "unknown": (False,) * 8,
    }
    seen = replace(record("first-order", false=false, **eight), backwards=(2,) * 8)
    assert called("masked", seen) == [sign] * 8


@pytest.mark.parametrize(
    ("fooled", "differ"), [([0, 20, None], False), ([0, 7], True), ([1], True), ([20], False)], ids=str
)
def test_a_victim_answers_at_random_where_some_draws_of_an_example_are_fooled(fooled, differ):
    assert answers_differ(fooled, 20) is differ


def test_a_failure_is_carried_from_stage_to_stage_and_not_from_rung_to_rung():
    failed = record(unknown=(True, False))
    assert list(unknown_in_suite([failed], 0.1)) == [True, False]
    assert list(unknown_in_suite([failed], 0.2)) == [False, False]


def test_a_margin_is_told_as_a_share_of_the_clean_one():
    assert left_of([1.0, None, -0.5, 3.0], [4.0, 4.0, 2.0, 0.0]) == [0.25, 1.0, -0.25, 1.0]


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("stages", [autoattack, audit], ids=lambda f: f.__name__)
def test_every_stage_is_an_attack_that_knows_the_norm_and_a_condition_that_exists(stages, norm):
    params = [AutoAttack(version=v) for v in ("standard", "plus", "rand")] if stages is autoattack else [Audit()]
    for stage in (stage for p in params for stage in stages(p, norm)):
        component = find("attack", stage.attack)
        parse(component, stage.params)
        assert norm in component.norms
        assert stage.when in CONDITIONS
        assert not component.suite


def test_autoattack_is_the_composition_that_its_authors_published():
    names = [stage.attack for stage in autoattack(AutoAttack(), "linf")]
    assert names == ["apgd-ce", "apgd-t", "fab", "square"]
    queries = autoattack(AutoAttack(), "linf")[-1].params
    assert (queries["queries"], queries["rescale"]) == (5000, False)
    restarts, targets = (stage.params for stage in autoattack(AutoAttack(), "l1")[:2])
    assert (restarts["restarts"], targets["targets"]) == (5, 5)
    assert {stage.eot for stage in autoattack(AutoAttack(version="rand"), "l2")} == {20}
    fabs = [s for v in ("standard", "plus") for s in autoattack(AutoAttack(version=v), "l2") if s.attack == "fab"]
    assert [fab.params["leaps"] for fab in fabs] == [False] * 3
