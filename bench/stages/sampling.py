"""Samples of every cell. They are drawn again only if something that determines them changed."""

import contextlib
import functools
import itertools
import sys

import numpy as np
from tqdm import tqdm

from bench import covariance, process, sampler, solver
from bench.experiment.resolved import Experiment
from bench.runtime import digests, files
from bench.runtime.errors import BenchError, unknown
from bench.solver import SOLVER
from bench.stages import VERSIONS, parts
from bench.stages.inputs import IMAGES, read_images, read_trajectories, steps_of, which_images
from bench.stages.models import load_denoiser


def draw_samples(
    experiment: Experiment,
    name: str,
    process_name: str,
    shard: int | None = None,
    needs: str | None = None,
) -> None:
    """The cells of a process: results/<setting>/samples/…

    Parameters
    ----------
    experiment, name, process_name
        The experiment, the name of a setting, and that of a process.
    shard
        Draw only the images of this shard, see `Setting.parts`.
    needs
        One of `covariance.NEEDS`: draw only the samples of the variants that need this.

    Raises
    ------
    BenchError
        If there is no such shard, no variant with this need, or if samples are not finite.
    """
    setting, place = experiment.selection(name), experiment.place(name)
    groups, all_parts = setting.variants_by_need(process_name), setting.parts("samples")
    chosen = dict(enumerate(all_parts))
    if shard is not None:
        chosen = {shard: parts.find(all_parts, shard)}
    if needs not in (None, *groups):
        raise unknown("--needs", needs, groups)
    if not groups:
        print(f"samples {name} {process_name}: the process has no rows, nothing is drawn")
    for need, (number, images) in itertools.product([needs] if needs else groups, chosen.items()):
        with files.alone(place.manifest(process_name, need, number)):
            _sample(experiment, name, process_name, need, groups[need], number, images)


def _sample(experiment, name, process_name, needs, rows, shard, images):
    """One shard of every cell of some rows of a process, and the manifest that lists them.

    images: (first, one past the last) of the shard. A cell's file carries a digest of everything
    that determines it. A whole file with the right digest is kept. So a new row or K costs its
    own samples only, and an interrupted job continues with the next cell.
    """
    setting, place = experiment.selection(name), experiment.place(name)
    first, last = images
    variants = [] if process_name == SOLVER else rows
    denoiser = load_denoiser(experiment, setting, place, variants, setting.samples.precision)
    common = {
        "seed": experiment.seed,
        "setting": name,
        "process": process_name,
        "eta": setting.processes.eta(process_name),
        "first": first,
        "last": last,
        "batch": setting.samples.batch,
        "precision": setting.samples.precision,
        "schedule": setting.schedule.model_dump(),
        "stage": VERSIONS["samples"],
        "data": digests.digest_of(place.data),
        "mean": digests.digest_of(place.mean),
    }
    cells_of = _cells_of_solvers if process_name == SOLVER else _cells_of_variants
    cells = cells_of(experiment, name, process_name, rows, denoiser)
    written, digest_of, missing, passes = {}, {}, [], 0
    shape, levels = (last - first, *denoiser.data.shape), denoiser.data.levels
    for cell, (made_by, steps, _) in cells.items():
        written[cell] = place.samples(process_name, needs, *cell, shard)
        digest_of[cell] = digests.digest({**common, **made_by})
        if not _holds(written[cell], digest_of[cell], shape, levels):
            missing.append(cell)
            passes += (last - first) * steps
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
            *_, draw = cells[cell]
            with _naming(name, process_name, cell):
                images = draw(
                    first=first,
                    count=last - first,
                    names=(experiment.seed, name),
                    batch=setting.samples.batch,
                    progress=bar.update,
                )
            files.write_npz(written[cell], images=images, digest=np.array(digest_of[cell]))
    manifest = {IMAGES: which_images(first, last)}
    manifest |= {str(written[cell]): digest for cell, digest in digest_of.items()}
    files.write_json(place.manifest(process_name, needs, shard), manifest)


@contextlib.contextmanager
def _naming(name, process_name, cell):
    """Names the cell in the error of samples that are not finite."""
    row, kind, K = cell
    try:
        yield
    except sampler.NotFinite as error:
        text = f"samples of {name}, {process_name}, {row}, {kind}, K = {K}: {error}"
        if process_name == SOLVER:
            remedy = f"take the row, the spacing or the K out of processes.{SOLVER} and samples"
        else:
            reference = covariance.reference(row)
            remedy = f"look for the cause with: bench check variant {reference}"
        raise BenchError(f"{text}; {remedy}") from error


def _cells_of_variants(experiment, name, process_name, variants, denoiser):
    """{(variant, trajectory, K): (what determines its images, passes of each, what draws them)}"""
    setting, place = experiment.selection(name), experiment.place(name)
    saved = read_trajectories(place, setting.kinds("samples", process_name, variants))
    eta = setting.processes.eta(process_name)
    forward = process.make(process_name, denoiser.schedule, eta)
    cells = {}
    for variant in variants:
        clip_levels = setting.clip(process_name, variant)
        made_by = {
            "variant": variant,
            "version": covariance.get(variant).version,
            "clip_255ths": clip_levels,
        }
        for moment in covariance.get(variant).moments:  # no others: they change none of its images
            made_by[moment] = digests.digest_of(place.moments / f"{moment}.npy")
        if setting.heads_of([variant]):  # its own, as another head changes none of its images
            made_by["head"] = digests.digest_of(place.heads / f"{variant}.safetensors")
        for kind, K in setting.grid("samples", process_name, variant):
            steps = steps_of(saved, setting, place, kind, variant, K)
            draw = functools.partial(
                sampler.sample, denoiser, forward, variant, steps, clip_levels=clip_levels
            )
            cells[variant, kind, K] = {**made_by, "steps": steps}, len(steps), draw
    return cells


def _cells_of_solvers(experiment, name, process_name, solvers, denoiser):
    """{(solver, spacing, K): (what determines its images, passes of each, what draws them)}"""
    setting, cells = experiment.selection(name), {}
    for row in solvers:
        made = setting.row(process_name, row)
        for spacing, K in setting.grid("samples", process_name, row):
            made_by = {
                "solver": row,
                "version": made.version,
                "scheduler": made.scheduler,
                "options": dict(made.options),
                "spacing": spacing,
                "K": K,
            }
            draw = functools.partial(solver.sample, denoiser, made, spacing, K)
            passes = made.network_evaluations(spacing, K, denoiser.schedule)
            cells[row, spacing, K] = made_by, passes, draw
    return cells


def _holds(path, digest, shape, levels):
    """Whether a file has the images that the digest is of. A damaged one is named on stderr."""
    if not path.exists():
        return False
    try:
        _, found = read_images(path, shape, levels)
        return found == digest
    except BenchError as error:
        print(f"{str(error).partition(';')[0]}; drawn again", file=sys.stderr)
        return False
