"""Eps ladders and suites on real digits: what is inherited, what it costs, and that it survives whatever happens in between."""

from itertools import pairwise

import pytest
import torch
from small_jobs import PGD, examples, load, parts, run_here, shown, table

import raygrid
from raygrid.component import resolve
from raygrid.data.dataset import pixels
from raygrid.engine.replay import replay
from raygrid.engine.result_tables import result_tables
from raygrid.registry import find
from raygrid.results.open import open_results

FEW = {"use": "mnist-5k", "limit": 16, "shard": 8}
EIGHT = {"use": "mnist-5k", "limit": 8}
LADDER = {**PGD, "eps": [0.2, 0.1]}
SUITE = {"use": "autoattack", "norm": "linf", "eps": 0.33}
STAGES = ["apgd-ce", "apgd-t", "fab", "square"]


def rows_at(results, **wanted):
    rows = [row for row in table(results) if all(row[name] == value for name, value in wanted.items())]
    return {row["sample_id"]: row for row in rows}


def costs(results):
    rows = open_results(results).arrow("crafts").to_pylist()
    return {(row["craft_key"], row["sample_id"]): row for row in rows}


@pytest.fixture
def climbed(tmp_path):
    job = load(tmp_path, victims=["mnist-cnn"], attacks=[LADDER], data=FEW)
    run_here(job)
    return job.results


def test_a_sample_broken_at_a_smaller_eps_is_judged_at_the_larger_and_not_attacked_again(climbed):
    lower, upper = rows_at(climbed, eps=0.1), rows_at(climbed, eps=0.2)
    spent, made = costs(climbed), examples(climbed)
    fell = {sample for sample, row in lower.items() if row["status"] == "broken"}
    assert fell and fell != set(lower)
    assert {row["obtained"] for row in lower.values()} == {"attacked"}
    for sample, row in upper.items():
        cost = spent[row["craft_key"], sample]
        assert row["obtained"] == ("inherited" if sample in fell else "attacked")
        assert cost["status"] == ("inherited" if sample in fell else "crafted")
        assert (cost["forwards"] == 0) == (sample in fell or row["status"] == "clean_wrong")
        assert ((row["craft_key"], sample) in made) == (sample not in fell)  # it is stored once
        if sample in fell:
            assert (row["status"], row["attack_claimed"]) == ("broken", True)
            assert [row[n] for n in ("linf", "l2", "margin")] == [lower[sample][n] for n in ("linf", "l2", "margin")]


def test_a_ladder_breaks_what_its_rungs_break_and_more(climbed, tmp_path):
    alone = load(tmp_path, victims=["mnist-cnn"], attacks=[{**LADDER, "ladder": False}], data=FEW, name="alone")
    run_here(alone)
    assert {row["obtained"] for row in table(alone.results)} == {"attacked"}
    assert rows_at(alone.results, eps=0.1).keys() == rows_at(climbed, eps=0.1).keys()
    for sample, row in rows_at(alone.results, eps=0.2).items():
        if row["status"] == "broken":
            assert rows_at(climbed, eps=0.2)[sample]["status"] == "broken"


def test_a_larger_eps_is_added_at_its_own_cost_alone(climbed, tmp_path):
    more = load(tmp_path, victims=["mnist-cnn"], attacks=[{**LADDER, "eps": [0.1, 0.2, 0.3]}], data=FEW)
    outcome = run_here(more)
    assert (outcome.computed, outcome.reused) == (2, 4)


def test_an_inherited_trial_is_replayed_with_all_that_it_inherits(climbed, tmp_path):
    row = next(row for row in table(climbed) if row["obtained"] == "inherited")
    same, said = replay(climbed, row["unit_key"], row["sample_id"], tmp_path / "saved")
    assert same
    assert "bit for bit" in "\n".join(map(shown, said))
    assert (tmp_path / "saved" / "adversarial.npy").exists()


