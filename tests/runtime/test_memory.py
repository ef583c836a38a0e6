"""What the kernel counts: a page that the process has not got yet costs it a fault."""

import json
import platform
import resource
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc")

MB, BLOCKS = 8, 16
PAGES = BLOCKS * MB * 2**20 // resource.getpagesize()
PROGRAM = f"""
import ctypes, json, resource, sys
from bench.runtime import memory
if sys.argv[1] == "keep":
    memory.keep()
ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE: small pages only, to be counted
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
found = []
for _ in range(6):
    before = faults()
    blocks = [bytearray({MB} << 20) for _ in range({BLOCKS})]
    while blocks:
        blocks.pop()
    found.append(faults() - before)
print(json.dumps(found))
"""


def faults(how):
    """Page faults of a process that allocates and frees `BLOCKS` blocks of `MB`, each time it does so."""
    return json.loads(
        subprocess.run(
            [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True
        ).stdout
    )


def test_freed_memory_is_used_again():
    first, *later = faults("keep")
    assert first > PAGES / 2
    assert max(later) < PAGES / 100


def test_else_it_goes_back_to_the_kernel():
    assert min(faults("default")) > PAGES / 2
