"""What one parameter of an attack buys, against the plays counted in Python."""

import json
import math

import numpy as np
import pytest
from scipy.stats import t as student
from small_folder import key, trial

from raygrid.results.folder import commit_trials, write_index, write_run

CLIPS, PLAYS = ("a", "b", "c"), 10
BAND = [1000.0, 4000.0]
INDEX = ("data", "victim", "defense", "attack", "attack_params", "goal", "access", "norm", "eps", "seed", "phrase")


class Cell:
    """The plays of a cell: each clip has one sample, heard in `heard(clip)` of its plays."""

    def __init__(self, name, heard, phrase="hello", clips=CLIPS, lost=(), **given):
        self.name, self.phrase = name, phrase
        attack_params = given.pop("attack_params", None) or json.dumps(given)
        self.cell = {"goal": "transcribe", "phrase": phrase, "norm": None, "eps": None, "attack_params": attack_params}
        self.hits = {clip: heard(clip) for clip in clips if clip not in lost}
        self.rows = [
            trial(name, clip, "robust" if clip in self.hits else "error", cluster=clip, **self.cell) for clip in clips
        ]
        self.draws = [
            {
                "unit_key": key(name),
                "sample_id": clip,
                "draw": draw,
                "fooled": draw < hits,
                "edits": 0 if draw < hits else 1,
                "edits_of": 3,
            }
            for clip, hits in self.hits.items()
            for draw in range(PLAYS)
        ]


def gains(folder, *cells):
    for cell in cells:
        commit_trials(folder.store, key(cell.name), cell.rows, len(cell.rows), cell.draws)
    index = [
        {name: value for name, value in cell.rows[0].items() if name in (*INDEX, "unit_key", "craft_key")}
        | {"grid": "g", "cell_id": cell.name, "samples": len(cell.rows), "reused": False}
        for cell in cells
    ]
    write_index(folder.store, "r1", index)
    write_run(folder.store, "r1", {"started": "2026-11-26T00:00:00", "state": "finished", "job": {"name": "test"}})
    return folder.rows("plays_gain")


def ablation(lost=()):
    """Eight cells of two phrases; each step helps by another amount in every clip."""
    cells = []
    for phrase in ("hello", "open the door"):
        for band in (BAND, None):
            for rooms in (500, 0):
                for noise in (True, False):
                    share = 1 + (band is not None) + 4 * (rooms > 0) + 2 * noise - (phrase != "hello")
                    heard = lambda clip, share=share, rooms=rooms: share + (clip == "a" and rooms > 0)  # noqa: E731
                    name = f"{phrase} {band} {rooms} {noise}"
                    cells.append(Cell(name, heard, phrase, lost=lost, band=band, rooms=rooms, noise=noise, steps=600))
    return cells


def pairs_of(cells, parameter, less, more, **rest):
    """(Clip, phrase) -> the difference of the shares of plays, a mean over the cells that agree in `rest`."""
    found = {}
    for b in cells:
        for a in cells:
            before, after = json.loads(b.cell["attack_params"]), json.loads(a.cell["attack_params"])
            if (before.pop(parameter), after.pop(parameter)) != (less, more) or before != after or a.phrase != b.phrase:
                continue
            if all(before[name] == value for name, value in rest.items()):
                for clip in a.hits.keys() & b.hits.keys():
                    found.setdefault((clip, a.phrase), []).append((a.hits[clip] - b.hits[clip]) / PLAYS)
    return [np.mean(own) for own in found.values()]


STEPS = {"band": (None, BAND), "rooms": (0, 500), "noise": (False, True)}


@pytest.mark.parametrize("lost", [(), ("b",)])
def test_each_step_stands_beside_the_same_attack_without_it_with_an_interval_over_pairs(folder, lost):
    cells = ablation(lost)
    found = gains(folder, *cells)
    assert len(found) == 3 * (4 + 1)
    for row in found:
        less, more = STEPS[row["parameter"]]
        assert (json.loads(row["before"]), json.loads(row["after"])) == (less, more)
        rest = {}
        if row["rest"] is not None:
            rest = {n: json.loads(v) for n, _, v in (part.partition("=") for part in row["rest"].split(" "))}
            assert rest.keys() == STEPS.keys() - {row["parameter"]}
        own = pairs_of(cells, row["parameter"], less, more, **rest)
        assert row["pairs"] == len(own) == 2 * (len(CLIPS) - len(lost))
        assert row["gain"] == pytest.approx(np.mean(own)) == pytest.approx(row["rate_after"] - row["rate_before"])
        spread = np.std(own, ddof=1)
        if spread < 1e-9:
            assert row["gain_low"] is None is row["gain_high"]
        else:
            half = student.ppf(0.975, len(own) - 1) * spread / math.sqrt(len(own))
            assert row["gain_high"] - row["gain"] == pytest.approx(half, rel=0.02)
            assert row["gain"] - row["gain_low"] == pytest.approx(half, rel=0.02)
    assert any(row["gain_low"] is not None for row in found)


def test_numbers_grow_as_numbers(folder):
    (row,) = gains(folder, Cell("few", lambda clip: 1, snr_db=9), Cell("many", lambda clip: 4, snr_db=10.0))
    assert (row["before"], row["after"], row["gain"]) == ("9", "10.0", pytest.approx(0.3))
    assert row["rest"] == "" and row["pairs"] == 3


def test_cells_that_differ_in_more_than_one_parameter_are_not_held_against_each_other(folder):
    cells = Cell("one", lambda clip: 1, rooms=0, noise=True), Cell("two", lambda clip: 4, rooms=500, noise=False)
    assert gains(folder, *cells) == []


def test_a_parameter_that_some_attacks_leave_out_is_a_parameter_all_the_same(folder):
    """Measured responses are named where there are any only."""
    cells = [
        Cell("few", lambda clip: 1, plays=4),
        Cell("many", lambda clip: 2, plays=8),
        Cell("few, measured", lambda clip: 3, plays=4, responses="/rooms"),
        Cell("many, measured", lambda clip: 4, plays=8, responses="/rooms"),
    ]
    found = gains(folder, *cells)
    said = {(row["parameter"], row["before"], row["after"], row["rest"]) for row in found}
    assert {
        ("plays", "4", "8", "responses=null"),
        ("plays", "4", "8", 'responses="/rooms"'),
        ("plays", "4", "8", None),
    } <= said
    assert {("responses", "null", '"/rooms"', "plays=4"), ("responses", "null", '"/rooms"', "plays=8")} <= said
    assert gains(folder, cells[0], cells[3]) == []  # of two that differ in both nobody knows which it was
