"""The moments: passes made, and what the stopping rule saves.

Fewer draws make other numbers. A second set of as many draws as the run had shows how
far they may move: if tables differ no more than those two, they cannot be told apart.
"""

import numpy as np
import torch

from bench import bound, covariance, denoiser, moments, process, second_moments, trajectory
from bench.benchmark import Figure, network_share, passes_made, quiet
from bench.experiment.resolved import Experiment
from bench.runtime import files, paths
from bench.stages import models

TARGETS = (0.02, 0.01, 0.005)  # relative standard errors of E‖ε̂‖²/d
IMAGES = 24


def figures(experiment: Experiment, name: str, jobs: list[dict]) -> list[Figure]:
    """The moments' figures; jobs: see `whole.read_jobs`."""
    setting = experiment.setting(name)
    mine = [job for job in jobs if job["stage"] == "moments"]
    N, draws = setting.schedule.N, setting.moments.draws
    limit = f"N = {N} steps, {draws} draws at each"
    return [
        passes_made("moments", mine[0]["images"], N * draws, limit),
        network_share("moments", mine, "the rest draws noise and sums"),
        *_stopping_rule(experiment, name),
    ]


def _stopping_rule(experiment, name):
    """How many passes the stopping rule makes, and how far the bound moves with its moments."""
    setting, place = experiment.setting(name), paths.Setting(name)
    draws, batch = setting.moments.draws, setting.samples.batch
    with torch.inference_mode(), quiet():
        model, data, schedule = models.load_model(experiment, setting, place)

        def estimate(seed, relative_error):
            stream, read = (seed, name), setting.moments_by_coordinate()
            structures = list(filter(second_moments.is_one, read))
            return moments.estimate(
                model, data, schedule, draws, stream, batch, relative_error, structures=structures
            )

        def table(of_moments):
            known = denoiser.Denoiser(model, {}, of_moments, data, schedule)
            return _table(known, setting, (experiment.seed, name))

        full = table(files.read_arrays(place.moments, setting.moment_names()))
        moved = _moved(table(estimate(experiment.seed + 1, None)), full)
        limit = "largest change of the bound, bits/dim at any K, of scalar variants and of others"
        result = [Figure("moments", "another draw of as many moments", moved, limit=limit)]
        for target in TARGETS:
            ruled = estimate(experiment.seed, target)
            share = ruled["draws"].sum() / (setting.schedule.N * draws)
            value = f"{share:.2f} of the passes; {_moved(table(ruled), full)}"
            limit = f"{ruled['draws'][1:].min()} to {ruled['draws'].max()} draws a step"
            result.append(Figure("moments", f"relative_error: {target}", value, limit=limit))
    return result


def _table(known, setting, stream):
    """{(variant, K): bound, the mean over images} of the variants that read moments."""
    variants = [name for name in setting.bound_variants if covariance.get(name).needs == "moments"]
    cells = [
        bound.Cell("even", variant, K, tuple(trajectory.even(known.schedule.N, K)))
        for variant in variants
        for K in setting.bound.K
    ]
    values = bound.evaluate(
        known, process.make("ddpm", known.schedule), cells, IMAGES, stream
    ).total
    return {(cell.variant, cell.K): row.mean() for cell, row in zip(cells, values, strict=True)}


def _moved(table, base):
    """The largest difference of two tables, of scalar variants and of others."""
    most = {"scalar": 0.0, "diagonal or spectrum": 0.0}
    for cell in base:
        read = covariance.get(cell[0]).moments
        scalar = all(name.endswith("_mean") for name in read)
        kind = "scalar" if scalar else "diagonal or spectrum"
        most[kind] = max(most[kind], np.abs(table[cell] - base[cell]))
    return ", ".join(f"{kind} {value:.4f}" for kind, value in most.items())
