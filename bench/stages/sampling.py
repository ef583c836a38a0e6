"""Samples of every cell. They are drawn again only if something that determines them changed."""

import contextlib
import sys

import numpy as np
from tqdm import tqdm

from bench import covariance, process, sampler
from bench.experiment.resolved import Experiment
from bench.runtime import digests, files, paths
from bench.runtime.errors import BenchError, unknown
from bench.stages import VERSIONS
from bench.stages.inputs import read_images, read_trajectories, steps_of
from bench.stages.models import load_denoiser


def draw_samples(
    experiment: Experiment, name: str, process_name: str, shard: int = 0, needs: str | None = None
) -> None:
    """One shard of the cells of a process: results/<setting>/samples/…

    Parameters
    ----------
    experiment, name, process_name
        The experiment, the name of a setting, and that of a process.
    shard
        0 ≤ shard < samples.shards.
    needs
        One of `covariance.NEEDS`: draw only the samples of the variants that need this.

    Raises
    ------
    BenchError
        If there is no such shard, no variant with this need, or if samples are not finite.
    """
    setting, place = experiment.setting(name), paths.Setting(name)
    groups, images = setting.variants_by_need(process_name), _shard_range(setting, shard)
    if needs not in (None, *groups):
        raise unknown("--needs", needs, groups)
    for need in [needs] if needs else groups:
        with files.alone(place.manifest(process_name, need, shard)):
            _sample(experiment, name, process_name, need, groups[need], shard, images)


def _sample(experiment, name, process_name, needs, variants, shard, images):
    """One shard of every cell of some variants of a process, and the manifest that lists them.

    images: (first, one past the last) of the shard. A cell's file carries a digest of everything
    that determines it. A whole file with the right digest is kept. So a new variant or K costs its
    own samples only, and an interrupted job continues with the next cell.
    """
    setting, place = experiment.setting(name), paths.Setting(name)
    first, last = images
    denoiser = load_denoiser(experiment, setting, place, variants, setting.samples.precision)
    forward = process.make(process_name, denoiser.schedule, setting.processes.eta(process_name))
    common = {
        "seed": experiment.seed,
        "setting": name,
        "process": process_name,
        "eta": forward.eta,
        "first": first,
        "last": last,
        "batch": setting.samples.batch,
        "precision": setting.samples.precision,
        "schedule": setting.schedule.model_dump(),
    }
    cells = _cells_to_sample(setting, place, process_name, variants, common)
    written = {cell: place.samples(process_name, needs, *cell, shard) for cell in cells}
    missing, passes = [], 0
    shape, levels = (last - first, *denoiser.data.shape), denoiser.data.levels
    for cell, (steps, digest) in cells.items():
        if not _holds(written[cell], digest, shape, levels):
            missing.append(cell)
            passes += (last - first) * len(steps)
    if not missing:
        print(f"samples {name} {process_name} {needs}: all {len(cells)} cells are there already")
    with tqdm(
        total=passes,
        desc=f"samples {name} {process_name} {needs}",
        unit="pass",
        mininterval=1.0,
        disable=not missing,
    ) as bar:
        for cell in missing:
            steps, digest = cells[cell]
            clip_levels = setting.clip(process_name, cell[0])
            with _naming(name, process_name, cell):
                images = sampler.sample(
                    denoiser,
                    forward,
                    cell[0],
                    steps,
                    first,
                    last - first,
                    clip_levels,
                    (experiment.seed, name),
                    setting.samples.batch,
                    bar.update,
                )
            files.write_npz(written[cell], images=images, digest=np.array(digest))
    manifest = {str(written[cell]): digest for cell, (_, digest) in cells.items()}
    files.write_json(place.manifest(process_name, needs, shard), manifest)


@contextlib.contextmanager
def _naming(name, process_name, cell):
    """Names the cell in the error of samples that are not finite."""
    variant, kind, K = cell
    try:
        yield
    except sampler.NotFinite as error:
        raise BenchError(
            f"samples of {name}, {process_name}, {variant}, {kind}, K = {K}: {error}; look "
            f"for the cause with: bench check variant {covariance.reference(variant)}"
        ) from error


def _cells_to_sample(setting, place, process_name, variants, common):
    """{(variant, trajectory, K): (steps, digest)}.

    The digest is that of all that determines the cell's images.
    """
    saved = read_trajectories(place, setting.kinds("samples", process_name, variants))
    common = {
        **common,
        "stage": VERSIONS["samples"],
        "data": digests.digest_of(place.data),
        "mean": digests.digest_of(place.mean),
    }
    cells = {}
    for variant in variants:
        made_by = {
            **common,
            "variant": variant,
            "version": covariance.get(variant).version,
            "clip_255ths": setting.clip(process_name, variant),
        }
        for name in covariance.get(variant).moments:  # no others: they change none of its images
            made_by[name] = digests.digest_of(place.moments / f"{name}.npy")
        if setting.heads_of([variant]):  # its own, as another head changes none of its images
            made_by["head"] = digests.digest_of(place.heads / f"{variant}.safetensors")
        for kind, K in setting.grid("samples", process_name, variant):
            steps = steps_of(saved, setting, place, kind, variant, K)
            cells[variant, kind, K] = steps, digests.digest({**made_by, "steps": steps})
    return cells


def _holds(path, digest, shape, levels):
    """Whether a file has the images that the digest is of. A damaged one is named on stderr."""
    if not path.exists():
        return False
    try:
        read_images(path, shape, levels)
        return str(files.read_npz(path).get("digest")) == digest
    except BenchError as error:
        print(f"{str(error).partition(';')[0]}; drawn again", file=sys.stderr)
        return False


def _shard_range(setting, shard):
    """(first, one past the last) image of a shard."""
    if not 0 <= shard < setting.samples.shards:
        raise BenchError(
            f"--shard: expected 0 ≤ shard < samples.shards = {setting.samples.shards}, "
            f"found {shard}"
        )
    return setting.samples.range(shard)
