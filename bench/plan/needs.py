"""Which stages and cells the tables need of a setting. Loads no network library."""

from typing import Any, NamedTuple

from bench.process import SECOND_ORDER_BOUND
from bench.solver import SOLVER


class Needs(NamedTuple):
    """What the tables need of a setting. bound, bound_2m: cells; samples: {process: cells}."""

    bound: list
    bound_2m: list
    samples: dict
    moments: bool
    heads: bool


def needs(experiment: Any, setting: Any) -> Needs:
    """The cells of a setting and the stages behind them, as in the workflow's rules.

    experiment, setting: see `bench.experiment.resolved`.
    """
    bound, second_order = [], []
    if experiment.bound_metrics:
        bound = setting.bound_cells()
        second_order = setting.cells("bound", SECOND_ORDER_BOUND)
    processes = [name for name, _ in setting.processes.items()]
    sampled = processes if experiment.sample_metrics else []
    samples = {process: setting.cells("samples", process) for process in sampled}
    of_variants = [cells for process, cells in samples.items() if process != SOLVER]
    variants = {variant for cells in (bound, second_order, *of_variants) for variant, *_ in cells}
    heads = bool(setting.heads_of(variants))
    moments = setting.needs_moments(variants) or "optimal" in setting.trajectories()
    moments = moments or (heads and setting.heads_need_moments)
    return Needs(bound, second_order, samples, moments, heads)
