"""What the views say of a folder: counts, proportions, what is unknown, and what is worst."""

import pytest
from small_folder import Unit

from raygrid.metrics.statistics import design_effect, wilson
from raygrid.results.folder import write_index

FOUR = {"s1": "robust", "s2": "broken", "s3": "clean_wrong", "s4": "robust"}


def only(rows):
    (row,) = rows
    return row


def picked(row, *names):
    return {name: row[name] for name in names}


def test_trials_are_joined_with_the_index(folder):
    folder.run(Unit("c.0", {"s1": "robust"}), reused=True)
    row = only(folder.rows("trials"))
    assert picked(row, "run", "grid", "cell_id", "reused", "victim", "sample_id", "status") == {
        "run": "r1", "grid": "g", "cell_id": "c", "reused": True, "victim": "lite0", "sample_id": "s1", "status": "robust",
    }  # fmt: skip


def test_a_summary_counts_every_status_over_all_shards(folder):
    other = {"t1": "invalid", "t2": "error", "t3": "timeout", "t4": "skipped", "t5": "broken"}
    folder.run(Unit("c.0", FOUR), Unit("c.1", other, planned=6))
    row = only(folder.rows("summary"))
    assert picked(row, "planned", "units", "n", "missing") == {"planned": 10, "units": 2, "n": 9, "missing": 1}
    assert picked(row, "robust", "broken", "clean_wrong", "invalid", "error", "timeout", "skipped") == {
        "robust": 2, "broken": 2, "clean_wrong": 1, "invalid": 1, "error": 1, "timeout": 1, "skipped": 1,
    }  # fmt: skip
    assert picked(row, "robust_accuracy", "robust_accuracy_num", "robust_accuracy_den") == {
        "robust_accuracy": None, "robust_accuracy_num": 2, "robust_accuracy_den": 5,
    }  # fmt: skip
    assert picked(row, "clean_correct", "clean_n", "clean_accuracy") == {
        "clean_correct": 4, "clean_n": 5, "clean_accuracy": None,
    }  # fmt: skip
    assert picked(row, "attack_success_rate", "attack_success_rate_num", "attack_success_rate_den") == {
        "attack_success_rate": 2 / 4, "attack_success_rate_num": 2, "attack_success_rate_den": 4,
    }  # fmt: skip
    # invalid, error, timeout and missing are unknown; skipped is not
    assert (row["robust_accuracy_worst"], row["robust_accuracy_best"]) == (2 / 9, 6 / 9)
    assert row["success_rate"] is None and row["success_rate_den"] is None


def test_where_nothing_is_unknown_worst_and_best_are_the_accuracy(folder):
    folder.run(Unit("c.0", FOUR))
    row = only(folder.rows("summary"))
    assert row["robust_accuracy"] == row["robust_accuracy_worst"] == row["robust_accuracy_best"] == 0.5


def test_independent_samples_get_the_wilson_interval_of_their_number(folder):
    folder.run(Unit("c.0", FOUR))
    row = only(folder.rows("summary"))
    assert (row["clusters"], row["n_eff"]) == (4, 4)
    assert (row["robust_accuracy_low"], row["robust_accuracy_high"]) == pytest.approx(wilson(2, 4), abs=1e-12)


CLUSTERED = {
    "correlated": (["robust"] * 3 + ["broken"] * 4 + ["robust", "broken", "robust"], "aaabbbbccc"),
    "all equal": (["robust"] * 6, "aabbcc"),
    "one cluster": (["robust", "broken", "robust"], "aaa"),
    "unequal sizes": (["robust"] * 5 + ["broken"] * 2 + ["robust", "broken"], "aaaaabbcd"),
}


@pytest.mark.parametrize(("statuses", "clusters"), CLUSTERED.values(), ids=CLUSTERED.keys())
def test_crops_of_one_photo_widen_the_interval(folder, statuses, clusters):
    names = [f"s{i}" for i in range(len(statuses))]
    unit = Unit("c.0", dict(zip(names, statuses, strict=True)), clusters=dict(zip(names, clusters, strict=True)))
    folder.run(unit)
    row = only(folder.rows("summary"))
    hits = [status == "robust" for status in statuses]
    effective = len(hits) / design_effect(hits, clusters)
    assert row["clusters"] == len(set(clusters)) and effective < len(hits)
    assert row["n_eff"] == pytest.approx(effective)
    assert (row["robust_accuracy_low"], row["robust_accuracy_high"]) == pytest.approx(
        wilson(sum(hits) / len(hits) * effective, effective)
    )


