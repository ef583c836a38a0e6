"""The moments of the mean model, from which state-independent variances and optimal trajectories
follow.
"""

from pathlib import Path

import numpy as np
import torch

from bench import moments, second_moments
from bench.experiment.resolved import Experiment
from bench.runtime import files, paths
from bench.stages import parts
from bench.stages.inputs import one_at_a_time, place_of
from bench.stages.models import load_model


def _output(experiment, name, shard=None):
    """What a job writes."""
    place = place_of(experiment, name)
    return place.moments if shard is None else place.shard("moments", shard)


@one_at_a_time(_output)
def estimate_moments(experiment: Experiment, name: str, shard: int | None = None) -> None:
    """Moments of the mean model at every step: results/<setting>/moments/.

    If the stage is cut into shards, one shard has those of some steps, and without `shard` what all
    of them wrote is put together. BenchError if there is no such shard, or one is missing.
    """
    all_parts = experiment.setting(name).parts("moments")
    if shard is not None:
        part = parts.find(all_parts, shard)
        made_by = _digest(experiment, name, part)
        parts.write(_output(experiment, name, shard), _estimate(experiment, name, part), made_by)
    elif len(all_parts) == 1:
        whole = _estimate(experiment, name, all_parts[0])
        files.write_arrays(paths.Setting(name).moments, whole)
    else:
        _put_together(experiment, name, all_parts)


def _digest(experiment, name, part):
    """The digest of what the moments of a part of the steps follow from."""
    setting, place = experiment.setting(name), paths.Setting(name)
    return parts.digest(
        experiment,
        name,
        "moments",
        part,
        [place.data, place.mean],
        moments=setting.moments.model_dump(),
        coordinates=setting.moments_by_coordinate(),
    )


def _estimate(experiment, name, part):
    """{name: array} with a row for each step of a part, and before the first one for t = 0."""
    setting, place = experiment.setting(name), paths.Setting(name)
    model, data, schedule = load_model(experiment, setting, place)
    by_coordinate = setting.moments_by_coordinate()
    structures = [name for name in by_coordinate if second_moments.is_one(name)]
    before, last = part  # counted from 0, and so t of the step before the first
    with torch.inference_mode():
        return moments.estimate(
            model,
            data,
            schedule,
            setting.moments.draws,
            (experiment.seed, name),
            setting.samples.batch,
            setting.moments.relative_error,
            [name for name in by_coordinate if name not in structures],
            structures,
            range(before + 1 if before else 0, last + 1),
        )


def _put_together(experiment, name, all_parts):
    """Writes the moments of all steps from those of the shards, an array at a time."""
    place, found = paths.Setting(name), []
    for shard, part in enumerate(all_parts):
        made_by = _digest(experiment, name, part)
        found.append(parts.read(place.shard("moments", shard), made_by, place.moments))
    with files.writing(place.moments) as partial:
        partial.mkdir()
        for array in found[0]:
            _write_rows(partial / f"{array}.npy", [of_shard[array] for of_shard in found])


def _write_rows(path: Path, pieces: list[np.ndarray]) -> None:
    """Writes arrays below one another, of which no more than one piece is in memory."""
    shape = (sum(map(len, pieces)), *pieces[0].shape[1:])
    files.write_npy(path, shape, pieces[0].dtype, map(np.ascontiguousarray, pieces))
