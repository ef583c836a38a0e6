"""Runs every measurement and writes results/benchmark.md and results/benchmark.json."""

import contextlib
import dataclasses
import os
import platform
import sys

import torch
from tabulate import tabulate

from bench.benchmark import estimates, grid, levers, sampled, trained, trajectories, whole
from bench.experiment import loading
from bench.plan import speed
from bench.runtime import files, paths

FOLDER = paths.RESULTS / ".benchmark"  # of the default run that is measured
COLUMNS = ("part", "figure", "measured", "target", "met", "what limits it")
OF_JOBS = ("job", "threads", "wall s", "start-up s", "in networks s", "else s", "peak MB")
TEXT = """\
# Benchmark

Made by `make benchmark` on {machine}; load before it {load:.1f}.

{figures}

Jobs of the default run that pass a network, in the order that they began in:

{jobs}
"""


def benchmark() -> None:
    """Measures, in about twice the time of the default run, and writes the report."""
    load, folder = os.getloadavg()[0], FOLDER.resolve()
    _say("the default run, from nothing")
    wall, stolen = whole.run(folder)
    with contextlib.chdir(folder):
        experiment, jobs = loading.load(paths.Tables().config), whole.read_jobs()
        name = next(iter(experiment.settings))
        torch.set_num_threads(1)  # as the jobs that are compared with
        parts = {
            "the bound, cell by cell and in memory": lambda: grid.figures(experiment, name, jobs),
            "moments with the stopping rule": lambda: estimates.figures(experiment, name, jobs),
            "heads": lambda: trained.figures(experiment, name),
            "samples and scores": lambda: sampled.figures(experiment, name, jobs),
            "optimal trajectories": trajectories.figures,
            "levers": lambda: levers.figures(experiment, name),
        }
        figures = whole.figures(wall, stolen, jobs)
        for title, measure in parts.items():
            _say(title)
            figures += measure()
    _write(figures, jobs, load)
    print(paths.BENCHMARK.with_suffix(".md"))


def _write(figures, jobs, load):
    """Writes the report, as text and as data."""
    processor = torch.cuda.get_device_name() if torch.cuda.is_available() else speed.processor()
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    machine = f"{processor}, {os.cpu_count()} cores, {versions}"
    met = {True: "yes", False: "no", None: ""}
    rows = [
        [figure.part, figure.name, figure.value, figure.target, met[figure.met], figure.limit]
        for figure in figures
    ]
    tables = {"figures": _table(rows, COLUMNS), "jobs": _table(whole.table(jobs), OF_JOBS)}
    text = TEXT.format(machine=machine, load=load, **tables)
    files.write_text(paths.BENCHMARK.with_suffix(".md"), text)
    data = [dataclasses.asdict(figure) for figure in figures]
    about = {"machine": machine, "load": load, "jobs": jobs, "figures": data}
    files.write_json(paths.BENCHMARK, about)


def _say(what):
    print(f"benchmark: {what}", file=sys.stderr, flush=True)


def _table(rows, columns):
    return tabulate(rows, columns, tablefmt="github", disable_numparse=True)
