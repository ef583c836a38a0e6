"""Where the networks run: the CPU, or a GPU of this machine that no other job of ours has.

Snakemake hands out a number of GPUs but not which, so every job claims one itself: it locks a file a GPU in the folder
for temporary files, and the kernel releases the lock when the process ends, however it ends. A job that finds every
GPU taken waits. CUDA_VISIBLE_DEVICES, which cluster schedulers set, says which GPUs there are.
"""

import fcntl
import os
import sys
import tempfile
import time
from pathlib import Path

import torch

from bench.runtime.errors import BenchError

CHOICES = ("auto", "cpu", "cuda")
POLL = 1.0  # seconds between looks for a GPU that has become free

_claimed = {}  # {torch.device: open lock file} of this process


def choose(asked):
    """The torch.device for `asked`: 'cpu'; 'cuda', a free GPU; or 'auto', a GPU where PyTorch sees one, else the CPU.

    A process gets the same GPU every time. Matrix products and convolutions are then in full fp32 (not TF32) and by
    deterministic algorithms, as on the CPU. Raises BenchError for 'cuda' where there is none.
    """
    count = torch.cuda.device_count() if asked != "cpu" else 0
    if asked == "cuda" and not count:
        raise BenchError(
            "device: cuda, but PyTorch sees no GPU; expected auto or cpu here, or a CUDA build of PyTorch"
        )
    if not count:
        return torch.device("cpu")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    return claim(_names(count))


def layout(device):
    """The memory format that images have where a network passes them: channels last on a GPU, whose convolutions in bf16 want
    it; rows of pixels on a CPU, where GroupNorm is three times as fast on them (torch 2.13)."""
    return torch.channels_last if torch.device(device).type == "cuda" else torch.contiguous_format


def claim(names, folder=None):
    """The device of the first of `names`, {device: name unique on this machine}, that no other process has claimed.

    Waits while all are claimed, and says so once. folder: where the lock files are, by default that of temporary files.
    """
    if _claimed:
        return next(iter(_claimed))
    folder, waiting = Path(folder or tempfile.gettempdir()), False
    while True:
        for device, name in names.items():
            file = open(folder / f"bench-{os.getuid()}-{name}.lock", "w")  # noqa: SIM115 - open as long as the process is
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                continue
            _claimed[device] = file
            return device
        if not waiting:
            print(
                f"device: every GPU ({len(names)}) is taken by another job; waiting",
                file=sys.stderr,
            )
            waiting = True
        time.sleep(POLL)


def _names(count):
    """{device: the GPU's UUID} of the GPUs that this process may use."""
    return {
        torch.device("cuda", index): str(torch.cuda.get_device_properties(index).uuid)
        for index in range(count)
    }
