"""The plan of an experiment as text: what `passes` counts, and time by the speed of networks."""

import datetime
import math
import os
import re
from collections.abc import Sequence
from typing import Any

import torch
import yaml
from tabulate import tabulate

from bench.data import dataset
from bench.plan import passes, simulation, speed
from bench.plan.units import duration, short
from bench.runtime import devices, files, paths
from bench.runtime.errors import BenchError
from bench.scores import extractors

START_UP = 4.0  # seconds of a job before its first pass: Python, torch, diffusers, reading
COLUMNS = ("setting", "stage", "passes", "samples", "disk", "time")
REMARKS = """\
passes: images through a network; ≤ where fewer may do. disk: of results/, without heads.
time: of one job after the other, with {start_up:g} s of start-up each and without the arithmetic
between passes. Divide it by the number of jobs that run side by side, one for each core or GPU.
"""
GPUS = """
The schedule on several GPUs, each of this speed. Each stage is cut into as many jobs as there are
GPUs, or fewer, whatever the key `shards` says: docs/scale.md. critical path: the longest chain of
jobs that wait for one another. idle: the share of the GPUs' time without a job.

{table}

From {enough} on, twice as many GPUs save less than {saving:.0%} of the time.
"""
MEASURED = """
Speeds were measured here. For --device my-machine, add these lines to bench/plan/devices.yaml:

"""


def report(
    experiment: Any,
    images_per_second: Sequence[str] = (),
    device: str | None = None,
    gpus: str | None = None,
) -> str:
    """The plan: a row for each stage of each setting, and the speed of each network.

    experiment: a `bench.experiment.resolved.Experiment`; images_per_second: texts `N` (all mean
    networks) or `NAME=N` (one network); device: a name in devices.yaml. If both are absent, the
    networks are measured here, and the last lines are an entry for devices.yaml; gpus: numbers of
    GPUs, as 1,8,64, for each of which a line tells the schedule. BenchError for an unknown name,
    and for gpus if not all speeds and sizes are known.
    """
    counts = _counts(gpus) if gpus is not None else []
    sizes, notes = known_sizes(experiment)
    rows = passes.rows(experiment, sizes)
    used = {row.network for row in rows if row.passes}
    networks = [network for _, *pair in sizes.values() for network in pair if network]
    networks = {network.name: network for network in networks if network.name in used}
    remarks = REMARKS.format(start_up=START_UP)
    if images_per_second or device:
        rates = speed.of_device(device, networks) if device else {}
        rates |= speed.given(images_per_second, used & set(sizes), used)
    else:
        rates, measured = _measured(experiment, networks)
        remarks += measured
    for name in sorted(used - set(rates)):
        remedy = "" if name in networks else f", or {files.remake(paths.Setting(name).mean)}"
        notes.append(f"{name}: its speed is not known: --images-per-second {name}=N{remedy}")
    if counts:
        if used - set(rates) or len(sizes) < len(experiment.selected):
            raise BenchError(f"--gpus: expected the size and speed of everything; {notes[-1]}")
        remarks += _schedules(experiment, sizes, rows, rates, counts)
    return "\n".join([_table(rows, rates), "", *notes, remarks])


def _table(rows, rates):
    """A line for each row, and the total."""
    lines = [[row.setting, row.stage, *_cells([row], rates)] for row in rows]
    lines.append(["total", "", *_cells(rows, rates)])
    align = ("left", "left", "right", "right", "right", "right")
    return tabulate(lines, COLUMNS, disable_numparse=True, colalign=align)


def _measured(experiment, networks):
    """(the speeds of networks here, the lines that say so)."""
    chosen = devices.choose(experiment.device)
    about = _machine(chosen)  # before the load of the measurement
    rates = speed.measure(networks.values(), chosen)
    entry = yaml.safe_dump(
        {"my-machine": {**about, "networks": rates}}, sort_keys=False, default_flow_style=None
    )
    return rates, MEASURED + entry if rates else ""


def _counts(text):
    """The numbers of a text such as 1,8,64. BenchError for another text."""
    words = text.split(",")
    if not all(re.fullmatch(r" *[1-9][0-9]* *", word) for word in words):
        found = text or "nothing"
        raise BenchError(f"--gpus: expected numbers from 1 such as 1,8,64, found {found}")
    return list(map(int, words))


def _schedules(experiment, sizes, rows, rates, counts):
    """What GPUS says of each number of GPUs."""
    dims = {name: math.prod(size.shape) for name, (size, *_) in sizes.items()}

    def schedule_on(number):
        inside = lambda row: _inside(row, rates)
        stages = simulation.stages_of(experiment, dims, rows, inside, number, START_UP)
        return simulation.simulate(stages, number)

    lines = []
    for found in map(schedule_on, counts):
        times = duration(found.seconds), duration(found.critical_path)
        lines.append([found.gpus, found.jobs, *times, f"{found.idle:.0%}"])
    columns = ("GPUs", "jobs", "time", "critical path", "idle")
    table = tabulate(lines, columns, disable_numparse=True, colalign=("right",) * 5)
    enough = simulation.enough(schedule_on)
    return GPUS.format(table=table, enough=enough, saving=simulation.LEAST_SAVING)


def _inside(row, rates):
    """Seconds of a row inside networks, None if its speed is not known."""
    if not row.cost:
        return 0.0
    return row.cost / rates[row.network]["images_per_second"] if row.network in rates else None


def known_sizes(experiment: Any) -> tuple[dict, list[str]]:
    """{setting: (size, mean, features)} as `passes.rows` takes it, and a line for what is unknown.

    experiment: a `bench.experiment.resolved.Experiment`.
    """
    sizes, notes = {}, []
    for name, setting in experiment.selected.items():
        size = dataset.size(setting.data.name, setting.data.options, paths.Setting(name).data)
        if size is None:
            remedy = files.remake(paths.Setting(name).data)
            notes.append(f"{name}: the size of its data is not known; {remedy}")
            continue
        mean = speed.mean_network(name, setting, size.shape)
        sizes[name] = size, mean, speed.feature_network(name, setting, size.shape)
        extractor = setting.extractor and setting.extractor.name
        if extractor and extractor not in extractors.EXTRACTORS:
            notes.append(f"{name}: not counted: the features of extractor {extractor!r}")
    return sizes, notes


def _machine(device):
    """What an entry of devices.yaml says beside the speeds."""
    gpu = device.type == "cuda"
    return {
        "hardware": torch.cuda.get_device_name(device) if gpu else f"{speed.processor()}, 1 thread",
        "software": f"torch {torch.__version__}",
        "by": "your name",
        "date": str(datetime.date.today()),
        "load": round(os.getloadavg()[0], 1),
        "precision": "fp32",
    }


def _cells(rows, rates):
    """The columns passes, samples, disk and time of the sum of `rows`."""
    seconds = []
    for row in rows:
        inside = _inside(row, rates)
        if inside is not None:
            seconds.append(row.jobs * START_UP + inside)
    disk = [row.disk for row in rows if row.disk is not None]
    at_most = "≤ " if any(row.at_most for row in rows) else ""
    return [
        short(sum(row.passes for row in rows), sign=at_most),
        short(sum(row.samples for row in rows)),
        short(sum(disk), "B", sign="≥ " * (len(disk) < len(rows))) if disk else "?",
        duration(sum(seconds), sign="≥ " * (len(seconds) < len(rows))) if seconds else "?",
    ]
