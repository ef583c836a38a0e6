"""Memory that a job has freed stays with it: a page that it has not got yet costs it a fault, which
the kernel counts.
"""

import json
import os
import platform
import re
import subprocess
import sys

import pytest

from tests.helpers.runs import ROOT

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc")

MB, BLOCKS = 8, 16
PAGES = BLOCKS * MB * 2**20 // os.sysconf("SC_PAGESIZE")
PROGRAM = f"""
import ctypes, json, resource
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


def faults(**variables):
    """Page faults of a process that allocates and frees `BLOCKS` blocks of `MB`, each time it does
    so.
    """
    environment = {name: value for name, value in os.environ.items() if "MALLOC" not in name}
    command = [sys.executable, "-c", PROGRAM]
    found = subprocess.run(
        command, env=environment | variables, capture_output=True, text=True, check=True
    )
    return json.loads(found.stdout)


def test_freed_memory_of_a_job_is_used_again():
    rules = (ROOT / "workflows" / "rules" / "common.smk").read_text()
    variables = dict(re.findall(r"(MALLOC_\w+)=([-\d]+)", rules))
    first, *later = faults(**variables)
    assert first > PAGES / 2
    assert max(later) < PAGES / 100


def test_else_it_goes_back_to_the_kernel():
    assert min(faults()) > PAGES / 2
