"""How near the harness comes to the networks' own time: `make benchmark`, results/benchmark.md.

A figure is a ratio, or stands beside what it compares with, from one run on one machine: seconds
of another day tell nothing. `whole` makes a default run in a folder of its own; the other modules
measure a part of the pipeline each, with the networks of that run.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One line of the report.

    value: a text with its unit; target: the value to reach, '' if there is none; met: whether it
    is reached, None if there is no target; limit: what limits the value, or what it means.
    """

    part: str
    name: str
    value: str
    target: str = ""
    met: bool | None = None
    limit: str = ""


def passes_made(part: str, made: int, needed: int, limit: str, title: str = "") -> Figure:
    """Images that went through a network, as a multiple of those that had to."""
    name = f"{title}passes made / needed"
    return Figure(part, name, f"{made / needed:.2f}", "1.00", made == needed, limit)


def network_share(
    part: str, jobs: list[dict], rest: str, title: str = "", least: float | None = None
) -> Figure:
    """The `Figure` of the time of jobs inside networks, as a share of all their time, ≥ `least`.

    jobs: see `whole.read_jobs`; rest: what the other time is spent on.
    """
    inside, taken = total(jobs, "network"), total(jobs, "seconds")
    share, running = inside / taken, taken - total(jobs, "start_up")
    name = f"{title}time inside the network / wall time"
    target, met = ("", None) if least is None else (f"≥ {least:.2f}", share >= least)
    limit = f"without the start-up {inside / running:.2f}; {rest}"
    return Figure(part, name, f"{share:.2f}", target, met, limit)


def total(jobs: Iterable[dict], key: str) -> float:
    """The sum of an entry of jobs."""
    return sum(job[key] for job in jobs)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hides the progress bars of what is measured."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
        yield
