"""The bound of every cell of the processes that have one, and the variances behind it."""

import numpy as np
import pandas

from bench import bound, bound_2m, process, variances
from bench.experiment.resolved import Experiment
from bench.runtime import files
from bench.stages.inputs import one_at_a_time, place_of, read_trajectories, steps_of
from bench.stages.models import load_denoiser


@one_at_a_time(lambda experiment, name: place_of(experiment, name).bound)
def evaluate_bound(experiment: Experiment, name: str) -> None:
    """The bound of every cell and test image: results/<setting>/bound.parquet.

    Columns trajectory, variant, K, image and nll_bpd, and its parts `prior`, `steps` and `data`.
    Continuous data have nll_nats instead, and exact_nats, −log p(x) of the test image, if the law
    of the data is known. Beside it terms.parquet has the mean of every term s → t in the same unit,
    and calibration.parquet that of every variant and step. BenchError if the setting asks for more
    test images than there are.
    """
    place = experiment.place(name)
    cells, denoiser, arguments = _prepared(experiment, name, process.BOUND_PROCESS)
    bounds = bound.evaluate(*arguments)
    frame = _of_images(cells, denoiser.data, bounds.total)
    rest = bounds.total - bounds.prior - bounds.data
    for part, values in (("prior", bounds.prior), ("steps", rest), ("data", bounds.data)):
        frame[part] = values.ravel().astype(np.float32)
    for column, values in _exact(denoiser.data, bounds.total).items():
        frame[column] = values
    files.write_parquet(place.bound, frame)
    files.write_parquet(place.terms, _means(bounds.terms, ["variant", "s", "t"]))
    calibration = _means(bounds.calibration, ["variant", "t"])
    calibration["in_total"] = list(bounds.in_total.values())
    files.write_parquet(place.calibration, calibration)


@one_at_a_time(lambda experiment, name: place_of(experiment, name).bound_2m)
def evaluate_second_order_bound(experiment: Experiment, name: str) -> None:
    """The bound of the chain of second order: results/<setting>/bound_2m.parquet.

    Columns as of `evaluate_bound`, without the parts.
    """
    cells, denoiser, arguments = _prepared(experiment, name, process.SECOND_ORDER_BOUND)
    totals = bound_2m.evaluate(*arguments)
    frame = _of_images(cells, denoiser.data, totals).assign(**_exact(denoiser.data, totals))
    files.write_parquet(experiment.place(name).bound_2m, frame)


@one_at_a_time(lambda experiment, name: experiment.place(name).variances)
def measure_variances(experiment: Experiment, name: str) -> None:
    """The variances themselves, for figures: results/<setting>/variances.parquet, a row for each
    variant and jump, and variance_maps.npz. See `bench.variances`.
    """
    setting, place = experiment.selection(name), experiment.place(name)
    variants = setting.bound_variants
    denoiser = load_denoiser(experiment, setting, place, variants)
    forward = process.make(process.BOUND_PROCESS, denoiser.schedule)
    rows, arrays = variances.measure(
        denoiser, forward, variants, setting.shown_bounds(), (experiment.seed, name)
    )
    files.write_parquet(place.variances, pandas.DataFrame(rows, columns=variances.ROW))
    files.write_npz(place.variance_maps, **arrays)


def _prepared(experiment, name, process_name):
    """(cells, denoiser, the arguments that evaluate them) of the bound of a process."""
    setting, place = experiment.selection(name), experiment.place(name)
    variants = setting.variants(process_name)
    denoiser = load_denoiser(experiment, setting, place, variants)
    steps, cells = read_trajectories(place, setting.kinds("bound", process_name, variants)), []
    for variant, kind, K in setting.cells("bound", process_name):
        of_cell = steps_of(steps, setting, place, kind, variant, K)
        cells.append(bound.Cell(kind, variant, K, tuple(of_cell)))
    forward, stream = process.make(process_name, denoiser.schedule), (experiment.seed, name)
    images, batch = setting.bound.images, setting.samples.batch
    return cells, denoiser, (denoiser, forward, cells, images, stream, batch)


def _of_images(cells, data, totals):
    """A frame with a row for each cell and image. totals: (cells, images)."""
    unit, frames = "nll_nats" if data.levels is None else "nll_bpd", []
    for cell, total in zip(cells, totals, strict=True):
        columns = {
            "trajectory": cell.trajectory,
            "variant": cell.variant,
            "K": cell.K,
            "image": np.arange(len(total)),
            unit: total,
        }
        frames.append(pandas.DataFrame(columns))
    return pandas.concat(frames)


def _exact(data, totals):
    """{column: −log p(x) of the image of each row}, if the law of the data is known."""
    count, images = totals.shape
    return {column: np.tile(nats, count) for column, nats in data.exact_nats(images).items()}


def _means(means, key):
    """A frame with a row for each mean over images."""
    rows = [(*of, *mean) for of, mean in means.items()]
    return pandas.DataFrame(rows, columns=[*key, "mean", "stderr"])
