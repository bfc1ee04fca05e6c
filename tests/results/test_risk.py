"""The view `risk`: what errors cost, beside how often they happen and what they cost the attacker."""

import pytest
from small_folder import Unit

ANSWERED = {"label": "0", "clean_prediction": "0"}


def unit(name, cell_attack, answers, **trial):
    statuses = {f"s{i}": "robust" if answer == "0" else "broken" for i, answer in enumerate(answers)}
    return [
        Unit(
            f"{name}.{i}",
            {sample: status},
            cell={"attack": cell_attack},
            trial={**ANSWERED, "prediction": answer, **trial},
        )
        for i, ((sample, status), answer) in enumerate(zip(statuses.items(), answers, strict=True))
    ]


def risks(folder):
    return {row["attack"]: row for row in folder.rows("risk")}


COSTS = [{"grid": "g", "label": "0", "prediction": "2", "cost": 100.0}]


def run(folder, *units, **more):
    folder.run(*(each for group in units for each in group), **more)


def test_what_nobody_priced_costs_1_so_that_the_risk_is_the_error_rate(folder):
    run(folder, unit("a", "pgd", "0121"))
    row = risks(folder)["pgd"]
    assert (row["risk"], row["error_rate"], row["risk_num"], row["risk_den"]) == (0.75, 0.75, 3, 4)
    assert row["clean_risk"] == 0


def test_attacks_rank_otherwise_by_risk_than_by_error_rate(folder):
    run(folder, unit("a", "often", "1110"), unit("b", "rarely", "2000"), manifest={"costs": COSTS})
    found = risks(folder)
    assert (found["rarely"]["risk"], found["rarely"]["by_risk"], found["rarely"]["by_error_rate"]) == (25.0, 1, 2)
    assert (found["often"]["risk"], found["often"]["by_risk"], found["often"]["by_error_rate"]) == (0.75, 2, 1)
    assert found["rarely"]["worst_error"] == 100


def test_an_error_that_is_detected_costs_nothing_and_is_counted(folder):
    run(folder, unit("a", "pgd", "22", detected=True), manifest={"costs": COSTS})
    row = risks(folder)["pgd"]
    assert (row["risk"], row["detected"]) == (0, 2)


def test_samples_without_an_answer_are_unknown_and_not_free(folder):
    folder.run(
        Unit("a.0", {"s1": "broken"}, trial={**ANSWERED, "prediction": "1"}),
        Unit("a.1", {"s2": "error"}),
    )
    row = risks(folder)["pgd"]
    assert (row["risk_den"], row["unknown"], row["risk"]) == (1, 1, 1.0)


@pytest.mark.parametrize("costs", [None, []])
def test_runs_without_costs_have_the_view_too(folder, costs):
    run(folder, unit("a", "pgd", "01"), manifest={} if costs is None else {"costs": costs})
    assert risks(folder)["pgd"]["risk"] == 0.5
