"""How long a job is inside its networks, and what it takes besides.

The floor of what a job takes is the time that its networks take. So every pass of a network that is
`watched`, and every backward pass, is timed, and when a job ends its account is written to
results/.jobs/: when it began, its wall time, the time before the first pass (start-up: imports, and
reading what earlier jobs wrote), the time inside networks, their passes and images, and the memory
at its peak. On a GPU passes run behind the program's back, so their ends are marked on the device's
own clock and read later, without waiting for them.
"""

import contextlib
import resource
import time
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import psutil

from bench.runtime import files, paths


class Account:
    """The time in networks since the account was opened.

    passes, images: of forward passes; first: time.time() at the first pass, or None.
    """

    def __init__(self) -> None:
        self.passes = self.images = 0
        self.first = None
        self._seconds, self._marks = 0.0, deque()

    @contextlib.contextmanager
    def inside(self, device: Any, images: int = 0) -> Iterator[None]:
        """Counts the `with` block as a pass of `images` images on a torch device.

        Without images it is a backward pass.
        """
        if self.first is None:
            self.first = time.time()
        self.passes += images > 0
        self.images += images
        if device.type != "cuda":
            begun = time.perf_counter()
            yield
            self._seconds += time.perf_counter() - begun
            return
        import torch

        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        yield
        end.record()
        self._marks.append((begin, end))
        self._settle()

    def _settle(self, wait=False):
        """Takes marks that the device has passed into the sum; all of them with `wait`."""
        while self._marks:
            begin, end = self._marks[0]
            if wait:
                end.synchronize()
            elif not end.query():
                return
            self._marks.popleft()
            self._seconds += begin.elapsed_time(end) / 1000

    @property
    def seconds(self) -> float:
        """The time inside networks."""
        self._settle(wait=True)
        return self._seconds


account = Account()  # of this process


def inside(device: Any, images: int = 0) -> AbstractContextManager:
    """Counts the `with` block as time in a network, see `Account.inside`."""
    return account.inside(device, images)


def watched(network: Any) -> Any:
    """The torch module `network` itself, whose forward passes are timed from now on.

    The first argument of a pass is a batch of images.
    """
    passes = []

    def begin(module, inputs):
        passes.append(account.inside(inputs[0].device, len(inputs[0])))
        passes[-1].__enter__()

    def end(module, inputs, output):
        passes.pop().__exit__(None, None, None)

    network.register_forward_pre_hook(begin)
    network.register_forward_hook(end)
    return network


@contextlib.contextmanager
def fresh() -> Iterator[Account]:
    """An `Account` of the `with` block alone. The process's own account goes on after it."""
    global account
    before, account = account, Account()
    try:
        yield account
    finally:
        account = before


def write(
    account: Account, stage: str, setting: str, threads: int | None, **which: str | int
) -> None:
    """Writes the account of this process, a job that passed a network, to results/.jobs/.

    threads: how many the job had; which: what distinguishes the jobs of a stage.
    """
    begun = psutil.Process().create_time()
    files.write_json(
        paths.job(setting, stage, *which.values()),
        {
            "stage": stage,
            "setting": setting,
            **which,
            "threads": threads,
            "began": begun,
            "seconds": time.time() - begun,
            "start_up": account.first - begun,
            "network": account.seconds,
            "passes": account.passes,
            "images": account.images,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        },
    )