@pytest.fixture(scope="module")
def suited(tmp_path_factory):
    job = load(tmp_path_factory.mktemp("suite"), victims=["mnist-cnn-adv"], attacks=[SUITE], data=FEW)
    run_here(job)
    return job


def test_every_stage_of_a_suite_attacks_what_the_former_left(suited):
    stages = [rows_at(suited.results, stage=number) for number in (1, 2, 3, 4)]
    assert [next(iter(rows.values()))["attack"] for rows in stages] == STAGES
    for before, after in pairwise(stages):
        for sample, row in after.items():
            fell = before[sample]["status"] == "broken"
            assert row["obtained"] == ("inherited" if fell else "attacked")
            assert row["status"] == "broken" or not fell
            assert row["suite"] == "autoattack" and row["stages"] == 4
    assert {row["status"] for row in stages[-1].values()} >= {"broken", "robust"}


def test_a_suite_is_one_line_of_the_result_table_and_its_last_stage_is_the_verdict(suited):
    (shown_table,) = result_tables(suited.results)
    text = shown(shown_table, width=120)
    assert "autoattack, linf 0.33" in text and "square" not in text
    worst = open_results(suited.results).query("SELECT robust FROM worst_case").to_pylist()
    last = open_results(suited.results).query("SELECT robust FROM summary WHERE stage = stages").to_pylist()
    assert worst == last


def test_a_suite_goes_on_where_it_was_interrupted(suited):
    before = table(suited.results)
    lost = {row["unit_key"]: row["craft_key"] for row in before if row["stage"] in (3, 4)}
    for unit, craft in lost.items():
        parts(suited.results, "trials")[unit].unlink()
        if unit in list(lost)[::2]:  # some stopped between crafting and judging
            parts(suited.results, "crafts")[craft].unlink()
    outcome = run_here(suited)
    assert (outcome.computed, outcome.reused) == (len(lost), 4)
    assert table(suited.results) == before


def test_a_rung_that_is_excluded_is_skipped_by_the_ladder(tmp_path):
    three = {**LADDER, "eps": [0.1, 0.15, 0.2]}
    job = load(tmp_path, victims=["mnist-cnn"], attacks=[three], data=FEW, exclude=[{"eps": 0.15}])
    run_here(job)
    assert {row["eps"] for row in table(job.results)} == {0.1, 0.2}
    assert {row["obtained"] for row in rows_at(job.results, eps=0.2).values()} == {"attacked", "inherited"}


def test_audit_attacks_further_only_those_that_its_evidence_calls_for_and_agrees_with_the_notebook(tmp_path):
    job = load(tmp_path, victims=["mnist-cnn"], attacks=[{"use": "audit", "norm": "linf", "eps": 0.07}], data=EIGHT)
    run_here(job)
    stages = [
        rows_at(job.results, stage=number) for number in range(1, 1 + max(row["stages"] for row in table(job.results)))
    ]
    spent = costs(job.results)
    passes = [sum(spent[row["craft_key"], sample]["forwards"] for sample, row in rows.items()) for rows in stages]
    assert all(passes[:3]) and not any(passes[-3:])  # a sound victim: neither FAB nor Square nor decisions
    kept = [row for rows in stages[3:] for row in rows.values() if row["obtained"] == "inherited"]
    assert {"robust", "broken"} <= {row["status"] for row in kept}
    assert not any(row["error"] for rows in stages for row in rows.values())

    data = resolve(find("data", "mnist-5k").build)(find("data", "mnist-5k").params(), 8).table
    found = raygrid.attack(
        "mnist-cnn", torch.tensor(pixels(data)), torch.tensor(data["label"].to_numpy()), "audit", eps=0.07
    )
    statuses = {row["sample_id"]: row["status"] for row in stages[-1].values()}
    assert [statuses[sample] for sample in data["sample_id"].to_pylist()] == [v.status for v in found.verdicts]
