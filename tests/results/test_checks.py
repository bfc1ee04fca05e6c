"""Every masking check: flagged where its sign is there, not where it is not, and blind to what was inherited."""

import pytest
from small_folder import Unit

from raygrid.results.checks import CHECKS

GRADIENT = {"attack": "pgd", "access": "gradient", "attack_params": '{"steps": 10}', "eot": 1, "eps": 0.1}
MORE = {**GRADIENT, "attack_params": '{"steps": 40}'}
SQUARE = {"attack": "square", "access": "score", "eps": 0.1}
NOISE = {"attack": "uniform-noise", "access": "decision", "eps": 0.1}
BROKEN = {"a": "broken", "b": "robust", "c": "robust", "d": "clean_wrong"}
ALL = {"a": "broken", "b": "broken", "c": "robust", "d": "clean_wrong"}


def signs(folder, *units):
    folder.run(*units)
    return {row["sign"]: row for row in folder.rows("checks")}


def flagged(folder, *units):
    return {name for name, row in signs(folder, *units).items() if row["flagged"]}


CASES = {
    "score-beats-gradient": ([Unit("g", BROKEN, cell=GRADIENT), Unit("s", ALL, cell=SQUARE)], (1, 3)),
    "noise-does-as-well": ([Unit("g", BROKEN, cell=GRADIENT), Unit("n", BROKEN, cell=NOISE)], (1, 1)),
    "large-eps-survived": ([Unit("g", BROKEN, cell={**GRADIENT, "eps": 0.6})], (2, 3)),
    "more-steps-break-less": ([Unit("g", ALL, cell=GRADIENT), Unit("m", BROKEN, cell=MORE)], (1, 3)),
    "starts-disagree": (
        [Unit("x seed=0", BROKEN, cell=GRADIENT), Unit("x seed=1", ALL, cell={**GRADIENT, "seed": 1})],
        (1, 3),
    ),
    "clean-differs-from-eps-0": (
        [Unit("z", BROKEN, cell={**GRADIENT, "eps": 0.0}, trial={"prediction": "1", "clean_prediction": "1"})],
        (1, 3),
    ),
    "random-and-not-averaged": ([Unit("g", BROKEN, cell=GRADIENT, trial={"draws": 20})], (3, 3)),
}


NOISY = {**GRADIENT, "defense": "noise"}


@pytest.mark.parametrize(
    ("cell", "fooled", "flagged"),
    [
        (NOISY | {"awareness": "defense"}, 7, True),
        (NOISY | {"awareness": "all+input"}, 7, True),
        (NOISY | {"awareness": "none"}, 7, None),
        (NOISY | {"awareness": "channel+hidden"}, 7, None),
        (GRADIENT | {"awareness": "none"}, 7, True),
        (GRADIENT, 20, None),
    ],
)
def test_only_who_knows_of_a_random_victim_is_told_to_average(folder, cell, fooled, flagged):
    found = signs(folder, Unit("g", BROKEN, cell=cell, trial={"draws": 20, "draws_fooled": fooled}))
    assert (found["random-and-not-averaged"]["flagged"] if found else None) is flagged


@pytest.mark.parametrize("name", CASES)
def test_a_sign_of_masking_is_counted_and_flagged(folder, name):
    units, counted = CASES[name]
    row = signs(folder, *units)[name]
    assert (row["flagged"], row["num"], row["den"]) == (True, *counted)
    assert row["share"] == counted[0] / counted[1]
    assert {row["flags"] for row in folder.rows("summary")} == {
        ", ".join(sorted(row["sign"] for row in folder.rows("checks") if row["flagged"]))
    }


@pytest.mark.parametrize("name", ["score-beats-gradient", "noise-does-as-well"])
def test_what_was_inherited_feeds_no_check(folder, name):
    units, _ = CASES[name]
    units[-1].trial = {"obtained": "inherited"}
    assert name not in flagged(folder, *units)


