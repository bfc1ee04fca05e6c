"""`raygrid plan`: what a job would run, before it runs."""

import pytest
from small_jobs import PGD, load, run_here, shown

from raygrid.engine.estimate import plan_report
from raygrid.engine.placement import HostWishes


def plan(job):
    return "\n".join(shown(part, width=200) for part in plan_report(job, {"CPU": 2}, HostWishes()))


def test_a_plan_counts_cells_units_and_passes_and_writes_nothing(tmp_path):
    job = load(tmp_path, attacks=[{**PGD, "steps": 5, "restarts": 2}])
    text = plan(job)
    assert "4 cells; 16 score units, 0 done, 16 to run; 16 craft units, 16 to run" in text
    passes = 2 * 32 * 2 * (5 + 6)  # eps x samples x restarts x (gradients + looks)
    assert f"at most {passes:,} forward and backward passes on mnist-cnn" in text
    assert [file.name for file in tmp_path.iterdir()] == ["job.yaml"]


def test_a_plan_knows_what_is_done_and_how_long_that_took(tmp_path):
    run_here(load(tmp_path, victims=["mnist-cnn"]))
    text = plan(load(tmp_path))
    assert "16 score units, 8 done, 8 to run; 16 craft units, 8 to run" in text
    assert "passes on mnist-cnn-adv\n" in text
    run_here(load(tmp_path))
    text = plan(load(tmp_path, attacks=[{**PGD, "eps": 0.3}]))
    assert text.count("host-hours at the pace of earlier runs") == 2


def test_examples_that_transfer_are_planned_once_for_all_victims(tmp_path):
    job = load(tmp_path, attacks=[{**PGD, "eps": 0.2, "access": "transfer", "source": ["mnist-cnn"]}])
    assert "2 cells; 8 score units, 0 done, 8 to run; 4 craft units, 4 to run" in plan(job)


def test_a_combination_that_is_named_twice_is_planned_once(tmp_path):
    assert "2 cells; 8 score units" in plan(load(tmp_path, attacks=[{**PGD, "eps": 0.1}] * 2))


@pytest.mark.parametrize(("cpus", "idle"), [(3, None), (4, None), (7, 3)])
def test_hosts_that_would_have_nothing_to_do_are_told(tmp_path, cpus, idle):
    data = {"use": "mnist-5k", "limit": 32, "shard": 8}  # four shards of one cell
    job = load(tmp_path, victims=["mnist-cnn"], attacks=[{**PGD, "eps": 0.2}], data=data)
    text = "\n".join(shown(part, width=300) for part in plan_report(job, {"CPU": cpus}, HostWishes()))
    assert f"placed on {min(cpus, 4)} hosts" in text
    assert ("would fit" in text) == (idle is not None)
    if idle is not None:
        assert f"{idle} more would fit and have nothing to do: a smaller data.shard makes more units" in text


def test_a_ladder_is_the_work_of_one_host(tmp_path):
    data = {"use": "mnist-5k", "limit": 16, "shard": 8}
    job = load(tmp_path, victims=["mnist-cnn"], attacks=[{**PGD, "eps": [0.1, 0.2, 0.3]}], data=data)
    text = "\n".join(shown(part, width=300) for part in plan_report(job, {"CPU": 6}, HostWishes()))
    assert "6 score units" in text and "placed on 2 hosts" in text and "4 more would fit" in text
