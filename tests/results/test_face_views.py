"""The views over attacks on verification, against counting the rows of draws in Python."""

import math
from collections import defaultdict

import numpy as np
import pytest
from scipy.stats import t as student
from small_folder import key, trial

from raygrid.metrics.statistics import design_effect, wilson
from raygrid.results.folder import commit_trials, write_index, write_run

CELL = {"goal": "impersonate", "photos": 1, "combine": "mean", "far": 0.01}
JUDGED, KNOWN = 3, 2


class Unit:
    """One score unit over photos `person/number`, with draws that are made up."""

    def __init__(self, name, samples, seed=0, rate=0.5, draws=1, lost=(), planned=None, **cell):
        self.name, self.cell, self.planned = name, {**CELL, **cell}, planned or len(samples)
        rng = np.random.default_rng(seed)
        label = "match" if self.cell["goal"] == "dodge" else "no match"
        other = "no match" if label == "match" else "match"
        self.rows, self.draws = [], []
        for sample in samples:
            person = sample.split("/")[0]
            if sample in lost:
                self.rows.append(trial(name, sample, "error", cluster=person, person=person, label=label, **self.cell))
                continue
            own = rng.uniform(0, 1) if rate is None else rate  # else people would not differ
            for draw in range(draws):
                for place in range(JUDGED + KNOWN):
                    known = place >= JUDGED
                    self.draws.append(
                        {
                            "unit_key": key(name),
                            "sample_id": sample,
                            "draw": draw * (JUDGED + KNOWN) + place,
                            "fooled": bool(rng.random() < (0.9 if known else own)),
                            "prediction": other,
                            "clean_prediction": other if rng.random() < 0.2 else label,
                            "photo": f"x/{place}",
                            "photo_known": known,
                        }
                    )
            self.rows.append(
                trial(name, sample, "robust", cluster=person, person=person, label=label, success=False, **self.cell)
            )

    def index(self):
        row = {
            **{k: v for k, v in self.rows[0].items() if k in INDEX},
            "grid": "g",
            "cell_id": self.name.partition(".")[0],
        }
        return {**row, "samples": self.planned, "reused": False}


INDEX = {
    *("data", "victim", "defense", "attack", "goal", "access", "norm", "eps", "seed", "photos", "combine", "far"),
    *("unit_key", "craft_key"),
}


def rows_of(folder, view, *units):
    for unit in units:
        commit_trials(folder.store, key(unit.name), unit.rows, unit.planned, unit.draws)
    write_index(folder.store, "r1", [unit.index() for unit in units])
    manifest = {"started": "2026-11-26T00:00:00", "state": "finished", "job": {"name": "test"}}
    write_run(folder.store, "r1", manifest)
    return folder.rows(view)


def photos(people, each):
    return [f"p{i}/{j}" for i in range(people) for j in range(each)]


def interval(values, clusters):
    """Wilson's over the effective number of values."""
    n = len(values) / design_effect(values, clusters)
    return wilson(sum(values) / len(values) * n, n)


@pytest.mark.parametrize("goal", ["impersonate", "dodge"])
@pytest.mark.parametrize("draws", [1, 4])
@pytest.mark.parametrize("rate", [None, 0.0, 0.4, 1.0])
def test_rates_and_intervals_are_those_of_the_draws(folder, goal, draws, rate):
    unit = Unit("a.0", photos(6, 3), seed=3, rate=rate, draws=draws, goal=goal)
    (row,) = rows_of(folder, "face_attacks", unit)
    label = unit.rows[0]["label"]
    judged, known = ([d for d in unit.draws if d["photo_known"] is part] for part in (False, True))
    passed = defaultdict(list)
    for draw in judged:
        passed[draw["sample_id"], draw["photo"]].append(draw["fooled"])
    majority = defaultdict(list)
    for (sample, _), fooled in passed.items():
        majority[sample].append(2 * sum(fooled) > draws)
    person = lambda sample: sample.split("/")[0]  # noqa: E731
    columns = {
        "photo": [(d["fooled"], person(d["sample_id"])) for d in judged],
        "known": [(d["fooled"], person(d["sample_id"])) for d in known],
        "clean": [(d["clean_prediction"] != label, person(d["sample_id"])) for d in judged],
        "any": [(any(hits), person(sample)) for sample, hits in majority.items()],
        "all": [(all(hits), person(sample)) for sample, hits in majority.items()],
    }
    assert (row["people"], row["judged"], row["planned"], row["goal"]) == (6, 18, 18, goal)
    for name, pairs in columns.items():
        values, clusters = zip(*pairs, strict=True)
        assert (row[f"{name}_rate_num"], row[f"{name}_rate_den"]) == (sum(values), len(values)), name
        assert row[f"{name}_rate"] == pytest.approx(sum(values) / len(values))
        low, high = interval(values, clusters)
        assert (row[f"{name}_rate_low"], row[f"{name}_rate_high"]) == pytest.approx((low, high), abs=1e-9), name


