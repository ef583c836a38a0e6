"""What several stages read: the mean model, the denoiser, trajectories and samples of a setting."""

import numpy as np

from bench import covariance, heads
from bench.data import dataset
from bench.denoiser import Denoiser
from bench.mean import storage
from bench.moments import QUANTITIES
from bench.runtime import devices, files
from bench.runtime.errors import BenchError


def load_model(experiment, setting, place):
    """(mean model, data, schedule) of a setting."""

    data, schedule = dataset.load(place.data), setting.schedule.make()
    return (
        storage.load(place.mean, schedule, data, devices.choose(experiment.device)),
        data,
        schedule,
    )


def load_denoiser(experiment, setting, place, variants, precision="fp32"):
    """The setting's Denoiser, with the heads and the moments that some of `variants` need."""

    model, data, schedule = load_model(experiment, setting, place)
    moments = None
    if setting.needs_moments(variants):
        moments = files.read_arrays(place.moments, QUANTITIES)
    trained = heads.load(place.heads, model, setting.heads_of(variants))
    return Denoiser(model, trained, moments, data, schedule, precision)


def check_images(setting, name, data):
    if (setting.clip_levels is None) != (data.levels is None):
        raise BenchError(
            f"settings.{name}.clip_levels: expected "
            + (
                "none, as continuous data have no grey levels"
                if data.levels is None
                else "y of ddpm and ddim, as the data have grey levels"
            )
        )
    if setting.bound.images > len(data.test):
        raise BenchError(
            f"bound.images: expected at most the {len(data.test)} test images of {name}, "
            f"found {setting.bound.images}"
        )


def read_trajectories(place, kinds):
    """{kind: {variant: {K: steps}}} as `trajectories` wrote them, K as a string."""
    return {kind: files.read_json(place.trajectories(kind)) for kind in kinds}


def steps_of(saved, kind, variant, K):
    """τ of a cell from what `read_trajectories` returned."""
    try:
        of_kind = saved[kind]
        return of_kind[variant if kind == "optimal" else "*"][str(K)]
    except KeyError as error:
        raise BenchError(
            f"trajectories/{kind}.json: holds no trajectory with K = {K}; make it again with: "
            "snakemake --cores all --forcerun trajectories"
        ) from error


def read_samples(setting, place, process_name, variant, kind, K):
    """All samples of a cell, uint8 levels (count, channels, height, width), shards in order."""
    needs = covariance.get(variant).needs
    shards = [
        files.read_npz(place.samples(process_name, needs, variant, kind, K, shard))["images"]
        for shard in range(setting.samples.shards)
    ]
    return np.concatenate(shards)
