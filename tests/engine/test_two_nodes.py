"""A cluster of two nodes, faked on this machine: joined and left running, its GPUs counted, one node lost in mid-run."""

import shutil
import subprocess
import sys
import tempfile

import pytest
import ray
import torch
from ray.cluster_utils import Cluster
from small_jobs import BOTH, PGD, load, parts, run_here, table, write_job

from raygrid.engine.cluster import connected, resources
from raygrid.engine.inputs import read_inputs
from raygrid.engine.placement import HostOptions, HostWishes, place
from raygrid.engine.ray_executor import RayExecutor
from raygrid.engine.run import run
from raygrid.errors import UsageError
from raygrid.results.status import read_status
from raygrid.results.store import open_store

NODE = {"num_cpus": 1, "num_gpus": 1, "object_store_memory": 100 << 20}
QUICK = {"health_check_initial_delay_ms": 1000, "health_check_period_ms": 500, "health_check_failure_threshold": 3}
"""A node that is gone is noticed in 3 s instead of 15."""
JOB = {"victims": BOTH, "attacks": [{**PGD, "eps": 0.3, "steps": 100}]}


@pytest.fixture(scope="module")
def cluster():
    folder = tempfile.mkdtemp(prefix="rg", dir="/tmp")
    cluster = Cluster()
    try:
        cluster.add_node(**NODE, include_dashboard=False, temp_dir=folder, _system_config=QUICK)
        cluster.add_node(**NODE)
        cluster.wait_for_nodes()
        yield cluster
    finally:
        cluster.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def joined(cluster):
    with connected(cluster.address):
        yield cluster


def test_one_host_a_gpu_is_started_where_the_cluster_has_gpus(joined):
    assert place(resources(), 9, HostWishes(joined.address)) == HostOptions(2, 1.0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch sees a GPU here")
def test_a_gpu_that_torch_does_not_see_is_told_and_never_made_up_for_on_the_cpu(joined, tmp_path):
    job = load(tmp_path, **JOB)
    with pytest.raises(UsageError, match=r"GPU, and torch .* sees none"):
        run(
            job,
            read_inputs(job),
            lambda tasks: RayExecutor(job.results, place(resources(), tasks, HostWishes(joined.address))),
        )
    assert not parts(job.results, "crafts")


def test_hosts_that_see_another_results_folder_refuse_to_work(joined, tmp_path):
    job = load(tmp_path, **JOB)
    with pytest.raises(UsageError, match="choose a folder that all nodes share"):
        run(job, read_inputs(job), lambda tasks: RayExecutor(str(tmp_path / "elsewhere"), HostOptions(2)))
    assert not (tmp_path / "elsewhere").exists()


def test_a_run_joins_a_cluster_by_its_address_and_leaves_it_running(cluster, tmp_path):
    file = write_job(tmp_path, **JOB)
    code = "from raygrid.cli import main; main()"
    words = ["run", file, "--address", cluster.address, "--gpus-per-host", "0", "--results", "relative"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(parts(tmp_path / "relative", "trials")) == 8
    with connected(cluster.address):
        assert sum(node["Alive"] for node in ray.nodes()) == 2


def test_a_node_that_is_lost_in_mid_run_costs_nothing_but_time(joined, tmp_path):
    job, undisturbed = load(tmp_path, **JOB), load(tmp_path, **JOB, name="undisturbed")
    run_here(undisturbed)
    nodes = joined.list_all_nodes()

    def lose_a_node(status):
        if len(nodes) == 2 and parts(job.results, "trials"):
            joined.remove_node(nodes.pop(), allow_graceful=False)

    outcome = run(job, read_inputs(job), lambda tasks: RayExecutor(job.results, HostOptions(2)), show=lose_a_node)
    assert (outcome.state, outcome.computed, outcome.failed) == ("complete", 8, 0)
    assert len(nodes) == 1
    assert read_status(open_store(job.results))["losses"] == 1
    assert table(job.results) == table(undisturbed.results)