def test_what_has_no_verdict_counts_nowhere_and_is_missed(folder):
    (row,) = rows_of(folder, "face_attacks", Unit("a.0", photos(4, 2), lost={"p0/0", "p3/1"}, rate=1.0))
    assert (row["planned"], row["judged"], row["photo_rate_den"], row["people"]) == (8, 6, 6 * JUDGED, 4)


def test_shards_make_one_cell_and_cells_stay_apart(folder):
    units = (
        Unit("a.0", photos(4, 1), seed=1),
        Unit("a.1", ["p0/9", "p5/9"], seed=2),
        Unit("b.0", photos(4, 1), photos=4),
    )
    found = {row["cell_id"]: row for row in rows_of(folder, "face_attacks", *units)}
    assert {name: (row["people"], row["judged"], row["photos"]) for name, row in found.items()} == {
        "a": (5, 6, 1),
        "b": (4, 4, 4),
    }


def gains(units, fewer, more):
    """Gain of each person, over the trials that both have."""
    rate = defaultdict(dict)
    for unit in units:
        for sample in {d["sample_id"] for d in unit.draws}:
            own = [d["fooled"] for d in unit.draws if d["sample_id"] == sample and not d["photo_known"]]
            rate[unit.cell["photos"]][sample] = sum(own) / len(own)
    people = defaultdict(list)
    for sample in rate[fewer].keys() & rate[more].keys():
        people[sample.split("/")[0]].append(rate[more][sample] - rate[fewer][sample])
    return [np.mean(own) for own in people.values()]


@pytest.mark.parametrize("people", [4, 12])
def test_more_photos_are_held_against_fewer_trial_by_trial_and_person_by_person(folder, people):
    units = [
        Unit("one.0", photos(people, 3), seed=1, rate=0.3, photos=1),
        Unit("two.0", photos(people, 3), seed=2, rate=None, photos=2, lost={"p0/0", "p2/1"}),
        Unit("four.0", photos(people, 3), seed=3, rate=0.8, photos=4, lost={"p2/0"}),
    ]
    found = {(row["fewer"], row["more"]): row for row in rows_of(folder, "photos_gain", *units)}
    assert found.keys() == {(1, 2), (1, 4), (2, 4)}
    for (fewer, more), row in found.items():
        own = gains(units, fewer, more)
        half = student.ppf(0.975, people - 1) * np.std(own, ddof=1) / math.sqrt(people)
        assert row["people"] == people and row["gain"] == pytest.approx(np.mean(own))
        assert row["gain_high"] - row["gain"] == pytest.approx(half, rel=0.01)
        assert row["gain"] - row["gain_low"] == pytest.approx(half, rel=0.01)


@pytest.mark.parametrize(
    "other", [{"eps": 0.1}, {"combine": "worst"}, {"goal": "dodge"}, {"far": 0.1}, {"attack": "apgd"}, {"victim": "x"}]
)
def test_cells_that_differ_in_more_than_photos_are_not_held_against_each_other(folder, other):
    units = Unit("one.0", photos(4, 2)), Unit("four.0", photos(4, 2), photos=4, **other)
    assert rows_of(folder, "photos_gain", *units) == []


def test_where_nobody_gains_otherwise_than_others_there_is_no_interval(folder):
    """One of no width would say that it is certain."""
    units = Unit("one.0", photos(4, 2), rate=0.0), Unit("four.0", photos(4, 2), rate=1.0, photos=4)
    (row,) = rows_of(folder, "photos_gain", *units)
    assert (row["gain"], row["gain_low"], row["gain_high"]) == (1.0, None, None)


def test_cells_of_classification_have_no_line(folder):
    from small_folder import Unit as Plain

    folder.run(Plain("c.0", {"s1": "robust", "s2": "broken"}))
    assert folder.rows("face_attacks") == [] == folder.rows("photos_gain")
