"""What a defense makes right again, at what cost, and how far examples lie from their originals inside."""

import json
import statistics

import pytest
from small_folder import Unit, key

from raygrid.metrics.statistics import wilson


def noise(name, sigma, answers, site="input", craft="c.0", **columns):
    """A cell behind noise: sample -> whether the example is answered rightly, and the clean input."""
    cell = {"defense": "noise", "defense_params": json.dumps({"site": site, "sigma": sigma, "votes": 20})}
    statuses = {
        sample: "error" if right is None else "clean_wrong" if not clean else "robust" if right else "broken"
        for sample, (right, clean) in answers.items()
    }
    return Cell(name, statuses, answers, key(craft), cell, columns)


class Cell(Unit):
    """A score unit whose verdicts on example and clean input are given sample by sample."""

    def __init__(self, name, statuses, answers, craft_key, cell, columns):
        super().__init__(name, statuses, cell={**cell, **columns})
        self.answers, self.craft_key = answers, craft_key

    def rows(self):
        return [self._row(row, *self.answers[row["sample_id"]]) for row in super().rows()]

    def _row(self, row, right, clean):
        judged = {} if right is None else {"success": not right, "clean_correct": clean}
        return {**row, "craft_key": self.craft_key, **judged}


BARE = Unit("c.0", {"a": "broken", "b": "broken", "c": "broken", "d": "robust", "e": "clean_wrong"})
AGAIN = {"a": (True, True), "b": (False, True), "c": (True, False), "d": (True, True), "e": (True, True)}


def test_what_broke_the_bare_victim_and_is_right_again_is_recovered(folder):
    folder.run(BARE, noise("n.0", 0.3, AGAIN))
    (row,) = folder.rows("recovery")
    assert (row["recovery_num"], row["recovery_den"], row["unknown"]) == (2, 3, 0)
    assert row["recovery"] == pytest.approx(2 / 3)
    assert (row["recovery_low"], row["recovery_high"]) == pytest.approx(wilson(2, 3))
    assert (row["site"], row["sigma"], row["attack"], row["cell_id"]) == ("input", 0.3, "pgd", "n")
    # c is lost and e is won on clean inputs
    assert (row["clean_accuracy_num"], row["bare_accuracy_num"], row["clean_accuracy_den"]) == (4, 4, 5)
    assert row["clean_loss"] == 0


def test_an_error_leaves_the_recovery_unknown(folder):
    folder.run(BARE, noise("n.0", 0.3, AGAIN | {"b": (None, None), "e": (None, None)}))
    (row,) = folder.rows("recovery")
    assert (row["recovery"], row["recovery_low"], row["recovery_high"]) == (None, None, None)
    assert (row["recovery_num"], row["recovery_den"], row["unknown"]) == (2, 2, 1)
    assert (row["clean_accuracy_num"], row["bare_accuracy_num"], row["clean_accuracy_den"]) == (2, 3, 3)


