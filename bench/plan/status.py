"""Where a run stands, read from its files alone: outputs, logs and accounts of jobs.

No process is asked, so it works from another node of a cluster, while a run goes on, after it was
killed, and where none ever ran. What a file can say:

* An output has its name only when it is whole. The last line of a log is `bench STAGE: wrote …`
  if its job ended well, and an error if it failed.
* A job that is killed leaves a log without such a line, and so does a job at work. The job at work
  holds the lock of its output. If no lock is seen, which some network file systems do not show, it
  counts as running until its log is silent for `PATIENCE` seconds, and as stopped after that. So
  does a job that was killed just now.
* The age of a log is by the clock of the file system: that of a file which is made in results/ and
  is gone at once. On a mount that can only be read it is by the clock of this machine.
* Time left is what the progress bar in a log says, less the silence since. Of other jobs it is
  passes by the speed of finished jobs of the same network.

Logs are read from their ends only, and outputs not at all: an output of another configuration
counts as done (`snakemake --dry-run` says what would run again).
"""

import fcntl
import json
import os
import re
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from bench.experiment import loading
from bench.experiment.resolved import Experiment
from bench.plan.needs import needs
from bench.plan.units import duration
from bench.runtime import paths
from bench.runtime.errors import reason
from bench.solver import SOLVER

PATIENCE = 120.0  # seconds: a mount may show the time of a file a minute late
TAIL = 8192  # bytes of a log that are read
LOGS = paths.RESULTS / ".logs"
OF_TABLES = "all"  # in the place of a setting's name
STATES = ("done", "running", "stopped", "failed", "waiting")
COLUMNS = ("setting", "stage", *STATES, "left")
BAR = re.compile(r"\d+%\|.*\[[^<\]]+<([\d:]+),")  # of tqdm; the group is the time left
ENDED_WELL = re.compile(r"bench \w+: wrote ")
FAILED = re.compile(r"bench \w+: (unexpected )?error: |[\w.]*(Error|Exception)\b")
INTERRUPTED = re.compile(r"bench \w+: interrupted")
REMARK = """\
done: of how many jobs. left: the time left, of one job after the other; "?" if
no finished job shows the speed (bench plan measures it before a run).
"""
ABOUT_STOPPED = """\
stopped: killed, or at work where its lock is not seen from here: the log has no
last line that says how it ended, and was silent for {patience:g} s or more.
"""
ABOUT_RUN = """\
The last run had another configuration, and so may have other jobs. To see them:
bench status --config {path}
"""
ABOUT_CLOCK = """\
results/ cannot be written to: how long logs are silent is by the clock of this
machine, taken to be that of the machines that write them.
"""


@dataclass(frozen=True)
class Job:
    """A job of the workflow.

    target: what it makes, whose lock it holds; log: its log; others: what else it makes; weight:
    its share of the passes of its stage, relative to the other jobs; of samples, its steps; whole:
    of a shard, the output of the stage, with which what the shard made is deleted.
    """

    target: Path
    log: Path
    others: tuple[Path, ...] = ()
    weight: float = 1.0
    whole: Path | None = None


@dataclass(frozen=True)
class Seen:
    """A job as its files show it.

    state: one of `STATES`; silent: seconds since its log was written, None if it has none; left:
    seconds that its progress bar gives it, None without one; said: the last line of its log.
    """

    job: Job
    state: str
    silent: float | None = None
    left: float | None = None
    said: str = ""


