"""What every test may count on: no Ray of anyone else's, one thread a process, and a small local Ray on request."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from types import ModuleType

import pytest

# All are read when Ray or torch is imported or started, so they stand before any fixture. Token mode would write
# ~/.ray/auth_token, and this person's later clusters would then ask for it; the memory monitor kills workers on a busy
# machine; results are bit-identical only at equal thread counts.
os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_memory_monitor_refresh_ms": "0", "OMP_NUM_THREADS": "1"}
os.environ.pop("RAY_ADDRESS", None)


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[ModuleType]:
    """A local Ray of two CPUs, gone with the last test of the module. Yields `ray`."""
    import ray

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