OTHERS = {
    "other examples": {"craft": "other"},
    "another victim": {"victim": "lite1"},
    "another eps": {"eps": 0.25},
    "another goal": {"goal": "targeted"},
    "another channel": {"channel": "view"},
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
def test_only_the_same_examples_on_the_same_victim_are_compared(folder, other):
    folder.run(BARE, noise("n.0", 0.3, AGAIN, **other))
    assert folder.rows("recovery") == folder.rows("recovery_at_cost") == []


def test_shards_count_together_and_clusters_widen_the_interval(folder):
    twin = Unit("c.1", {"f": "broken", "g": "broken"}, clusters={"f": "a", "g": "b"})
    again = noise("n.1", 0.3, {"f": (True, True), "g": (False, True)}, craft="c.1")
    again.clusters = twin.clusters
    folder.run(BARE, twin, noise("n.0", 0.3, AGAIN), again)
    (row,) = folder.rows("recovery")
    assert (row["recovery_num"], row["recovery_den"]) == (3, 5)
    low, high = wilson(3, 5)
    assert row["recovery_low"] < low and high < row["recovery_high"]


def test_the_largest_noise_that_costs_no_more_is_taken(folder):
    """A hundred samples, of which so many are lost on clean inputs; of fifty broken ones so many are recovered."""

    def cell(name, sigma, lost, recovered, site="input"):
        answers = {f"s{i:02}": (i < recovered, i >= lost) for i in range(100)}
        return noise(name, sigma, answers, site)

    bare = Unit("c.0", {f"s{i:02}": "broken" if i < 50 else "robust" for i in range(100)})
    folder.run(
        bare,
        cell("p.0", 0.1, 0, 5),
        cell("q.0", 0.2, 1, 10),
        cell("r.0", 0.5, 3, 15),
        cell("s.0", 1.0, 40, 30),
        cell("h.0", 0.5, 4, 25, "relu3"),
    )
    found = {(row["site"], row["cost"]): row for row in folder.rows("recovery_at_cost")}
    said = {place: (row["sigma"], row["recovery"]) for place, row in found.items()}
    assert said == {
        ("input", 0.01): (0.2, 0.2),
        ("input", 0.02): (0.2, 0.2),
        ("input", 0.05): (0.5, 0.3),
        ("relu3", 0.01): (None, None),
        ("relu3", 0.02): (None, None),
        ("relu3", 0.05): (0.5, 0.5),
    }
    assert found["relu3", 0.05]["clean_loss"] == pytest.approx(0.04)


def test_the_profile_has_the_medians_of_every_layer_in_order(folder):
    far = {"input": 0.5, "relu2": 1.0, "relu1": None, "output": 4.0}
    near = {"input": 1.0, "relu2": 1.0, "relu1": 2.0, "output": 2.0}
    folder.run(
        Unit("c.0", {"a": "broken"}, trial={"layer_distance": far, "pair_distance": {"input": 0.25, "relu2": 4.0}}),
        Unit("c.1", {"b": "broken", "c": "robust"}, trial={"layer_distance": near}),
        Unit("d.0", {"a": "broken"}),
    )
    rows = [(r["status"], r["layer"], r["n"], r["distance"], r["amplification"]) for r in folder.rows("layer_profile")]
    assert rows == [
        ("broken", "input", 2, 0.75, 1.0),
        ("broken", "relu2", 2, 1.0, 1.5),
        ("broken", "relu1", 1, 2.0, 2.0),
        ("broken", "output", 2, 3.0, 5.0),
        ("robust", "input", 1, 1.0, 1.0),
        ("robust", "relu2", 1, 1.0, 1.0),
        ("robust", "relu1", 1, 2.0, 2.0),
        ("robust", "output", 1, 2.0, 2.0),
    ]
    beside = {r["layer"]: (r["pair"], r["of_pair"]) for r in folder.rows("layer_profile") if r["status"] == "broken"}
    assert beside == {"input": (0.25, 2.0), "relu2": (4.0, 0.25), "relu1": (None, None), "output": (None, None)}
    assert folder.results().query(
        "SELECT layer_distance['relu2'] AS d FROM trials WHERE sample_id = 'b'"
    ).to_pylist() == [{"d": 1.0}]


FELL = {f"s{i}": "broken" for i in range(8)}


def restored(*right):
    return {sample: (sample in {f"s{i}" for i in right}, True) for sample in FELL}


def test_the_gap_is_what_a_hidden_site_restores_more_of_the_same_examples(folder):
    hidden, at_input = (0, 1, 2, 3, 4), (4, 5)
    folder.run(
        Unit("c.0", FELL),
        noise("n.0", 0.3, restored(*at_input)),
        noise("h.0", 0.5, restored(*hidden), site="relu1"),
    )
    rows = folder.rows("recovery_gap")
    assert [(row["cost"], row["site"], row["sigma"], row["input_sigma"]) for row in rows] == [
        (cost, "relu1", 0.5, 0.3) for cost in (0.01, 0.02, 0.05)
    ]
    row = rows[0]
    assert (row["n"], row["hidden_num"], row["input_num"], row["gap"]) == (8, 5, 2, 3 / 8)
    differences = [(i in hidden) - (i in at_input) for i in range(8)]
    deviation = statistics.stdev(differences) / 8**0.5
    assert (row["gap_high"] - row["gap"]) == pytest.approx(1.959964 * deviation, rel=1e-6)
    assert (row["gap"] - row["gap_low"]) == pytest.approx(1.959964 * deviation, rel=1e-6)


def test_the_gap_is_taken_at_no_more_cost_and_is_missing_where_a_site_has_no_such_noise(folder):
    worse = {sample: (right, sample != "s0") for sample, (right, _) in restored(0, 1, 2).items()}  # loses 1 of 8
    folder.run(
        Unit("c.0", FELL),
        noise("n.0", 0.1, restored(4)),
        noise("m.0", 0.3, worse),
        noise("h.0", 0.5, worse, site="relu1"),
    )
    assert folder.rows("recovery_gap") == []


def test_clusters_widen_the_interval_of_the_gap(folder):
    def rows(name, right, clusters=None, **more):
        cell = noise(name, 0.3, restored(*right), **more)
        cell.clusters = clusters
        return cell

    crops = {sample: f"photo{i // 4}" for i, sample in enumerate(FELL)}
    widths = []
    for run, clusters in (("alone", None), ("crops", crops)):
        made = folder.run(
            Unit(f"{run}c.0", FELL, clusters=clusters),
            rows(f"{run}n.0", (), clusters, craft=f"{run}c.0"),
            rows(f"{run}h.0", (0, 1, 2, 3), clusters, site="relu1", craft=f"{run}c.0"),
            run=run,
        )
        row = made.arrow("recovery_gap").to_pylist()[0]
        widths.append(row["gap_high"] - row["gap_low"])
    assert widths[1] > 1.5 * widths[0]
