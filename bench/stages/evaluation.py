"""The bound of every cell of the process that has one."""

import numpy as np
import pandas

from bench import bound, process
from bench.experiment.resolved import Experiment
from bench.runtime import files, paths
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
    setting, place = experiment.setting(name), paths.Setting(name)
    denoiser = load_denoiser(experiment, setting, place, setting.bound_variants)
    steps = read_trajectories(place, setting.bound_kinds())
    cells = [
        bound.Cell(kind, variant, K, tuple(steps_of(steps, setting, place, kind, variant, K)))
        for variant, kind, K in setting.bound_cells()
    ]
    bounds = bound.evaluate(
        denoiser,
        process.make(process.BOUND_PROCESS, denoiser.schedule),
        cells,
        setting.bound.images,
        (experiment.seed, name),
        setting.samples.batch,
    )
    unit = "nll_nats" if denoiser.data.levels is None else "nll_bpd"
    exact = denoiser.data.exact_nats(setting.bound.images)
    frames = []
    for row, cell in enumerate(cells):
        total, prior, data = bounds.total[row], bounds.prior[row], bounds.data[row]
        columns = {
            "trajectory": cell.trajectory,
            "variant": cell.variant,
            "K": cell.K,
            "image": np.arange(setting.bound.images),
            unit: total,
            "prior": prior.astype(np.float32),
            "steps": (total - prior - data).astype(np.float32),
            "data": data.astype(np.float32),
            **exact,
        }
        frames.append(pandas.DataFrame(columns))
    files.write_parquet(place.bound, pandas.concat(frames))
    files.write_parquet(place.terms, _means(bounds.terms, ["variant", "s", "t"]))
    calibration = _means(bounds.calibration, ["variant", "t"])
    calibration["in_total"] = list(bounds.in_total.values())
    files.write_parquet(place.calibration, calibration)


def _means(means, key):
    """A frame with a row for each mean over images."""
    rows = [(*of, *mean) for of, mean in means.items()]
    return pandas.DataFrame(rows, columns=[*key, "mean", "stderr"])
