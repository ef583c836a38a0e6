"""What several stages read: trajectories and samples of a setting; and their locks."""

import functools
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import numpy as np
import yaml
from pydantic import Field

from bench import trajectory
from bench.data import dataset
from bench.data.dataset import Data, Raw
from bench.experiment import sizes
from bench.experiment.resolved import Experiment, Setting
from bench.runtime import files, paths
from bench.runtime.errors import BenchError
from bench.runtime.fields import Count

IMAGES = "images"  # the key of a manifest that says which images it lists
Trajectories = dict[str, dict[Annotated[str, Field(pattern=r"^\d+$")], list[Count]]]


def one_at_a_time(output: Callable[..., Path]) -> Callable:
    """A decorator of a stage: a second process that makes the same output waits for the first.

    output: gives its path from the stage's arguments.
    """

    def decorate(stage: Callable) -> Callable:
        @functools.wraps(stage)
        def run(*arguments, **options):
            with files.alone(output(*arguments, **options)):
                return stage(*arguments, **options)

        return run

    return decorate


def place_of(experiment: Experiment, name: str) -> paths.Setting:
    """Where the files of a setting are. BenchError for an unknown one."""
    return experiment.place(name)


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


def check_data(experiment: Experiment, setting: Setting, name: str, data: Data | Raw) -> None:
    """BenchError unless the data suit the setting and its rows: `check_images`, and
    `sizes.check_shape`.
    """
    check_images(setting, name, data)
    sizes.check_shape(experiment, setting, data.train.shape[1:])


def load_data(experiment: Experiment, setting: Setting, place: paths.Setting) -> Data:
    """The prepared data of a setting. BenchError as of `check_data`.

    The setting may have changed since the data were read, so the first stage that trains checks
    this too.
    """
    data = dataset.load(place.data)
    check_data(experiment, setting, place.folder.name, data)
    return data


def check_made_with(experiment: Experiment, name: str, sections: Sequence[str]) -> None:
    """BenchError if no run has made the files of a setting with these sections of it.

    Snakemake makes files anew if the configuration changes. A person who calls a stage does not
    know. What runs were started with is in their config.yaml; where there is none, nothing is
    compared.
    """
    wanted = experiment.setting(name).model_dump(mode="json")
    own, others = paths.RESULTS / "config.yaml", paths.RESULTS.glob("*-tables/config.yaml")
    differing = {}
    for path in filter(Path.exists, [own, *sorted(others)]):
        with files.reading(path, files.remake(path)):
            run = yaml.safe_load(path.read_text())
        made = run.get("settings", {}).get(name)
        if made is None:
            continue
        differing[path] = [key for key in sections if made.get(key) != wanted[key]]
        if run.get("seed") != experiment.seed:
            differing[path].append("seed")
    if differing and all(differing.values()):
        path, keys = next(iter(differing.items()))
        raise BenchError(
            f"results/{name}: made with another {' and '.join(keys)} of the setting, as {path} "
            f"says; run the workflow again, or name that configuration: --config {path}"
        )


def read_trajectories(place: paths.Setting, kinds: Sequence[str]) -> dict:
    """{kind: {variant: {K: steps}}} as `trajectories` wrote them, K as a string."""
    return {kind: files.read_json(place.trajectories(kind), Trajectories) for kind in kinds}


def steps_of(
    saved: dict, setting: Setting, place: paths.Setting, kind: str, variant: str, K: int
) -> list[int]:
    """τ of a cell from what `read_trajectories` returned. BenchError unless it is a trajectory."""
    path, N = place.trajectories(kind), setting.schedule.N
    try:
        steps = saved[kind]["*" if kind in trajectory.FIXED else variant][str(K)]
    except KeyError as error:
        raise BenchError(
            f"{path}: holds no trajectory with K = {K}; {files.remake(path)}"
        ) from error
    if kind in trajectory.FIXED:
        expected = trajectory.fixed(kind, N, K)
        is_right = steps == expected
    else:
        expected = f"{K} ascending steps, the last of which is {N}"
        is_right = len(steps) == K and steps[-1] == N
        is_right &= all(s < t for s, t in pairwise([0, *steps]))
    if not is_right:
        raise BenchError(
            f"{path}: K = {K}: found the steps {str(steps)[:60]}, expected {str(expected)[:60]}; "
            f"{files.remake(path)}"
        )
    return steps


def read_images(
    path: Path, shape: tuple[int, ...], levels: int | None, remedy: str | None = None
) -> tuple[np.ndarray, str]:
    """(the samples of one shard, of a shape (n, channels, height, width); the digest of what made
    them).

    They are uint8 levels, or float64 values if `levels` is None. Raises BenchError, which ends in
    `remedy`, if the file is damaged or holds others, such as values that are not finite.
    """
    remedy = remedy or files.remake(path)
    arrays, kind = files.read_npz(path, remedy), np.uint8 if levels else np.float64
    images = arrays.get("images")
    if images is None or images.shape != shape or images.dtype != kind:
        found = "nothing" if images is None else f"{images.dtype} {images.shape}"
        raise BenchError(
            f"{path}: images: found {found}, expected {kind.__name__} {shape}; {remedy}"
        )
    if levels is None and not np.isfinite(images).all():
        raise BenchError(
            f"{path}: images: found NaN or infinity, expected finite numbers; {remedy}"
        )
    return images, str(arrays.get("digest"))


def which_images(first: int, last: int) -> str:
    """What a manifest says of the images that it lists, from the first to one before `last`."""
    return f"{first} to {last - 1}"


def read_samples(
    setting: Setting,
    place: paths.Setting,
    data: Data,
    process_name: str,
    variant: str,
    kind: str,
    K: int,
) -> np.ndarray:
    """All samples of a cell, (count, channels, height, width), shards in order.

    Raises BenchError for a shard that is not as `read_images` wants it, or not the one that the
    setting's manifest lists: cells are shared by all runs, so a run of another configuration may
    have drawn it again. A manifest of a run with another number of shards is refused, too.
    """
    needs, shards, parts = setting.row(process_name, variant).needs, [], setting.parts("samples")
    for shard, (first, last) in enumerate(parts):
        path = place.samples(process_name, needs, variant, kind, K, shard)
        manifest = place.manifest(process_name, needs, shard)
        listed, remedy = files.read_json(manifest, dict[str, str]), files.remake(manifest)
        found, expected = listed.get(IMAGES), which_images(first, last)
        if found != expected and (found or len(parts) > 1):  # once, one shard did not say which
            raise BenchError(
                f"{manifest}: found images {found}, expected {expected}, as the run has another "
                f"number of shards; {remedy}"
            )
        shape = (last - first, *data.shape)
        images, digest = read_images(path, shape, data.levels, remedy)
        if digest != listed.get(str(path)):
            raise BenchError(
                f"{path}: found samples of another configuration ({digest}), expected "
                f"{listed.get(str(path))} as in {manifest}; {remedy}"
            )
        shards.append(images)
    return np.concatenate(shards)
