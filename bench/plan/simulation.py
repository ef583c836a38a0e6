"""How long an experiment takes on a number of GPUs: its jobs, as the workflow starts them.

A *stage* is cut into jobs. A job starts when all jobs of the stages that its own reads are done. On
a free GPU the job of the greatest priority starts first; no GPU waits while a job could start (list
scheduling, Graham 1966). So

    max(critical path, work / GPUs) ≤ time ≤ critical path + work / GPUs

Jobs without a network take no GPU: they run beside the others. The training of the mean model and
that of the heads are one job each. The others have *units*, of which a job takes some:

    moments           groups of steps that share a pass
    bound, bound_2m   batches of images
    samples           batches of images, for each need of its rows (nothing, moments, heads)
    reference         chunks of CHUNK images
    fidelity          cells
"""

import heapq
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from itertools import count
from typing import Any

from bench.plan.passes import Row
from bench.process import BOUND_PROCESS, SECOND_ORDER_BOUND
from bench.shards import cut, steps_together
from bench.solver import SOLVER

CHUNK = 1024  # images of a unit of the reference
LEAST_SAVING = 0.1  # of the time: twice as many GPUs that save less do not pay
TABLES = 3  # jobs one after the other at the end: cells, figures, tables

# of workflows/rules/*.smk; the other stages have 0
PRIORITIES = {"mean": 10, "heads": 9, "moments": 8, "trajectories": 8}
PRIORITIES |= {"bound": 6, "bound_2m": 6, "extractor": 5, "reference": 5}
NEEDS = {"moments": 3, "heads": 2, "nothing": 1}  # of samples; those of the bound's process: + 1
WITHOUT_GPU = ("data", "extractor", "trajectories", "optimal", "tables")


@dataclass(frozen=True)
class Stage:
    """A stage: how many seconds each of its jobs takes, and which stages they read."""

    name: str
    seconds: tuple[float, ...]
    after: tuple[str, ...] = ()
    priority: int = 0
    on_gpu: bool = True


@dataclass(frozen=True)
class Schedule:
    """What a simulation found.

    seconds: from the first job's start to the last one's end; critical_path: seconds of the longest
    chain of jobs, which no number of GPUs shortens; work: seconds of all jobs on GPUs; jobs: of any
    kind.
    """

    gpus: int
    seconds: float
    critical_path: float
    work: float
    jobs: int

    @property
    def idle(self) -> float:
        """The share of the GPUs' time in which they have no job."""
        return 1 - self.work / (self.gpus * self.seconds)


def simulate(stages: Sequence[Stage], gpus: int) -> Schedule:
    """The schedule of stages, each with a job at least, on a number of GPUs.

    Of jobs of the same priority the one that became ready first starts first, then that of the
    stage that is listed first.
    """
    graph = TopologicalSorter({stage.name: stage.after for stage in stages})
    graph.prepare()
    by_name, left = {stage.name: stage for stage in stages}, {}
    listed = {name: place for place, name in enumerate(by_name)}
    ready, running = [], []  # heaps of (-priority, order, stage, seconds) and (end, order, stage)
    order, now, free = count(), 0.0, gpus
    while graph.is_active():
        for name in sorted(graph.get_ready(), key=listed.get):
            stage = by_name[name]
            left[name] = len(stage.seconds)
            for seconds in stage.seconds:
                if stage.on_gpu:
                    heapq.heappush(ready, (-stage.priority, next(order), name, seconds))
                else:
                    heapq.heappush(running, (now + seconds, next(order), name))
        while free and ready:
            *_, name, seconds = heapq.heappop(ready)
            heapq.heappush(running, (now + seconds, next(order), name))
            free -= 1
        now = running[0][0]
        while running and running[0][0] == now:  # all that end now, before the next one starts
            *_, name = heapq.heappop(running)
            free += by_name[name].on_gpu
            left[name] -= 1
            if not left[name]:
                graph.done(name)
    work = sum(sum(stage.seconds) for stage in stages if stage.on_gpu)
    jobs = sum(len(stage.seconds) for stage in stages)
    return Schedule(gpus, now, critical_path(stages), work, jobs)


def critical_path(stages: Sequence[Stage]) -> float:
    """Seconds of the longest chain of jobs, each of which reads what the one before it wrote."""
    by_name, end = {stage.name: stage for stage in stages}, {}
    for name in TopologicalSorter({stage.name: stage.after for stage in stages}).static_order():
        stage = by_name[name]
        end[name] = max((end[each] for each in stage.after), default=0) + max(stage.seconds)
    return max(end.values())


def enough(schedule_on: Callable[[int], Schedule]) -> int:
    """The least of 1, 2, 4, … GPUs of which twice as many save less than LEAST_SAVING of the time.

    schedule_on: the schedule on a number of GPUs. The search ends, as no time is below that of the
    critical path.
    """
    gpus, seconds = 1, schedule_on(1).seconds
    while True:
        twice = schedule_on(2 * gpus).seconds
        if twice > (1 - LEAST_SAVING) * seconds:
            return gpus
        gpus, seconds = 2 * gpus, twice