def jobs_of(experiment: Experiment, name: str) -> dict[str, list[Job]]:
    """{stage: its jobs} of a setting, as the workflow's rules name their outputs and logs.

    The stages have the names and the order of `bench.plan.passes`.
    """
    chosen, place = experiment.selection(name), experiment.place(name)
    need = needs(experiment, chosen)

    def job(target, log, *others, weight=1.0, whole=None):
        return Job(target, LOGS / name / f"{log}.log", others, weight, whole)

    def cut(stage, target, *others, process=None):
        """The jobs of a stage with shards: those of the shards, and the one that has the rest."""
        log = f"{stage}-{process}" if process else stage
        parts = chosen.shards if stage == "reference" else len(chosen.parts(stage, process))
        jobs = [
            job(place.shard(stage, shard, process), f"{log}-{shard}", whole=target)
            for shard in range(parts if parts > 1 else 0)
        ]
        return [*jobs, job(target, log, *others, weight=0.0 if jobs else 1.0)]

    stages = {"data": [job(place.data, "data")], "mean": [job(place.mean, "mean")]}
    if need.samples:
        stages["extractor"] = [job(place.extractor, "extractor")]
    if need.moments:
        stages["moments"] = cut("moments", place.moments)
    if need.heads:
        stages["heads"] = [job(place.heads, "heads")]
    sampled = [cells for process, cells in need.samples.items() if process != SOLVER]
    kinds = dict.fromkeys(
        kind for cells in (need.bound, need.bound_2m, *sampled) for _, kind, _ in cells
    )
    if kinds:
        stages["trajectories"] = [
            job(place.trajectories(kind), f"trajectories-{kind}") for kind in kinds
        ]
    if need.bound:
        stages["bound"] = cut("bound", place.bound, place.terms, place.calibration)
    if need.bound_2m:
        stages["bound_2m"] = cut("bound_2m", place.bound_2m)
    if need.bound:
        stages["variances"] = [job(place.variances, "variances", place.variance_maps)]
    for process, cells in need.samples.items():
        stages[f"samples {process}"] = [
            job(
                place.manifest(process, group, shard),
                f"samples-{process}-{group}-{shard}",
                weight=sum(K for variant, _, K in cells if variant in rows),
            )
            for group, rows in chosen.variants_by_need(process).items()
            for shard in range(len(chosen.parts("samples")))
        ]
    if need.samples:
        stages["reference"] = cut("reference", place.reference)
    for process in need.samples:
        stages[f"fidelity {process}"] = cut("fidelity", place.fidelity(process), process=process)
    return stages


def jobs_of_tables(experiment: Experiment) -> dict[str, list[Job]]:
    """{stage: its jobs} of the tables of an experiment."""
    tables, logs = paths.Tables(experiment.name), LOGS / f"{experiment.name}-tables"
    figures = []
    for name in experiment.selected:
        drawn = [tables.figure(name, figure) for figure in experiment.figures]
        figures.append(Job(drawn[0].parent, logs / f"figures-{name}.log", tuple(drawn)))
    return {
        "thresholds": [Job(paths.THRESHOLDS, LOGS / "thresholds.log")],
        "cells": [Job(tables.cells, logs / "cells.log", (tables.paired, tables.calibration))],
        "figures": figures,
        "tables": [Job(tables.table1, logs / "tables.log")],
    }


def look(job: Job, now: float) -> Seen:
    """The state of a job. now: the time of the file system, see `clock`."""
    written = _time_of(job.log)
    made = _made(job, written)
    if written is None:
        return Seen(job, "waiting" if made is None else "done")
    tail, silent = _tail(job.log), max(0.0, now - written)
    lines = [piece.strip() for piece in re.split(r"[\r\n]+", tail) if piece.strip()]
    said = lines[-1] if lines else ""
    ended_well = any(map(ENDED_WELL.match, lines))
    if FAILED.match(said) and (made is None or made <= written):
        state = "failed"
    elif made is not None and (ended_well or made > written):
        state = "done"  # newer than its log: it was made by hand, and that has no log
    elif ended_well:
        state = "waiting"  # what it made is gone again
    elif INTERRUPTED.match(said):
        state = "stopped"
    elif silent < PATIENCE or _locked(job.target):
        state = "running"
    else:
        state = "stopped" if made is None else "done"
    left = _left_in_bar(said, silent) if state == "running" else None
    return Seen(job, state, silent, left, said)