@pytest.mark.parametrize("goal", ["targeted", "random-target"])
def test_a_targeted_goal_has_a_success_rate_and_no_robust_accuracy(folder, goal):
    folder.run(Unit("c.0", {**FOUR, "s5": "error"}, cell={"goal": goal}))
    row = only(folder.rows("summary"))
    assert {
        name: value for name, value in row.items() if name.startswith(("robust_acc", "attack_succ")) and value
    } == {}
    assert picked(row, "success_rate", "success_rate_num", "success_rate_den") == {
        "success_rate": None, "success_rate_num": 2, "success_rate_den": 4,
    }  # fmt: skip
    assert (row["success_rate_worst"], row["success_rate_best"]) == (3 / 5, 2 / 5)
    assert folder.rows("worst_case") == []


def test_a_targeted_goal_without_unknowns_has_its_rate_and_interval(folder):
    folder.run(Unit("c.0", FOUR, cell={"goal": "targeted"}))
    row = only(folder.rows("summary"))
    assert row["success_rate"] == row["success_rate_worst"] == row["success_rate_best"] == 0.5
    assert (row["success_rate_low"], row["success_rate_high"]) == pytest.approx(wilson(2, 4))


def test_an_empty_cell_is_shown_and_says_nothing(folder):
    folder.run(Unit("c.0", {}, planned=5), Unit("d.0", FOUR))
    row = only(row for row in folder.rows("summary") if row["cell_id"] == "c")
    assert picked(row, "planned", "n", "missing", "robust", "clusters") == {
        "planned": 5, "n": 0, "missing": 5, "robust": 0, "clusters": 0,
    }  # fmt: skip
    assert row["robust_accuracy"] is None and row["clean_accuracy"] is None
    assert (row["robust_accuracy_low"], row["robust_accuracy_high"]) == (None, None)
    assert (row["robust_accuracy_worst"], row["robust_accuracy_best"]) == (0, 1)


def test_a_run_without_any_result_has_every_view(folder):
    folder.run(Unit("c.0", {}, planned=5))
    assert {view: len(folder.rows(view)) for view in ("trials", "examples", "crafts", "runs", "cells", "summary")} == {
        "trials": 0, "examples": 0, "crafts": 0, "runs": 1, "cells": 1, "summary": 1,
    }  # fmt: skip


def test_a_failed_unit_shows_until_it_has_trials(folder):
    folder.run(Unit("c.0", {"s1": "timeout", "s2": "timeout"}, failed=True))
    assert [row["status"] for row in folder.rows("trials")] == ["timeout", "timeout"]
    assert only(folder.rows("summary"))["robust_accuracy"] is None
    folder.add(Unit("c.0", {"s1": "robust", "s2": "broken"}))
    assert sorted(row["status"] for row in folder.rows("trials")) == ["broken", "robust"]


def test_cells_of_two_seeds_do_not_mix_even_under_one_cell_id(folder):
    folder.run(Unit("c.0", FOUR), Unit("c.1", {"s1": "broken"}, cell={"seed": 1}))
    assert [(row["seed"], row["n"]) for row in folder.rows("summary")] == [(0, 4), (1, 1)]


def test_a_cell_without_a_seed_is_counted_too(folder):
    folder.run(Unit("c.0", FOUR, cell={"seed": None}))
    assert only(folder.rows("summary"))["n"] == 4


def test_one_unit_in_two_cells_counts_in_both(folder):
    results = folder.run(Unit("c.0", FOUR))
    index = results.duckdb().sql("SELECT * FROM raw.run_index").to_arrow_table().to_pylist()
    write_index(folder.store, "r1", [*index, {**index[0], "grid": "h"}])
    assert [(row["grid"], row["n"]) for row in folder.rows("summary")] == [("g", 4), ("h", 4)]


def test_the_latest_run_is_shown_and_others_by_name(folder):
    folder.run(Unit("c.0", FOUR), run="z", started="2026-01-01")
    folder.run(Unit("d.0", {"s1": "broken"}), run="a", started="2026-01-02")
    assert [row["cell_id"] for row in folder.rows("summary")] == ["d"]
    assert [row["cell_id"] for row in folder.rows("summary", run="z")] == ["c"]
    assert [row["run"] for row in folder.rows("runs")] == ["z", "a"]


def test_examples_are_joined_with_their_costs(folder):
    folder.craft("c.0", "s1")
    folder.craft("other", "s1")
    folder.run(Unit("c.0", {"s1": "robust"}))
    row = only(folder.rows("examples"))
    assert picked(row, "sample_id", "shape", "status", "forwards") == {
        "sample_id": "s1", "shape": [3, 2, 2], "status": "crafted", "forwards": 20,
    }  # fmt: skip
    assert len(folder.rows("crafts")) == 1


