"""Memory that a process frees stays with it, where the C library is glibc."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, statistics, torch
from discrete_vae.memory import keep_freed_memory
if {keep}:
    keep_freed_memory()
for _ in range(8):  # 64 MiB, freed at once; the first few make room
    torch.ones(2**24).sum()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(2**24).sum()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(int(statistics.median(faults() for _ in range(9))))  # one in many has been seen to fault all the same
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told")
def test_large_tensors_take_the_pages_of_those_before_them() -> None:
    """64 MiB are 16,384 pages of 4 KiB, or 32 where the system gives huge ones."""
    faults = {
        keep: int(
            subprocess.run([sys.executable, "-c", FAULTS.format(keep=keep)], capture_output=True, check=True).stdout
        )
        for keep in (True, False)
    }
    assert faults[True] < 10 < faults[False]