def _made(job, written):
    """When a job's outputs were made; None if one is missing. written: when its log was.

    What a shard made is gone once the stage has put all of them together, after the shard's end.
    """
    times = [_time_of(path) for path in (job.target, *job.others)]
    if None not in times:
        return max(times)
    together = _time_of(job.whole) if job.whole else None
    return together if together and together >= (written or 0) else None


def _time_of(path):
    """When a file was last written, by the clock of its file system; None if there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _tail(log):
    """The end of a log as text."""
    with open(log, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL))
        return file.read().decode("utf-8", errors="replace")


def _locked(target):
    """Whether a process holds the lock of an output, see `bench.runtime.files.alone`.

    False also where that cannot be seen. Asking takes a shared lock for a moment, which needs no
    right to write; a stage that wants its lock in this moment tries again.
    """
    try:
        with open(target.with_name(f".{target.name.lstrip('.')}.lock"), "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no lock file yet, or a file system without locks
        return False
    return False


def _left_in_bar(said, silent):
    """Seconds that a progress bar of tqdm gives, None if the line is none."""
    shown = BAR.search(said)
    if shown is None:
        return None
    seconds = 0
    for part in shown.group(1).split(":"):
        seconds = 60 * seconds + int(part)
    return max(0.0, seconds - silent)


def clock() -> tuple[float, bool]:
    """(the time now, whether it is that of the file system of results/).

    On a mount that can only be read it is this machine's time.
    """
    try:
        with tempfile.TemporaryFile(dir=paths.RESULTS) as file:
            file.write(b"now")
            file.flush()
            return os.fstat(file.fileno()).st_mtime, True
    except OSError:
        return time.time(), False


def estimates(experiment: Experiment, seen: dict) -> dict[Path, float]:
    """{log: seconds} that jobs take, by the speed of finished jobs of the same network.

    seen: {(setting, stage): its jobs}. A job of unknown size or speed is not there. The speed is
    that outside of start-up: it includes the arithmetic between passes.
    """
    accounts = _accounts(experiment.selected)
    if not accounts:
        return {}
    from bench.plan import passes  # loads torch, which takes seconds

    rows = {(row.setting, row.stage): row for row in passes.rows(experiment, _sizes(experiment))}
    cost, seconds = {}, {}
    for account in accounts:
        stage = " ".join(filter(None, (account["stage"], account.get("process"))))
        row = rows.get((account["setting"], stage))
        if row is None or not row.passes:
            continue
        passed = account["images"] * row.cost / row.passes
        cost[row.network] = cost.get(row.network, 0) + passed
        taken = account["seconds"] - account["start_up"]
        seconds[row.network] = seconds.get(row.network, 0) + taken
    start_up = statistics.median(account["start_up"] for account in accounts)
    result = {}
    for key, jobs in seen.items():
        row, weights = rows.get(key), sum(one.job.weight for one in jobs)
        if row is None or (row.cost and not cost.get(row.network)):
            continue
        of_stage = row.cost * seconds[row.network] / cost[row.network] if row.cost else 0
        for one in jobs:
            result[one.job.log] = start_up + of_stage * one.job.weight / weights
    return result


def _accounts(names):
    """The accounts of finished jobs of settings, see `bench.runtime.stopwatch`."""
    found = []
    for name in names:
        for path in sorted((paths.JOBS / name).glob("*.json")):
            try:
                found.append(json.loads(path.read_text(encoding="utf-8")))
            except (OSError, ValueError):  # written anew at this moment, or half copied
                continue
    return found


def _sizes(experiment):
    """{setting: (size, None, features)} as `passes.rows` takes them, without the mean model, of
    settings whose data are known.
    """
    from bench.data import dataset
    from bench.plan import speed

    sizes = {}
    for name, setting in experiment.selected.items():
        size = dataset.size(setting.data.name, setting.data.options, paths.Setting(name).data)
        if size is not None:
            sizes[name] = size, None, speed.feature_network(name, setting, size.shape)
    return sizes


def report(experiment: Experiment) -> str:
    """Where a run of the experiment stands: a row for each stage of each setting, the total, and a
    line for each job that failed, was stopped, or is silent.
    """
    now, of_files = clock()
    stages = {
        (name, stage): jobs
        for name in experiment.selected
        for stage, jobs in jobs_of(experiment, name).items()
    }
    stages |= {(OF_TABLES, stage): jobs for stage, jobs in jobs_of_tables(experiment).items()}
    seen = {key: [look(job, now) for job in jobs] for key, jobs in stages.items()}
    every = [one for jobs in seen.values() for one in jobs]
    unknown = [one for one in every if one.state != "done" and one.left is None]
    by_speed = estimates(experiment, seen) if unknown else {}
    left = {
        one.job.log: by_speed.get(one.job.log) if one.left is None else one.left
        for one in every
        if one.state != "done"
    }
    lines = [[*key, *_cells(jobs, left)] for key, jobs in seen.items()]
    lines.append(["total", "", *_cells(every, left)])
    remarks = [REMARK]
    last_run = paths.Tables(experiment.name).config
    if last_run.exists() and loading.load(last_run).settings != experiment.settings:
        remarks.append(ABOUT_RUN.format(path=last_run))
    if any(one.state == "stopped" for one in every):
        remarks.append(ABOUT_STOPPED.format(patience=PATIENCE))
    if not of_files and any(one.state in ("running", "stopped") for one in every):
        remarks.append(ABOUT_CLOCK)
    notes = [*_side_by_side(every, left), *_notes(every)]
    parts = [_table(lines), "\n".join(notes), "".join(remarks)]
    return "\n\n".join(filter(None, parts)).rstrip()


def _table(lines):
    """A table that fits 80 letters. The heading is a row of it: as headers, tabulate widens it."""
    widths = [max(map(len, column)) for column in zip(COLUMNS, *lines, strict=True)]
    align = ("left", "left", *["right"] * (len(COLUMNS) - 2))
    lines = [COLUMNS, ["-" * width for width in widths], *lines]
    return tabulate(lines, tablefmt="plain", disable_numparse=True, colalign=align)


def _cells(jobs, left):
    """The columns from `jobs` on, of some jobs."""
    counts = [sum(one.state == state for one in jobs) for state in STATES]
    open_jobs = [one for one in jobs if one.state != "done"]
    known = [left[one.job.log] for one in open_jobs if left[one.job.log] is not None]
    if not open_jobs:
        shown = ""
    elif not known:
        shown = "?"
    else:
        shown = duration(sum(known), sign="≥ " * (len(known) < len(open_jobs)))
    done, *others = counts
    return [f"{done}/{len(jobs)}", *(str(count or "") for count in others), shown]


def _side_by_side(every, left):
    """A line with the time left if as many jobs run side by side as now; [] if fewer than two."""
    running = sum(one.state == "running" for one in every)
    known = [seconds for seconds in left.values() if seconds is not None]
    if running < 2 or not known:
        return []
    sign = "≥ " * (len(known) < len(left))
    time_left = duration(max(sum(known) / running, max(known)), sign=sign)
    return [f"With {running} jobs side by side, as now: {time_left} left."]


def _notes(every):
    """A line for each job that failed, was stopped, or is silent while it runs."""
    lines = []
    for one in every:
        if one.state == "failed":
            lines.append(f"failed: {one.job.log}: {one.said}")
        elif one.state == "stopped" or (one.state == "running" and one.silent >= PATIENCE):
            about = f", last: {reason(one.said)}" if one.said and "%|" not in one.said else ""
            lines.append(f"{one.state}: {one.job.log}: silent for {duration(one.silent)}{about}")
    return lines
