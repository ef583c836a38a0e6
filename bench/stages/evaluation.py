"""The bound of every cell of the processes that have one, and the variances behind it."""

import numpy as np
import pandas

from bench import bound, bound_2m, process, variances
from bench.experiment.resolved import Experiment
from bench.runtime import files
from bench.stages import parts, variant_versions
from bench.stages.inputs import load_data, one_at_a_time, read_trajectories, steps_of
from bench.stages.models import load_denoiser

PROCESS_OF = {"bound": process.BOUND_PROCESS, "bound_2m": process.SECOND_ORDER_BOUND}


def _output(stage):
    """What gives the path that a job of a stage writes."""

    def path_of(experiment, name, shard=None):
        place = experiment.place(name)
        return getattr(place, stage) if shard is None else place.shard(stage, shard)

    return path_of


@one_at_a_time(_output("bound"))
def evaluate_bound(experiment: Experiment, name: str, shard: int | None = None) -> None:
    """The bound of every cell and test image: results/<setting>/bound.parquet.

    Columns trajectory, variant, K, image and nll_bpd, and its parts `prior`, `steps` and `data`.
    Continuous data have nll_nats instead, and exact_nats, −log p(x) of the test image, if the law
    of the data is known. Beside it terms.parquet has the mean of every term s → t in the same unit,
    and calibration.parquet that of every variant and step.

    If the stage is cut into shards, one shard has the bounds of some images, and without `shard`
    what all of them wrote is put together. BenchError if there is no such shard, or one is missing,
    or if the setting asks for more test images than there are.
    """
    place = experiment.place(name)
    cells, data, found = _evaluate(experiment, name, "bound", shard)
    if shard is not None:
        return
    bounds = bound.combine(cells, data, [bound.Part.of(arrays) for arrays in found])
    frame = _of_images(cells, data, bounds.total)
    rest = bounds.total - bounds.prior - bounds.data
    for part, values in (("prior", bounds.prior), ("steps", rest), ("data", bounds.data)):
        frame[part] = values.ravel().astype(np.float32)
    for column, values in _exact(data, bounds.total).items():
        frame[column] = values
    files.write_parquet(place.bound, frame)
    files.write_parquet(place.terms, _means(bounds.terms, ["variant", "s", "t"]))
    calibration = _means(bounds.calibration, ["variant", "t"])
    calibration["in_total"] = list(bounds.in_total.values())
    files.write_parquet(place.calibration, calibration)


@one_at_a_time(_output("bound_2m"))
def evaluate_second_order_bound(
    experiment: Experiment, name: str, shard: int | None = None
) -> None:
    """The bound of the chain of second order: results/<setting>/bound_2m.parquet.

    Columns as of `evaluate_bound`, without the parts. shard: as there.
    """
    cells, data, found = _evaluate(experiment, name, "bound_2m", shard)
    if shard is not None:
        return
    totals = np.concatenate([arrays["totals"] for arrays in found], axis=1)
    frame = _of_images(cells, data, totals).assign(**_exact(data, totals))
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


def _evaluate(experiment, name, stage, shard):
    """(cells, data, [the arrays of each part of the images]) of a stage of `PROCESS_OF`.

    A shard writes the arrays of its part. Without `shard` those of several parts are read.
    """
    setting, place = experiment.selection(name), experiment.place(name)
    cells, all_parts = _cells(setting, place, PROCESS_OF[stage]), setting.parts(stage)
    if shard is None and len(all_parts) > 1:
        found = []
        for number, part in enumerate(all_parts):
            made_by = _digest(experiment, name, stage, cells, part)
            found.append(parts.read(place.shard(stage, number), made_by, getattr(place, stage)))
        return cells, load_data(experiment, setting, place), found
    part = all_parts[0] if shard is None else parts.find(all_parts, shard)
    # before the passes: what is read may be replaced meanwhile
    made_by = None if shard is None else _digest(experiment, name, stage, cells, part)
    denoiser = load_denoiser(experiment, setting, place, setting.variants(PROCESS_OF[stage]))
    forward, stream = process.make(PROCESS_OF[stage], denoiser.schedule), (experiment.seed, name)
    arguments = denoiser, forward, cells, part, stream, setting.samples.batch
    if stage == "bound":
        arrays = bound.evaluate_part(*arguments).arrays()
    else:
        arrays = {"totals": bound_2m.evaluate(*arguments)}
    if shard is not None:
        parts.write(place.shard(stage, shard), arrays, made_by)
    return cells, denoiser.data, [arrays]


def _cells(setting, place, process_name):
    """The cells of the bound of a process."""
    variants, cells = setting.variants(process_name), []
    steps = read_trajectories(place, setting.kinds("bound", process_name, variants))
    for variant, kind, K in setting.cells("bound", process_name):
        of_cell = steps_of(steps, setting, place, kind, variant, K)
        cells.append(bound.Cell(kind, variant, K, tuple(of_cell)))
    return cells


def _digest(experiment, name, stage, cells, part):
    """The digest of what the bounds of a part of the images follow from."""
    setting, place = experiment.selection(name), experiment.place(name)
    variants, inputs = setting.variants(PROCESS_OF[stage]), [place.data, place.mean]
    if setting.needs_moments(variants):
        inputs.append(place.moments)
    if setting.heads_of(variants):
        inputs.append(place.heads)
    of_cells = [(cell.trajectory, cell.variant, cell.steps) for cell in cells]
    versions = variant_versions(variants)
    return parts.digest(experiment, name, stage, part, inputs, cells=of_cells, versions=versions)


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
