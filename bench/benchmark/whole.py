"""The default experiment from nothing: its wall time beside the time inside its networks.

Jobs run side by side, a core each, so times are counted in core-seconds: a job's time by its
threads, the run's by the machine's cores. The overhead is what a job spends outside its networks,
and the time in which a core has no job.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
from pydantic import ConfigDict
from typing_extensions import TypedDict

from bench.benchmark import Figure, total
from bench.runtime import files
from bench.runtime.errors import BenchError

ROOT = Path(__file__).parents[2]
TARGET = "results/table1.csv"


def run(folder: Path) -> tuple[float, float]:
    """Runs the default experiment in `folder`, which is emptied first.

    Returns its wall time, and the core-seconds that other machines of the same host took from this
    one meanwhile (steal, 0 if the system does not count it). BenchError if the run fails.
    """
    files.remove(folder)
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(folder), "--cores", "all", TARGET]
    environment = dict(os.environ)
    environment.pop("MLFLOW_TRACKING_URI", None)  # it logs to a store of its own in the folder
    begun, before = time.perf_counter(), _stolen()
    with open(folder / "run.log", "w") as log:
        finished = subprocess.run(
            command, stdout=log, stderr=subprocess.STDOUT, env=environment, check=False
        )
    if finished.returncode:
        raise BenchError(f"{folder / 'run.log'}: the default run failed; expected {TARGET}")
    return time.perf_counter() - begun, _stolen() - before


def _stolen():
    return getattr(psutil.cpu_times(), "steal", 0.0)


class Job(TypedDict):
    """What is read of a job's account, which `bench.runtime.stopwatch` writes."""

    __pydantic_config__ = ConfigDict(extra="allow")

    stage: str
    setting: str
    threads: int | None
    began: float
    seconds: float
    start_up: float
    network: float
    images: int


def read_jobs() -> list[dict]:
    """What every job with a network wrote of itself (see `bench.runtime.stopwatch`), by start."""
    accounts = [files.read_json(path, Job) for path in Path("results/.jobs").rglob("*.json")]
    return sorted(accounts, key=lambda job: job["began"])


def figures(wall: float, stolen: float, jobs: list[dict]) -> list[Figure]:
    """The figures of a run. wall, stolen: see `run`; jobs: see `read_jobs`."""
    cores = os.cpu_count()
    inside, taken, started = (
        sum(job[key] * job["threads"] for job in jobs) for key in ("network", "seconds", "start_up")
    )
    ratio, outside = wall * cores / inside, taken - inside
    slowest = max(job["start_up"] for job in jobs)
    steal = stolen / (wall * cores)
    shares = (
        f"of {wall * cores:.0f} core-s: {inside:.0f} networks, {started:.0f} start-up of the jobs "
        f"with networks, {outside - started:.0f} else in them, {wall * cores - taken:.0f} other "
        "jobs, and cores without a job"
    )
    return [
        Figure(
            "whole",
            "wall time of the default run",
            f"{wall:.0f} s",
            "≤ 360 s",
            wall <= 360,
            f"{cores} cores, {steal:.0%} of whose time other machines of the same host took",
        ),
        Figure(
            "whole",
            "core-seconds of the run over those inside networks",
            f"{ratio:.2f}",
            "≤ 1.3",
            ratio <= 1.3,
            shares,
        ),
        Figure(
            "whole",
            "wall time over seconds inside networks",
            f"{wall / total(jobs, 'network'):.2f}",
            limit="as jobs run side by side it may fall below 1",
        ),
        Figure(
            "whole",
            "overhead of a job with a network",
            f"{outside / len(jobs):.1f} core-s, {outside:.0f} in all",
            limit="all but its time inside the network",
        ),
        Figure(
            "whole",
            "start-up of a job with a network",
            f"{started / len(jobs):.1f} s, at most {slowest:.1f} s",
            "< 6 s",
            slowest < 6,
            f"{len(jobs)} jobs, two at once; trainings import MLflow, too",
        ),
    ]


def table(jobs: list[dict]) -> list[list]:
    """Rows (job, threads, wall, start-up, inside networks, rest, peak memory) of the jobs."""
    rows = []
    for job in jobs:
        keys = [key for key in ("stage", "process", "needs", "shard") if key in job]
        rest = job["seconds"] - job["start_up"] - job["network"]
        times = [job["seconds"], job["start_up"], job["network"], rest]
        rows.append(
            [
                " ".join(str(job[key]) for key in keys),
                job["threads"],
                *(f"{seconds:.1f}" for seconds in times),
                f"{job['peak_mb']:.0f}",
            ]
        )
    return rows
