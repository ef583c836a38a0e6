"""What several stages read: trajectories and samples of a setting."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from bench import covariance
from bench.data.dataset import Data, Raw
from bench.experiment.resolved import Setting
from bench.runtime import files, paths
from bench.runtime.errors import BenchError
from bench.runtime.fields import Count

Trajectories = dict[str, dict[Annotated[str, Field(pattern=r"^\d+$")], list[Count]]]


def check_images(setting: Setting, name: str, data: Data | Raw) -> None:
    """BenchError unless a setting has y for data with grey levels only, and no more images than
    there are.
    """
    if (setting.clip_levels is None) != (data.levels is None):
        expected = "y of ddpm and ddim, as the data have grey levels"
        if data.levels is None:
            expected = "none, as continuous data have no grey levels"
        raise BenchError(f"settings.{name}.clip_levels: expected {expected}")
    if setting.bound.images > len(data.test):
        raise BenchError(
            f"bound.images: expected at most the {len(data.test)} test images of {name}, "
            f"found {setting.bound.images}"
        )


def read_trajectories(place: paths.Setting, kinds: Sequence[str]) -> dict:
    """{kind: {variant: {K: steps}}} as `trajectories` wrote them, K as a string."""
    return {kind: files.read_json(place.trajectories(kind), Trajectories) for kind in kinds}


def steps_of(saved: dict, kind: str, variant: str, K: int) -> list[int]:
    """τ of a cell from what `read_trajectories` returned."""
    try:
        of_kind = saved[kind]
        return of_kind[variant if kind == "optimal" else "*"][str(K)]
    except KeyError as error:
        raise BenchError(
            f"trajectories/{kind}.json: holds no trajectory with K = {K}; make it again with: "
            "snakemake --cores all --forcerun trajectories"
        ) from error


def read_samples(
    setting: Setting, place: paths.Setting, process_name: str, variant: str, kind: str, K: int
) -> np.ndarray:
    """All samples of a cell, uint8 levels (count, channels, height, width), shards in order."""
    needs = covariance.get(variant).needs
    shards = [
        files.read_npz(place.samples(process_name, needs, variant, kind, K, shard))["images"]
        for shard in range(setting.samples.shards)
    ]
    return np.concatenate(shards)
