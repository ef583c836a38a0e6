"""The moments of the mean model, from which state-independent variances and optimal trajectories
follow.
"""

import torch

from bench import moments, second_moments
from bench.runtime import files, paths
from bench.stages.inputs import one_at_a_time, place_of
from bench.stages.models import load_model


@one_at_a_time(lambda experiment, name: place_of(experiment, name).moments)
def estimate_moments(experiment, name):
    """Moments of the mean model at every step: results/<setting>/moments/."""
    setting, place = experiment.setting(name), paths.Setting(name)
    model, data, schedule = load_model(experiment, setting, place)
    by_coordinate = setting.moments_by_coordinate()
    structures = [name for name in by_coordinate if second_moments.is_one(name)]
    with torch.inference_mode():
        result = moments.estimate(
            model,
            data,
            schedule,
            setting.moments.draws,
            (experiment.seed, name),
            setting.samples.batch,
            setting.moments.relative_error,
            [name for name in by_coordinate if name not in structures],
            structures,
        )
    files.write_arrays(place.moments, result)