PGD, SQUARE = {"attack": "pgd"}, {"attack": "square", "access": "score"}
WORST = {
    "broken by any": ("robust", "broken", "broken"),
    "broken although another failed": ("broken", "error", "broken"),
    "broken although another is missing": ("broken", None, "broken"),
    "wrong already": ("clean_wrong", "clean_wrong", "clean_wrong"),
    "a failure is unknown": ("robust", "timeout", "timeout"),
    "an invalid example is unknown": ("invalid", "robust", "invalid"),
    "a missing one is unknown": ("robust", None, None),
    "robust against all": ("robust", "robust", "robust"),
    "a later stage had nothing to do": ("robust", "skipped", "robust"),
    "nothing judged it": ("skipped", "skipped", "skipped"),
}


@pytest.mark.parametrize(("first", "second", "worst"), WORST.values(), ids=WORST.keys())
def test_the_worst_case_over_attacks(folder, first, second, worst):
    second = {"s1": second} if second else {}
    folder.run(Unit("p.0", {"s1": first}, cell=PGD), Unit("q.0", second, planned=1, cell=SQUARE))
    row = only(folder.rows("worst_case"))
    statuses = ("robust", "broken", "clean_wrong", "invalid", "error", "timeout", "skipped")
    assert [status for status in statuses if row[status]] == ([worst] if worst else [])
    assert picked(row, "attacks", "planned", "missing") == {"attacks": 2, "planned": 1, "missing": 0 if worst else 1}


def test_worst_cases_keep_budgets_victims_and_seeds_apart(folder):
    cells = [PGD, SQUARE, {"eps": 0.25}, {"norm": "l2"}, {"victim": "lite1"}, {"defense": "noise"}, {"seed": 1}]
    folder.run(*(Unit(f"c{i}.0", FOUR, cell=cell) for i, cell in enumerate(cells)))
    assert sorted(row["attacks"] for row in folder.rows("worst_case")) == [1, 1, 1, 1, 1, 2]


def test_what_fell_in_a_smaller_ball_has_fallen_in_a_larger_one(folder):
    at = {eps: {**PGD, "eps": eps} for eps in (0.1, 0.2)}
    weak = {"s1": "robust", "s2": "robust", "s3": "error", "s4": "broken"}
    folder.run(
        Unit("p.0", {"s1": "broken", "s2": "robust", "s3": "broken", "s4": "robust"}, cell=at[0.1]),
        Unit("q.0", weak, cell={**at[0.2], **SQUARE}),
        Unit("other.0", weak, cell={**at[0.2], "norm": "l2"}),
    )
    rows = {(row["norm"], row["eps"]): row for row in folder.rows("worst_case")}
    counted = {place: (row["attacks"], row["broken"], row["robust"], row["error"]) for place, row in rows.items()}
    assert counted == {("linf", 0.1): (1, 2, 2, 0), ("linf", 0.2): (1, 3, 1, 0), ("l2", 0.2): (1, 1, 2, 1)}


CORRUPTION = {"attack": "corruption", "access": "none", "norm": None, "eps": None}


def test_corruptions_are_cells_of_the_summary_without_eps_and_no_part_of_a_worst_case(folder):
    worse = {**FOUR, "s1": "broken"}
    folder.run(Unit("p.0", FOUR, cell=PGD), Unit("c.0", worse, cell=CORRUPTION))
    by_attack = {row["attack"]: row for row in folder.rows("summary")}
    assert picked(by_attack["corruption"], "norm", "eps", "broken") == {"norm": None, "eps": None, "broken": 2}
    assert by_attack["corruption"]["robust_accuracy"] == 1 / 4
    row = only(folder.rows("worst_case"))
    assert picked(row, "attacks", "eps", "broken") == {"attacks": 1, "eps": 0.5, "broken": by_attack["pgd"]["broken"]}


def test_two_corruptions_alone_have_no_worst_case(folder):
    folder.run(*(Unit(f"{name}.0", FOUR, cell={**CORRUPTION, "attack": name}) for name in "ab"))
    assert folder.rows("worst_case") == []
    assert len(folder.rows("summary")) == 2


def test_the_worst_case_has_the_columns_of_a_summary(folder):
    folder.run(Unit("p.0", FOUR, cell=PGD), Unit("q.0", {**FOUR, "s1": "broken"}, cell=SQUARE))
    row = only(folder.rows("worst_case"))
    assert picked(row, "robust_accuracy", "robust_accuracy_num", "robust_accuracy_den", "clean_accuracy") == {
        "robust_accuracy": 1 / 4, "robust_accuracy_num": 1, "robust_accuracy_den": 4, "clean_accuracy": 3 / 4,
    }  # fmt: skip
    assert row["robust_accuracy_high"] == pytest.approx(wilson(1, 4)[1])


def test_counts_are_plain_integers(folder):
    folder.run(Unit("c.0", FOUR))
    for view in ("summary", "worst_case", "cells"):
        assert {str(kind) for kind in folder.results().arrow(view).schema.types} <= {"string", "int64", "double"}
