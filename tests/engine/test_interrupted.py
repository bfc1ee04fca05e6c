"""`raygrid run` as a process of its own, killed or interrupted at one moment or another, and the same command again."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from small_jobs import BOTH, PGD, load, parts, run_here, table, write_job

from raygrid.job import load_job

JOB = {
    "data": {"use": "mnist-5k", "limit": 32, "shard": 8},
    "victims": BOTH,
    "attacks": [{**PGD, "eps": 0.3, "steps": 120}],
}
"""Eight units of some tenths of a second."""
PATIENCE = 100.0
AGENTS = {"ray::DashboardAgent", "ray::RuntimeEnvAgent"}
"""Of a Ray whose driver was killed these notice it after a minute. They hold neither GPU nor model."""
DRAIN_AND_END = 25.0
"""What Ctrl-C promises: running units have 20 s, and ending Ray takes some more."""


def wait_until(happens, seconds=PATIENCE):
    until = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)


def name_of(process):
    """Return the command line of a process, which Ray sets to what the process is."""
    try:
        return (process / "cmdline").read_bytes().partition(b"\0")[0].decode()
    except OSError:  # it has ended meanwhile
        return ""


def uses(process, folder):
    """Whether a process has a file of the folder open."""
    try:
        return any(str(link.readlink()).startswith(folder) for link in process.glob("fd/*"))
    except OSError:  # it has ended meanwhile
        return False


class Command:
    """A raygrid command whose Ray keeps to a folder of its own."""

    def __init__(self, file, ray_folder):
        self.file, self.ray_folder = file, ray_folder

    def start(self, *words):
        code = "from raygrid.cli import main; main()"
        return subprocess.Popen(
            [sys.executable, "-c", code, *words],
            env={**os.environ, "RAY_TMPDIR": self.ray_folder},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self):
        return self.start("run", str(self.file), "--hosts", "1")

    def processes(self):
        return [process for process in Path("/proc").glob("[0-9]*") if uses(process, self.ray_folder)]

    def kill(self, driver):
        """Kill the driver alone, and wait until all of its Ray is gone, but for the agents: those are killed too."""
        os.kill(driver.pid, signal.SIGKILL)
        driver.communicate()
        wait_until(lambda: {name_of(process) for process in self.processes()} <= AGENTS)
        for process in self.processes():
            os.kill(int(process.name), signal.SIGKILL)


@pytest.fixture
def command(tmp_path):
    ray_folder = tempfile.mkdtemp(prefix="rg", dir="/tmp")  # Ray's socket names must stay short
    yield Command(write_job(tmp_path, **JOB), ray_folder)
    shutil.rmtree(ray_folder, ignore_errors=True)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    job = load(tmp_path_factory.mktemp("undisturbed"), **JOB)
    run_here(job)
    return table(job.results)


def committed(command, kind="trials"):
    return len(parts(command.file.with_suffix(""), kind))


def test_a_driver_that_is_killed_after_the_first_commit_leaves_no_process_and_loses_nothing(command, undisturbed):
    driver = command.run()
    wait_until(lambda: committed(command, "examples"))
    command.kill(driver)
    assert committed(command) < len(undisturbed) / 8
    job = load_job(command.file)
    assert run_here(job).state == "complete"
    assert table(job.results) == undisturbed


def test_the_same_command_goes_on_after_a_kill_in_mid_run_to_the_same_table(command, undisturbed):
    driver = command.run()
    wait_until(lambda: committed(command) >= 3)
    command.kill(driver)
    again = command.run()
    said, _ = again.communicate(timeout=PATIENCE)
    assert again.returncode == 0, said
    assert "complete: " in said
    rows = table(load_job(command.file).results)
    assert rows == undisturbed
    assert len({(row["unit_key"], row["sample_id"]) for row in rows}) == len(rows)
    wait_until(lambda: not command.processes())


def test_ctrl_c_keeps_what_is_committed_says_so_and_the_same_job_goes_on(command, undisturbed):
    driver = command.run()
    wait_until(lambda: committed(command) >= 2)
    asked = time.monotonic()
    os.killpg(driver.pid, signal.SIGINT)  # a terminal sends it to the driver and to all that belongs to it
    said, _ = driver.communicate(timeout=PATIENCE)
    assert driver.returncode == 130, said
    assert time.monotonic() - asked < DRAIN_AND_END
    kept = committed(command)
    assert f"stopped: {kept} units computed" in said
    assert "the same command goes on" in said
    wait_until(lambda: not command.processes())
    status, _ = command.start("status", str(command.file.with_suffix(""))).communicate()
    assert "stopped: " in status
    job = load_job(command.file)
    outcome = run_here(job)
    assert (outcome.state, outcome.reused) == ("complete", kept)
    assert table(job.results) == undisturbed


def test_a_second_ctrl_c_ends_a_run_at_once(tmp_path, command):
    write_job(tmp_path, **{**JOB, "attacks": [{**PGD, "eps": 0.3, "steps": 10**6}, {**PGD, "eps": 0.2}]})
    driver = command.run()
    wait_until((tmp_path / "job" / "status.json").exists)
    os.kill(driver.pid, signal.SIGINT)
    time.sleep(1)
    os.kill(driver.pid, signal.SIGINT)
    said, _ = driver.communicate(timeout=DRAIN_AND_END / 2)
    assert driver.returncode == 130, said
    assert "interrupted; what was committed stays" in said
    wait_until(lambda: not command.processes())
