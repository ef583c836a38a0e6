"""What several stages load: the mean model and the denoiser of a setting."""

from collections.abc import Sequence

from bench import covariance, heads
from bench.denoiser import Denoiser
from bench.experiment.resolved import Experiment, Setting
from bench.mean import storage
from bench.runtime import devices, files, paths
from bench.stages.inputs import load_data


def load_model(experiment: Experiment, setting: Setting, place: paths.Setting):
    """(mean model, data, schedule) of a setting."""
    data, schedule = load_data(experiment, setting, place), setting.schedule.make()
    device = devices.choose(experiment.device)
    return storage.load(place.mean, schedule, data, device), data, schedule


def load_denoiser(
    experiment: Experiment,
    setting: Setting,
    place: paths.Setting,
    variants: Sequence[str],
    precision: str = "fp32",
) -> Denoiser:
    """The setting's Denoiser, with the heads and the moments that some of `variants` read."""
    model, data, schedule = load_model(experiment, setting, place)
    moments = None
    if setting.needs_moments(variants):
        names = {moment for name in variants for moment in covariance.get(name).moments}
        moments = files.read_arrays(place.moments, sorted(names))
    trained = heads.load(place.heads, model, setting.heads_of(variants))
    return Denoiser(model, trained, moments, data, schedule, precision)
