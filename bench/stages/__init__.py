"""The stages: the functions that rules call, and the versions of the code behind them.

A version is an integer that goes up when a change of the code changes numbers. Snakemake compares
it: the stage runs again, and what follows from it. A changed comment costs nothing. Variants and
metrics have versions of their own (`Variant.version`, `Metric.version`), which cover their
formulas, losses and edge costs. A change of `bench/schedule.py`, `process.py`, `noise.py` or
`denoiser.py` counts for every stage whose numbers it changes.
"""

from collections.abc import Iterable

from bench import covariance
from bench.experiment.resolved import Setting
from bench.process import BOUND_PROCESS
from bench.scores import Metric
from bench.solver import SOLVER

# Of each command of `bench.cli.stages`, and what it covers:
VERSIONS = {
    "data": 1,  # bench/data/
    "mean": 1,  # bench/mean/, bench/training.py
    "extractor": 1,  # bench/scores/extractors/, bench/training.py
    "moments": 2,  # bench/moments.py
    "heads": 1,  # bench/heads.py, bench/training.py
    "trajectories": 2,  # bench/trajectory.py
    "bound": 2,  # bench/bound.py, bench/terms.py
    "bound_2m": 1,  # bench/bound_2m.py, bench/terms.py
    "variances": 1,  # bench/variances.py
    "samples": 2,  # bench/sampler.py
    "reference": 1,  # bench/scores/reference.py, bench/scores/fidelity.py
    "fidelity": 1,  # bench/scores/fidelity.py
    "cells": 2,  # bench/report/tables.py, bench/report/reproduction.py
    "tables": 6,  # bench/report/tables.py, bench/report/best.py, bench/report/pages.py
    "figures": 5,  # bench/report/figures/
    "study": 2,  # bench/report/studies.py, bench/report/figures/study.py
    "thresholds": 3,  # bench/thresholds.py, bench/papers/table7.py
    "theory": 3,  # bench/theory/, bench/mixture.py
}


def variant_versions(names: Iterable[str]) -> str:
    """`<variant> <version>` of variants, as in `versions_of`."""
    return ", ".join(f"{name} {covariance.get(name).version}" for name in names)


def metric_versions(metrics: Iterable[Metric]) -> str:
    """`<metric> <version>` of metrics, as in `versions_of`."""
    return ", ".join(f"{metric.name} {metric.version}" for metric in metrics)


def joint_versions(setting: Setting) -> str:
    """`<variant> <version>` of the variants whose heads are trained with the mean, as their losses
    are part of its training; empty if there are none.
    """
    train = setting.mean.train
    return variant_versions(train.heads if train else [])


def row_versions(setting: Setting, process: str, names: Iterable[str]) -> str:
    """`<row> <version>` of rows of a process."""
    return ", ".join(f"{name} {setting.row(process, name).version}" for name in names)


def versions_of(setting: Setting, process: str, name: str, trajectory: str, metric: Metric) -> str:
    """The versions of all that makes a number of cells.csv: `data 1, mean 1, …, npr 1, fid 1`.

    They are those of the stages that it goes through, of the row of the process that is called
    `name` and of the metric.
    """
    row = setting.row(process, name)
    stages = ["data", "mean"]
    learned = row.head is not None
    if row.moments or trajectory == "optimal" or (learned and setting.heads_need_moments):
        stages.append("moments")
    if learned:
        stages.append("heads")
    if process != SOLVER:
        stages.append("trajectories")
    if "bound" in metric.needs:
        stages.append("bound" if process == BOUND_PROCESS else "bound_2m")
    else:
        stages += ["samples", "extractor", "reference", "fidelity"]
    of_stages = [f"{stage} {VERSIONS[stage]}" for stage in stages]
    if joint_versions(setting):
        of_stages.insert(2, f"mean with {joint_versions(setting)}")
    of_row = row_versions(setting, process, [name])
    return ", ".join([*of_stages, of_row, metric_versions([metric])])