@pytest.mark.parametrize(
    "units",
    [
        [
            Unit("g", ALL, cell=GRADIENT),
            Unit("s", BROKEN, cell=SQUARE),
            Unit("n", {"a": "robust", "b": "robust"}, cell=NOISE),
        ],
        [Unit("g", BROKEN, cell=GRADIENT), Unit("m", ALL, cell=MORE)],
        [Unit("g", {"a": "broken", "b": "broken"}, cell={**GRADIENT, "eps": 0.6})],
        [Unit("x seed=0", ALL, cell=GRADIENT), Unit("x seed=1", ALL, cell={**GRADIENT, "seed": 1})],
        [Unit("t", ALL, cell={**GRADIENT, "access": "transfer"}), Unit("s", ALL, cell=SQUARE)],
        [Unit("t", ALL, cell={**GRADIENT, "goal": "targeted"}), Unit("s", ALL, cell={**SQUARE, "goal": "targeted"})],
    ],
    ids=["weaker without gradients", "more steps break more", "all fall", "seeds agree", "transfer", "targeted"],
)
def test_a_sound_victim_is_not_flagged(folder, units):
    assert flagged(folder, *units) == set()
    assert {row["flags"] for row in folder.rows("summary")} == {None}


@pytest.mark.parametrize(("zeros", "expected"), [(0, False), (1, False), (10, True)])
def test_gradients_that_are_zero_are_counted_over_all_backward_passes(folder, zeros, expected):
    folder.craft("g", "a", "b", "c", "d", backwards=20, zero_gradients=zeros)
    row = signs(folder, Unit("g", BROKEN, cell=GRADIENT))["zero-gradients"]
    assert (row["num"], row["den"], row["flagged"]) == (3 * zeros, 60, expected)


FIRST = {**GRADIENT, "attack": "first-order", "attack_params": "{}"}


@pytest.mark.parametrize(
    ("false", "after", "counted", "expected"),
    [
        (1, BROKEN, (2, 3), True),
        (0, BROKEN, (0, 3), False),
        (1, ALL, (1, 3), True),
        (1, dict.fromkeys("abc", "broken"), (0, 3), False),
    ],
    ids=["most that stand", "none", "one that stands", "none that stands"],
)
def test_gradients_that_mislead_are_counted_on_what_stands(folder, false, after, counted, expected):
    folder.craft("f", "a", "b", "c", backwards=1, false_gradients=false)
    folder.craft("f", "d", backwards=0, false_gradients=0)
    folder.craft("g", "a", "b", "c", "d", backwards=20)
    found = signs(folder, Unit("f", {**ALL, "a": "robust", "b": "robust"}, cell=FIRST), Unit("g", after, cell=GRADIENT))
    row = found["gradients-mislead"]
    assert (row["num"], row["den"], row["flagged"]) == (*counted, expected)


def test_what_a_ladder_took_over_from_a_smaller_eps_counts_for_gradients_and_not_for_noise(folder):
    few, many = {f"s{i}": "broken" for i in range(2)}, {f"s{i}": "broken" for i in range(10)}
    left = {f"s{i}": "robust" for i in range(10, 12)}
    gradient = Unit("g", many | left, cell=GRADIENT, trial={"obtained": "inherited"})
    noise = Unit("n", few | {f"s{i}": "robust" for i in range(2, 12)}, cell=NOISE)
    row = signs(folder, gradient, noise)["noise-does-as-well"]
    assert (row["num"], row["den"], row["flagged"]) == (2, 10, False)


def test_noise_is_compared_with_no_single_step(folder):
    units = [Unit("f", BROKEN, cell=FIRST), Unit("n", BROKEN, cell=NOISE)]
    assert "noise-does-as-well" not in signs(folder, *units)


def test_every_check_has_a_case():
    assert set(CASES) | {"zero-gradients", "gradients-mislead"} == {check.name for check in CHECKS}
