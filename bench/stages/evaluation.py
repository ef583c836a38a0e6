"""The bound of every cell of the process that has one."""

import numpy as np
import pandas

from bench import bound, process
from bench.experiment.resolved import Experiment
from bench.runtime import files, paths
from bench.stages.inputs import check_images, one_at_a_time, place_of, read_trajectories, steps_of
from bench.stages.models import load_denoiser


@one_at_a_time(lambda experiment, name: place_of(experiment, name).bound)
def evaluate_bound(experiment: Experiment, name: str) -> None:
    """The bound of every cell and test image: results/<setting>/bound.parquet.

    Columns trajectory, variant, K, image and nll_bpd. Continuous data have nll_nats instead, and
    exact_nats, −log p(x) of the test image, if the law of the data is known. BenchError if the
    setting asks for more test images than there are.
    """
    setting, place = experiment.setting(name), paths.Setting(name)
    denoiser = load_denoiser(experiment, setting, place, setting.bound_variants)
    check_images(setting, name, denoiser.data)
    steps = read_trajectories(place, setting.bound_kinds())
    cells = [
        bound.Cell(kind, variant, K, tuple(steps_of(steps, setting, place, kind, variant, K)))
        for variant, kind, K in setting.bound_cells()
    ]
    values = bound.evaluate(
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
    for cell, value in zip(cells, values, strict=True):
        columns = {
            "trajectory": cell.trajectory,
            "variant": cell.variant,
            "K": cell.K,
            "image": np.arange(setting.bound.images),
            unit: value,
            **exact,
        }
        frames.append(pandas.DataFrame(columns))
    with files.writing(place.bound) as partial:
        pandas.concat(frames).to_parquet(partial, index=False)
