"""How near the harness comes to the networks' own time: what `make benchmark` measures and writes to results/benchmark.md.

What the harness exists for costs network passes, and nothing else should show. Every figure is a ratio, or stands beside
what it compares with, from one run on one machine: seconds of another day tell nothing. A module here is a part of the
pipeline; its `figures` measure with the networks of a default run, which `whole` makes first, afresh, in a folder of its own.
"""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One line of the report. value: a text with its unit; target: what was asked for, '' for nothing; met: whether it is
    reached, None where nothing was asked for; limit: what limits it, or what it means."""

    part: str
    name: str
    value: str
    target: str = ""
    met: bool | None = None
    limit: str = ""


@contextlib.contextmanager
def quiet():
    """Hides the progress bars of what is measured."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
        yield


def cpuinfo():
    """What Linux says of the processor, '' on other systems."""
    path = Path("/proc/cpuinfo")
    return path.read_text() if path.exists() else ""
