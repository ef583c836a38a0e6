"""The default experiment from nothing: its wall time beside the time inside its networks, and where the rest goes.

Jobs run side by side, a core each, so times are counted in core-seconds: a job's time by its threads, the run's by the
machine's cores. What a job is not inside its networks, and what no job is, is the overhead.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

from bench.benchmark import Figure
from bench.runtime import files
from bench.runtime.errors import BenchError

ROOT = Path(__file__).parents[2]
TARGET = "results/table1.csv"


def run(folder):
    """Runs the default experiment in `folder`, which is emptied first; returns its wall time in seconds, and the core-seconds
    that other machines of the same host took from this one meanwhile (steal, where the system counts it)."""
    files.remove(folder)
    folder.mkdir(parents=True)
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(ROOT / "Snakefile"),
        "--directory",
        str(folder),
        "--cores",
        "all",
        TARGET,
    ]
    store = {
        name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"
    }  # its own, in the folder
    begun, before = time.perf_counter(), _stolen()
    with open(folder / "run.log", "w") as log:
        code = subprocess.run(
            command, stdout=log, stderr=subprocess.STDOUT, env=store, check=False
        ).returncode
    if code:
        raise BenchError(f"{folder / 'run.log'}: the default run failed; expected {TARGET}")
    return time.perf_counter() - begun, _stolen() - before


def _stolen():
    return getattr(psutil.cpu_times(), "steal", 0.0)


def jobs():
    """What every job with a network wrote of itself (see `bench.runtime.stopwatch`), in the order that they began in."""
    found = [json.loads(path.read_text()) for path in Path("results/.jobs").rglob("*.json")]
    return sorted(found, key=lambda job: job["began"])


def figures(wall, stolen, found):
    """wall, stolen: see `run`; found: `jobs` of it."""
    cores = os.cpu_count()
    inside, taken, started = (
        sum(job[key] * job["threads"] for job in found)
        for key in ("network", "seconds", "start_up")
    )
    ratio = wall * cores / inside
    slowest, outside = max(job["start_up"] for job in found), taken - inside
    return [
        Figure(
            "whole",
            "wall time of the default run",
            f"{wall:.0f} s",
            "≤ 360 s",
            wall <= 360,
            f"{cores} cores, {stolen / (wall * cores):.0%} of whose time other machines of the same host took",
        ),
        Figure(
            "whole",
            "core-seconds of the run over those inside networks",
            f"{ratio:.2f}",
            "≤ 1.3",
            ratio <= 1.3,
            f"of {wall * cores:.0f} core-s: {inside:.0f} networks, {started:.0f} start-up of the jobs with networks, "
            f"{outside - started:.0f} else in them, {wall * cores - taken:.0f} other jobs, and cores without a job",
        ),
        Figure(
            "whole",
            "wall time over seconds inside networks",
            f"{wall / sum(job['network'] for job in found):.2f}",
            limit="as jobs run side by side it may fall below 1",
        ),
        Figure(
            "whole",
            "overhead of a job with a network",
            f"{outside / len(found):.1f} core-s, {outside:.0f} in all",
            limit=f"all but its time inside the network; {started:.0f} of it before the first pass",
        ),
        Figure(
            "whole",
            "start-up of a job with a network",
            f"{started / len(found):.1f} s, at most {slowest:.1f} s",
            "< 4 s",
            slowest < 4,
            f"{len(found)} jobs, {started:.0f} s in all, two jobs at once; trainings import MLflow, too",
        ),
    ]


def table(found):
    """Rows (job, threads, wall, start-up, inside networks, rest, peak memory) of the jobs."""
    return [
        [
            " ".join(str(job[key]) for key in ("stage", "process", "needs", "shard") if key in job),
            job["threads"],
            *(
                f"{value:.1f}"
                for value in (
                    job["seconds"],
                    job["start_up"],
                    job["network"],
                    job["seconds"] - job["start_up"] - job["network"],
                )
            ),
            f"{job['peak_mb']:.0f}",
        ]
        for job in found
    ]
