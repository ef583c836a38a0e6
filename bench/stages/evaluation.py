"""The bound of every cell of the DDPM process."""

import numpy as np
import pandas

from bench import bound, process
from bench.runtime import files, paths
from bench.stages.inputs import check_images, load_denoiser, read_trajectories, steps_of


def evaluate_bound(experiment, name):
    """The bound of every DDPM cell and test image, in rows: results/<setting>/bound.parquet.

    Columns trajectory, variant, K, image, and nll_bpd, or for continuous data nll_nats and, where the law is known,
    exact_nats, the −log p(x) of the very point.
    """
    setting, place = experiment.setting(name), paths.Setting(name)
    variants = setting.variants("ddpm")
    denoiser = load_denoiser(experiment, setting, place, variants)
    check_images(setting, name, denoiser.data)
    steps = read_trajectories(place, setting.kinds("bound", "ddpm", variants))
    cells = [
        bound.Cell(kind, variant, K, tuple(steps_of(steps, kind, variant, K)))
        for variant, kind, K in setting.cells("bound", "ddpm")
    ]
    values = bound.evaluate(
        denoiser,
        process.make("ddpm", denoiser.schedule),
        cells,
        setting.bound.images,
        (experiment.seed, name),
        setting.samples.batch,
    )
    unit = "nll_nats" if denoiser.data.levels is None else "nll_bpd"
    exact = denoiser.data.exact_nats(setting.bound.images)
    frame = pandas.concat(
        [
            pandas.DataFrame(
                {
                    "trajectory": cell.trajectory,
                    "variant": cell.variant,
                    "K": cell.K,
                    "image": np.arange(setting.bound.images),
                    unit: row,
                    **exact,
                }
            )
            for cell, row in zip(cells, values, strict=True)
        ]
    )
    with files.writing(place.bound) as partial:
        frame.to_parquet(partial, index=False)
