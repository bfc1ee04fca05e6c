"""What tensors freed stays with the process: counted in page faults, which the kernel counts exactly."""

import platform
import subprocess
import sys

import pytest

PASSES = """
import resource, sys
from raygrid.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def work():
    for _ in range(20):
        for megabytes in (40, 3, 17):  # more than any threshold of glibc's, and less
            bytearray(megabytes << 20)
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is asked")
def test_freed_memory_is_used_again_and_not_mapped_anew():
    given_back, kept = (
        int(subprocess.run([sys.executable, "-c", PASSES, mode], capture_output=True, text=True, check=True).stdout)
        for mode in ("default", "keep")
    )
    assert given_back > 10_000  # pages: else this test says nothing
    assert kept < 100
