"""Victims whose gradients lead nowhere, in a job: refused where only gradients would attack them, seen through by audit."""

from pathlib import Path

import pytest
from small_jobs import PGD, load, run_here, table

from raygrid.errors import UsageError
from raygrid.results.open import open_results
from raygrid.victims.catalog_builtin import INFOS
from raygrid.victims.mnist_cnn import weights_file

CODE = Path(__file__).with_name("masked_victim.py")
FOUR = {"use": "mnist-5k", "limit": 4}
AUDIT = {"use": "audit", "norm": "linf", "eps": 0.15}


def victim(name):
    return {
        "use": "module",
        "id": name,
        "target": f"{CODE}:{name}",
        "trust": True,
        "input": [1, 28, 28],
        "classes": 10,
        "weights": str(weights_file(INFOS["mnist-cnn"].arch)),
    }


@pytest.mark.parametrize(
    ("name", "message"),
    [("quantized", "the input gradient is zero everywhere; .* by audit alone"), ("noisy", r"judge: \{draws: 20\}")],
)
def test_gradients_alone_do_not_attack_a_masked_victim(tmp_path, name, message):
    with pytest.raises(UsageError, match=message):
        run_here(load(tmp_path, victims=[victim(name)], attacks=[PGD, AUDIT], data=FOUR))


def test_audit_escalates_on_a_masked_victim_and_the_checks_flag_it(tmp_path):
    job = load(tmp_path, victims=[victim("quantized")], attacks=[AUDIT], data=FOUR)
    assert run_here(job).state == "complete"
    last = [row for row in table(job.results) if row["stage"] == row["stages"]]
    assert sum(row["status"] == "broken" for row in last) >= 3  # gradients break none
    (flags,) = {row["flags"] for row in open_results(job.results).arrow("summary").to_pylist()}
    assert {"score-beats-gradient", "zero-gradients"} <= set(flags.split(", "))


def test_a_random_victim_is_judged_by_draws_and_a_rerun_is_bit_identical(tmp_path):
    quick = {**PGD, "eps": 0.15, "eot": 3}
    jobs = [
        load(tmp_path, victims=[victim("noisy")], attacks=[quick], data=FOUR, judge={"draws": 20}, name=name)
        for name in ("once", "again")
    ]
    for job in jobs:
        assert run_here(job).state == "complete"
    once, again = (table(job.results) for job in jobs)
    assert {row["draws"] for row in once} == {20}
    assert [{k: v for k, v in row.items() if k != "run"} for row in once] == [
        {k: v for k, v in row.items() if k != "run"} for row in again
    ]
