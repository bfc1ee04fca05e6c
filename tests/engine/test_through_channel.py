"""Channels through the whole grid: ladders, transfer, what rows and tables say, resuming, replaying, and what is refused."""

import pytest
from small_jobs import BOTH, DIGITS, PGD, load, parts, run_here, shown, table

from raygrid.engine.replay import replay
from raygrid.engine.result_tables import result_tables
from raygrid.errors import UsageError
from raygrid.results.open import open_results

VIEW = {"use": "view", "tilt": 20}
ATTACKS = [
    {**PGD, "channel": VIEW, "awareness": ["none", "channel"], "eot": 2},
    {**PGD, "eps": 0.2, "channel": VIEW, "access": "transfer", "source": "mnist-cnn"},
    {"use": "corruption", "kind": "contrast", "severity": 5, "channel": VIEW, "awareness": "none"},
    {**PGD, "eps": 0.2},
]
SIGNS = {"data": {"use": "road-signs", "limit": 2}, "victims": ["sign-cnn"]}


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    folder = tmp_path_factory.mktemp("channels")
    job = load(folder, attacks=ATTACKS, data={**DIGITS, "limit": 24, "shard": 12}, judge={"broken_at": 8})
    outcome = run_here(job)
    assert outcome.state == "complete"
    return job


def seen(job):
    return [row for row in table(job.results) if row["channel"]]


def test_every_row_says_which_channel_who_knew_it_and_how_often_it_was_looked_at(job):
    rows = table(job.results)
    found = {(row["attack"], row["access"], row["channel"], row["awareness"], row["draws"]) for row in rows}
    assert found == {
        ("pgd", "gradient", "view(tilt=20.0)", "none", 20),
        ("pgd", "gradient", "view(tilt=20.0)", "channel", 20),
        ("pgd", "transfer", "view(tilt=20.0)", "channel", 20),
        ("corruption", "none", "view(tilt=20.0)", "none", 20),
        ("pgd", "gradient", None, "none", 1),
    }
    assert all(row["error"] is None for row in rows)


def test_eight_fooled_draws_break_a_sample_clean_or_not(job):
    assert {row["status"] for row in seen(job)} >= {"robust", "broken"}
    for row in seen(job):
        if row["status"] in ("robust", "broken"):
            assert (row["status"] == "broken") is (row["draws_fooled"] >= 8) is row["success"]
            assert row["clean_correct"]
    assert {0 < row["draws_fooled"] < 20 for row in seen(job)} == {True, False}


def test_clean_inputs_are_judged_alike_for_all_attacks_on_a_victim(job):
    clean = {(row["victim"], row["sample_id"], row["clean_correct"]) for row in seen(job)}
    assert len(clean) == 2 * 24


def test_a_ladder_takes_over_what_was_broken_through_the_channel(job):
    ladder = [row for row in seen(job) if row["attack"] == "pgd" and row["access"] == "gradient"]
    at = {(r["victim"], r["awareness"], r["eps"], r["sample_id"]): r for r in ladder}
    fallen = [key for key, row in at.items() if key[2] == 0.1 and row["status"] == "broken"]
    assert fallen
    for victim, awareness, _, sample in fallen:
        higher = at[victim, awareness, 0.2, sample]
        assert (higher["obtained"], higher["status"]) == ("inherited", "broken")


def test_looks_through_the_channel_are_paid_for(job):
    keys = {row["awareness"]: row["craft_key"] for row in seen(job) if row["attack"] == "pgd" and row["eps"] == 0.1}
    for key in keys.values():
        costs = open_results(job.results).query(f"SELECT forwards FROM crafts WHERE craft_key = '{key}'").to_pylist()
        assert {row["forwards"] for row in costs} == {2 * (3 + 1)}, "no look says that an example is done"


def test_no_two_lines_of_the_result_table_read_alike(job):
    printed = "\n".join(shown(found, 200) for found in result_tables(job.results))
    lines = [line for line in printed.splitlines() if "mnist-cnn" in line]
    assert len(lines) == len({line.partition(" %")[0][:-6] for line in lines}) == 2 * 7
    assert sum("through view(tilt=20.0), unaware of it" in line for line in lines) == 2 * 3
    assert sum("broken at 8/20" in line for line in lines) == 2 * 6


def test_a_rerun_computes_nothing_and_a_trial_is_replayed_to_the_bit(job, tmp_path):
    assert run_here(job).computed == 0
    row = next(row for row in seen(job) if row["status"] == "broken" and row["awareness"] == "channel")
    same, said = replay(job.results, row["unit_key"], row["sample_id"], tmp_path)
    assert same and "bit for bit" in "\n".join(shown(part, 200) for part in said)


def test_stickers_are_cut_to_their_masks_and_insects_to_their_signs(tmp_path):
    attacks = [
        {"use": "sticker", "mask": ["bars", "disk"], "steps": 3, "channel": "view"},
        {"use": "insects", "within": "face", "queries": 9},
    ]
    job = load(tmp_path, **SIGNS, attacks=attacks, judge={"draws": 3})
    assert run_here(job).state == "complete"
    rows = table(job.results)
    assert len(rows) == 6
    assert {row["status"] for row in rows} <= {"robust", "broken"}
    assert all(row["norm"] is row["eps"] is None and 0 < row["l0"] < 3 * 500 for row in rows)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (
            {**SIGNS, "attacks": [{"use": "sticker", "place": [0, 0]}]},
            'attack "sticker(place=[0.0, 0.0])" on road-signs: a square of 7.16 pixels at place [0.0, 0.0] does not lie on 32x32',
        ),
        (
            {"data": DIGITS, "victims": BOTH, "attacks": [{"use": "sticker", "mask": "bars"}]},
            'attack "sticker(mask=bars)" knows its way about samples of road-signs only, not of mnist-5k',
        ),
        ({**SIGNS, "attacks": [{"use": "sticker", "eps": 0.1}]}, "keeps to no ball around the input and takes no eps"),
    ],
)
def test_a_mask_that_can_not_be_is_refused_before_anything_runs(tmp_path, grid, message):
    with pytest.raises(UsageError) as caught:
        run_here(load(tmp_path, **grid))
    assert message in str(caught.value)
    assert not parts(str(tmp_path / "job"), "crafts")