def stages_of(
    experiment: Any,
    dims: Mapping[str, int],
    rows: Iterable[Row],
    seconds_of: Callable[[Row], float],
    shards: int,
    start_up: float,
) -> list[Stage]:
    """The stages of an experiment, as the rules of the workflow would cut and connect them.

    Parameters
    ----------
    experiment
        A `bench.experiment.resolved.Experiment`.
    dims
        {setting: coordinates of an image}.
    rows
        Of `passes.rows`.
    seconds_of
        The seconds that a row takes inside networks.
    shards
        How many jobs a stage is cut into, at most; see `bench.shards`.
    start_up
        Seconds of a job before its first pass.
    """
    stages = []

    def add(setting, name, inside, reads, units=1, priority=0):
        rule = name.split()[0]
        parts = [last - first for first, last in cut(units, shards)]
        jobs = [start_up + inside * taken / units for taken in parts]
        after = [f"{setting} {stage}" for stage in reads]
        if rule == "mean" and experiment.mean_from(setting):
            after.append(f"{experiment.mean_from(setting)} mean")
        on_gpu = rule not in WITHOUT_GPU
        stages.append(Stage(f"{setting} {name}", tuple(jobs), tuple(after), priority, on_gpu))

    for row in rows:
        setting, inside = experiment.selection(row.setting), seconds_of(row)
        rule, _, process = row.stage.partition(" ")
        reads, units = _reads(setting, rule, process), _units(setting, row)
        if rule == "samples":
            for need, share in _shares(setting, process, dims[row.setting]).items():
                name, first = f"{row.stage} {need}", process == BOUND_PROCESS
                add(row.setting, name, inside * share, reads[need], units, NEEDS[need] + first)
        else:
            add(row.setting, row.stage, inside, reads, units, PRIORITIES.get(rule, 0))
        if rule == "trajectories" and "optimal" in setting.trajectories():
            add(row.setting, "optimal", 0, ["moments"], 1, PRIORITIES[rule])
    names = [stage.name for stage in stages]
    stages.append(Stage("tables", (TABLES * start_up,), tuple(names), on_gpu=False))
    return [
        replace(stage, after=tuple(name for name in stage.after if name in names))
        for stage in stages
    ]


def _shares(setting, process, dim):
    """{need: share of the network evaluations of a process that the rows of the need take}."""
    evaluations = {}
    for need, members in setting.variants_by_need(process).items():
        cells = [cell for cell in setting.cells("samples", process) if cell[0] in members]
        taken = [setting.network_evaluations(process, *cell, dim) for cell in cells]
        evaluations[need] = sum(taken)
    return {need: taken / sum(evaluations.values()) for need, taken in evaluations.items()}


def _units(setting, row):
    """How many jobs a stage can be cut into, at most."""
    rule, _, process = row.stage.partition(" ")
    if rule == "moments":
        of, batch = setting.moments, setting.samples.batch
        together = steps_together(of.draws, batch, of.relative_error)
        return math.ceil(setting.schedule.N / together)
    if rule in ("bound", "bound_2m"):
        return math.ceil(setting.bound.images / setting.samples.batch)
    if rule == "samples":
        return math.ceil(setting.samples.count / setting.samples.batch)
    if rule == "reference":
        return max(1, math.ceil(row.passes / CHUNK))
    if rule == "fidelity":
        return len(setting.cells("samples", process))
    return 1


def _reads(setting, rule, process):
    """Names of the stages of a setting that a stage reads; {need: names} for samples."""
    model = ["data", "mean"]

    def of_cells(stage, name, variants):
        """What the cells of a process read, as `cell_inputs` of the workflow."""
        kinds = setting.kinds(stage, name, variants) if stage else []
        names = {"optimal" if kind == "optimal" else "trajectories" for kind in kinds}
        variants = [] if name == SOLVER else variants
        estimates = ["moments"] * setting.needs_moments(variants)
        estimates += ["heads"] * bool(setting.heads_of(variants))
        return [*model, *sorted(names), *estimates]

    if rule == "samples":
        groups = setting.variants_by_need(process)
        return {need: of_cells("samples", process, rows) for need, rows in groups.items()}
    if rule == "fidelity":
        needs = [f"samples {process} {need}" for need in setting.variants_by_need(process)]
        return ["data", "extractor", "reference", *needs]
    of_bounds = {"bound": BOUND_PROCESS, "bound_2m": SECOND_ORDER_BOUND}
    if rule in of_bounds:
        return of_cells("bound", of_bounds[rule], setting.variants(of_bounds[rule]))
    others = {"mean": ["data"], "extractor": ["data"], "reference": ["data", "extractor"]}
    others |= {"moments": model, "heads": model + ["moments"] * setting.heads_need_moments}
    others["variances"] = of_cells(None, BOUND_PROCESS, setting.bound_variants)
    return others.get(rule, [])
