"""Where the networks run: the CPU, or a GPU of this machine that no other job of ours has.

Snakemake hands out a number of GPUs but not which, so every job claims one itself. It locks a file
for the GPU in the folder for temporary files; the kernel releases the lock when the process ends,
however it ends. A job that finds every GPU taken waits.

A scheduler such as Slurm says which GPUs a job has: it sets CUDA_VISIBLE_DEVICES, and PyTorch sees
these alone. A job claims one of them all the same. The locks have the names of the GPUs, not their
numbers, so jobs with different GPUs do not meet, whatever numbers they see. And they keep out what
the scheduler does not know of: a second job of a group, and a process that a failed node left.
"""

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Hashable
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from bench.runtime.errors import BenchError

CHOICES = ("auto", "cpu", "cuda")
POLL = 1.0  # seconds between looks for a GPU that has become free

_claimed = {}  # {torch.device: its lock} of this process


def choose(choice: str) -> torch.device:
    """The device for a choice: 'cpu'; 'cuda', a free GPU; or 'auto', a GPU if there is one.

    A process gets the same GPU every time. Matrix products and convolutions are then in full fp32
    (not TF32) and by deterministic algorithms, as on the CPU. Raises BenchError for 'cuda' if
    there is none, and for 'auto' if Slurm has given this job a GPU that PyTorch does not see.
    """
    count = torch.cuda.device_count() if choice != "cpu" else 0
    given = os.environ.get("SLURM_JOB_GPUS") or os.environ.get("SLURM_STEP_GPUS")
    if choice == "auto" and given and not count:
        raise BenchError(
            f"device: auto, and Slurm has given this job a GPU ({given}), but PyTorch sees none; "
            "expected cpu for nodes without GPUs, or a CUDA build of PyTorch"
        )
    if choice == "cuda" and not count:
        raise BenchError(
            "device: cuda, but PyTorch sees no GPU; expected auto or cpu here, "
            "or a CUDA build of PyTorch"
        )
    if not count:
        return torch.device("cpu")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    return claim(_names(count))


def layout(device: torch.device | str) -> torch.memory_format:
    """The memory format of images in networks.

    It is channels last on a GPU, whose convolutions in bf16 are faster with it. It is rows of
    pixels on a CPU, where they make GroupNorm three times as fast (torch 2.13).
    """
    return torch.channels_last if torch.device(device).type == "cuda" else torch.contiguous_format


def claim(names: dict[Hashable, str], folder: str | Path | None = None) -> Hashable:
    """The first device that no other process has claimed.

    names: {device: its name, unique on this machine}. folder: of the lock files, by default the
    folder for temporary files. Waits while all devices are claimed, and says so once. A process
    that has claimed a device gets the same one again.
    """
    if _claimed:
        return next(iter(_claimed))
    folder = Path(folder or tempfile.gettempdir())
    locks = {
        device: FileLock(folder / f"bench-{os.getuid()}-{name}.lock")
        for device, name in names.items()
    }
    device = _first_free(locks)
    if device is None:
        print(f"device: every GPU ({len(names)}) is taken by another job; waiting", file=sys.stderr)
    while device is None:
        time.sleep(POLL)
        device = _first_free(locks)
    _claimed[device] = locks[device]
    return device


def _first_free(locks):
    """The first device whose lock could be taken, or None."""
    for device, lock in locks.items():
        with contextlib.suppress(Timeout):
            lock.acquire(blocking=False)
            return device
    return None


def _names(count):
    """{device: the GPU's UUID} of the GPUs that this process may use."""
    return {
        torch.device("cuda", index): str(torch.cuda.get_device_properties(index).uuid)
        for index in range(count)
    }
