"""Numbers of a setting that are too large for its data set or for this machine's memory."""

import math

from bench import covariance, second_moments
from bench.data import dataset
from bench.experiment.resolved import Experiment, Setting
from bench.process import BOUND_PROCESSES
from bench.runtime import memory
from bench.runtime.errors import BenchError

SCHEDULE = 8 * 8  # bytes of a step: β and what follows from it (`bench.schedule.Schedule`)
BATCH = 3 * 8  # bytes of a coordinate: x_0, ε and x_t, or x_t, ε̂ and x̂_0


def check(experiment: Experiment, setting: Setting) -> None:
    """BenchError for the first number that cannot fit, for more test images than there are, and for
    what `check_shape` refuses.

    A data set whose size is not known before it is read is left to its job. Only arrays that are
    certain to be made are counted, without what networks need.
    """
    N, samples, size = setting.schedule.N, setting.samples, _size(setting)
    if size:
        check_shape(experiment, setting, size.shape)
        _check_ranges(setting, size.levels)
    dim = math.prod(size.shape) if size else 1
    by_coordinate = setting.moments_by_coordinate()
    numbers = second_moments.numbers(by_coordinate, size.shape) if size else 0
    at_a_step = SCHEDULE + 4 * numbers
    memory.check("schedule.N", N, N * at_a_step, "the schedule and the moments")
    if "optimal" in setting.trajectories():
        memory.check("schedule.N", N, 8 * N**2, "the costs of the optimal trajectory")
    draws = setting.moments.draws
    memory.check("moments.draws", draws, 8 * draws, "the choice of images of one step")
    batches = {"samples.batch": samples.batch}
    for key in ("mean", "heads", "extractor"):
        section = getattr(setting, key)
        if section and section.train:
            batches[f"{key}.train.batch"] = section.train.batch
    for key, batch in batches.items():
        memory.check(key, batch, BATCH * dim * batch, "a batch")
    memory.check("samples.count", samples.count, dim * samples.count, "the images of a cell")
    images, cells = setting.bound.images, len(setting.bound_cells())
    memory.check("bound.images", images, 8 * images * cells, "the bounds of all cells")
    resamples = setting.fidelity.resamples
    memory.check("fidelity.resamples", resamples, 8 * resamples, "the scores of the resamples")
    if size and images > size.test:
        raise BenchError(
            f"bound.images: expected at most the {size.test} test images of the data set "
            f"{setting.data.name}, found {images}"
        )


def check_shape(experiment: Experiment, setting: Setting, shape: tuple[int, ...]) -> None:
    """BenchError for the first row and the first head that are not for images of `shape`."""
    for process, section in setting.processes.with_variants():
        has_bound = process in BOUND_PROCESSES and bool(experiment.bound_metrics)
        for name in section.variants:
            in_bound = has_bound and bool(setting.grid("bound", process, name))
            try:
                covariance.get(name).check_shape(shape, in_bound)
            except BenchError as error:
                raise BenchError(f"processes.{process}.variants: {name}: {error}") from error
    for name, mode in setting.heads.targets.items() if setting.heads else ():
        if mode == "mlp" and shape[1:] != (1, 1):
            raise BenchError(
                f"heads.targets.{name}: mode mlp is for vectors; expected simple or complex for "
                f"images of shape {shape}"
            )
        try:
            covariance.numbers_of(name, shape)
        except BenchError as error:
            raise BenchError(f"heads.targets.{name}: {error}") from error


def _check_ranges(setting, levels):
    """BenchError for a solver that clips data without a range."""
    solvers = setting.processes.solver
    for name in solvers.solvers if solvers else ():
        try:
            solvers.make(name).check_range(levels)
        except BenchError as error:
            raise BenchError(f"processes.solver.solvers.{name}: {error}") from error


def _size(setting):
    """The size of the data set; None if the reader does not know it beforehand."""
    module = dataset.reader(setting.data.name)
    return module.size(**setting.data.options) if hasattr(module, "size") else None
