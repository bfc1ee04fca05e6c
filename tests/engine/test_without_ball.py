"""Corruptions through the whole grid: cells without norm and eps, from the job file to every table a person sees."""

import json

import pytest
from small_jobs import BOTH, DIGITS, PGD, load, parts, run_here, shown, table

from raygrid.engine.estimate import plan_report
from raygrid.engine.placement import HostWishes
from raygrid.engine.replay import replay
from raygrid.engine.result_tables import result_tables
from raygrid.errors import UsageError
from raygrid.results.open import open_results

CONTRAST = {"use": "corruption", "kind": ["contrast", "jpeg"], "severity": [1, 5]}


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corruptions")
    job = load(folder, attacks=[CONTRAST, {**PGD, "eps": 0.2}], data={**DIGITS, "shard": 16})
    outcome = run_here(job)
    assert (outcome.state, outcome.computed) == ("complete", 20)
    return job


def rows(job, sql):
    return open_results(job.results).query(sql).to_pylist()


def test_a_corruption_that_changes_the_answer_is_broken_and_has_no_ball(job):
    found = [row for row in table(job.results) if row["attack"] == "corruption"]
    assert {(row["norm"], row["eps"], row["access"], row["info_level"]) for row in found} == {
        (None, None, "none", "nothing")
    }
    assert {row["status"] for row in found} <= {"robust", "broken", "clean_wrong"}
    assert {"robust", "broken"} <= {row["status"] for row in found}
    assert all(row["success"] is (row["status"] != "robust") for row in found)
    assert len({row["cell_id"] for row in found}) == 8
    assert not any("norm=" in row["cell_id"] or "eps=" in row["cell_id"] for row in found)


def test_the_victim_is_never_asked(job):
    costs = rows(
        job,
        "SELECT sum(forwards) AS f, sum(backwards) AS b, bool_or(attack_claimed) AS claimed FROM crafts "
        "WHERE craft_key IN (SELECT craft_key FROM trials WHERE attack = 'corruption')",
    )
    assert costs == [{"f": 0, "b": 0, "claimed": False}]


def test_the_summary_has_a_line_for_each_and_the_worst_case_none(job):
    summary = rows(job, "FROM summary WHERE attack = 'corruption'")
    assert len(summary) == 8
    assert all(row["eps"] is row["norm"] is None and row["n"] == row["planned"] == 32 for row in summary)
    for victim in BOTH:
        mild, severe = (
            row["robust_accuracy"]
            for severity in (1, 5)
            for row in summary
            if row["victim"] == victim
            and json.loads(row["attack_params"]) == {"kind": "contrast", "severity": severity}
        )
        assert severe < mild <= 1
    assert len(rows(job, "FROM summary WHERE eps IS NULL")) == 8
    worst = rows(job, "FROM worst_case")
    assert [(row["attacks"], row["eps"]) for row in worst] == [(1, 0.2)] * 2
    attacked = {row["victim"]: row["robust"] for row in rows(job, "FROM summary WHERE attack = 'pgd'")}
    assert {row["victim"]: row["robust"] for row in worst} == attacked


def test_the_result_table_names_no_ball(job):
    (printed,) = (shown(found, 140) for found in result_tables(job.results))
    lines = [line for line in printed.splitlines() if "corruption(" in line]
    assert len(lines) == 8
    assert not any(word in line for line in lines for word in ("linf", "None", "inf", "nan"))
    assert any("corruption(kind=jpeg,severity=5) " in line for line in lines)


def test_every_example_is_measured_as_crafted_and_as_stored(job):
    for row in table(job.results):
        if row["status"] == "clean_wrong":
            assert (row["psnr_db"], row["psnr_db_stored"], row["ssim"], row["ssim_stored"]) == (None, None, 1.0, 1.0)
            continue
        assert 0 < row["psnr_db"] < 60 and -1 < row["ssim"] < 1
        assert row["linf_stored"] <= row["linf"] + 1e-6
        assert row["psnr_db_stored"] == pytest.approx(row["psnr_db"], abs=1)
        assert row["ms_ssim"] is row["ms_ssim_stored"] is None  # digits are too small for five scales
        assert all(row[f"{name}_stored"] > 0 for name in ("l2", "l1", "l0"))


def test_a_rerun_computes_nothing_and_plan_says_so(job):
    assert run_here(job).computed == 0
    text = "\n".join(shown(part, 200) for part in plan_report(job, {"CPU": 2.0}, HostWishes()))
    assert "attack=corruption(kind=contrast,severity=1) goal=untargeted access=none seed=0" in text
    assert "10 cells; 20 score units, 20 done" in text


def test_a_trial_is_replayed_to_the_bit(job, tmp_path):
    row = next(row for row in table(job.results) if row["attack"] == "corruption" and row["status"] == "broken")
    same, said = replay(job.results, row["unit_key"], row["sample_id"], tmp_path)
    text = "\n".join(shown(part, 200) for part in said)
    assert same and "corruption, sample" in text and "bit for bit" in text


def test_exclude_drops_corruptions_by_their_parameters_and_by_their_lack_of_eps(tmp_path):
    attacks = [CONTRAST, {**PGD, "eps": 0.2}]
    for rule, units in (({"kind": "jpeg", "severity": 5}, 32), ({"eps": None}, 8), ({"access": "none"}, 8)):
        job = load(tmp_path, attacks=attacks, exclude=[rule])
        assert f"{units} score units" in "\n".join(shown(part) for part in plan_report(job, {"CPU": 2.0}, HostWishes()))


def test_saturation_of_digits_is_refused_before_anything_runs(tmp_path):
    job = load(tmp_path, attacks=[{"use": "corruption", "kind": "saturate", "severity": 1}])
    with pytest.raises(UsageError, match='gray pictures have no saturation to change; leave "kind: saturate" out'):
        run_here(job)
    assert not parts(job.results, "crafts")
