"""What every test may count on: no Ray of anyone else's, one thread a process, and a small local Ray on request.

The suite runs in two processes, file by file, where pytest-xdist is installed; `pytest -n 0` runs it in this one.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

# All are read when Ray or torch is imported or started, so they stand before any fixture. Token mode would write
# ~/.ray/auth_token, and this person's later clusters would then ask for it; the memory monitor kills workers on a busy
# machine; results are bit-identical only at equal thread counts.
os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_memory_monitor_refresh_ms": "0", "OMP_NUM_THREADS": "1"}
os.environ.pop("RAY_ADDRESS", None)

settings.register_profile("any machine", deadline=None)  # a busy one makes an example slow, and not wrong
settings.load_profile("any machine")

WORKERS = 2
"""The least machine that the suite is run on has two cores."""
ON_RAY = {"test_interrupted.py", "test_ray_hosts.py", "test_two_nodes.py"}
"""Files whose tests start clusters: one after the other in one process, so that no two clusters ever run at once."""
LONG = {"test_suites.py"}
"""Files that take minutes and that the alphabet puts last: one process would wait for the other at the end."""


def starts_ray(file: str) -> bool:
    return Path(file).name in ON_RAY


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Two workers for more than one file, if nothing else was asked for. Not by `addopts`: these fail without xdist."""
    option = config.option
    of_a_file = len(config.args) == 1 and not Path(config.args[0]).is_dir()
    if getattr(option, "numprocesses", 0) is None and not option.usepdb and not of_a_file and not is_worker(config):
        option.numprocesses = WORKERS


def is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Clusters first, with time for a busy machine to start their processes; then what is long."""
    for item in items:
        if starts_ray(item.path.name):
            item.add_marker(pytest.mark.timeout(600))
    items.sort(key=lambda item: (not starts_ray(item.path.name), item.path.name not in LONG))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object | None:
    """Whole files, so that what a module's fixture computes is computed once; in the order of the collection."""
    from xdist.scheduler import LoadScopeScheduling

    if config.option.dist != "load":  # what -n alone stands for: another was asked for
        return None

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "on Ray" if starts_ray(file) else file

    config.option.loadscopereorder = False
    return ByFile(config, log)


@pytest.fixture(scope="module")
def ray_cluster(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """A local Ray of two CPUs, gone with the last test of the module. Yields `ray`."""
    import ray

    if not starts_ray(request.path.name):
        pytest.fail(f"add {request.path.name} to ON_RAY")
    # Not pytest's tmp_path: Ray's socket names would pass the 107 bytes that a Unix socket may have.
    folder = tempfile.mkdtemp(prefix="rg", dir="/tmp")
    try:
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            object_store_memory=150 << 20,
            log_to_driver=False,
            _temp_dir=folder,
        )
        yield ray
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)
