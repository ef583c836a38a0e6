"""The moments: passes made, and what the stopping rule saves.

Fewer draws make other numbers. How much other is told by a second set of as many draws as the run had: tables that differ no
more than those two are equal for what can be known of them.
"""

import numpy as np
import torch

from bench import bound, covariance, denoiser, moments, process, trajectory
from bench.benchmark import Figure, quiet
from bench.runtime import files, paths
from bench.stages import inputs

TARGETS = (0.02, 0.01, 0.005)  # relative standard errors of E‖ε̂‖²/d
IMAGES = 24


def figures(experiment, name, jobs):
    """The moments' figures; jobs: see `whole.jobs`."""
    setting = experiment.setting(name)
    job = next(job for job in jobs if job["stage"] == "moments")
    needed = setting.schedule.N * setting.moments.draws
    share = job["network"] / job["seconds"]
    return [
        Figure(
            "moments",
            "passes made / needed",
            f"{job['images'] / needed:.2f}",
            "1.00",
            job["images"] == needed,
            f"N = {setting.schedule.N} steps, {setting.moments.draws} draws at each",
        ),
        Figure(
            "moments",
            "time inside the network / wall time",
            f"{share:.2f}",
            limit=f"without the start-up {job['network'] / (job['seconds'] - job['start_up']):.2f}",
        ),
        *_saving(experiment, name),
    ]


def _saving(experiment, name):
    """How many passes the stopping rule makes, and how far the bound moves with its moments."""
    setting, place = experiment.setting(name), paths.Setting(name)
    with torch.inference_mode(), quiet():
        model, data, schedule = inputs.load_model(experiment, setting, place)

        def estimated(seed, relative_error):
            return moments.estimate(
                model,
                data,
                schedule,
                setting.moments.draws,
                (seed, name),
                setting.samples.batch,
                relative_error,
            )

        known, other = files.read_npz(place.moments), estimated(experiment.seed + 1, None)
        ruled = {target: estimated(experiment.seed, target) for target in TARGETS}
        tables = _tables(
            model, data, schedule, setting, [known, other, *ruled.values()], (experiment.seed, name)
        )
    full, again, *rest = tables
    found = [
        Figure(
            "moments",
            "another draw of as many moments",
            _moved(again, full),
            limit="the largest change of the bound, bits/dim at any K, of scalar and of diagonal variants",
        )
    ]
    for (target, made), table in zip(ruled.items(), rest, strict=True):
        passes = made["draws"].sum() / (setting.schedule.N * setting.moments.draws)
        found.append(
            Figure(
                "moments",
                f"relative_error: {target}",
                f"{passes:.2f} of the passes; {_moved(table, full)}",
                limit=f"{made['draws'][1:].min()} to {made['draws'].max()} draws a step",
            )
        )
    return found


def _tables(model, data, schedule, setting, several, names):
    """The bound with each of several moments, [{(variant, K): mean over images}], from the same noise."""
    variants = [
        variant for variant in setting.bound_variants if covariance.get(variant).needs == "moments"
    ]
    cells = [
        bound.Cell("even", variant, K, tuple(trajectory.even(schedule.N, K)))
        for variant in variants
        for K in setting.bound.K
    ]
    forward, result = process.make("ddpm", schedule), []
    for found in several:
        values = bound.evaluate(
            denoiser.Denoiser(model, {}, found, data, schedule), forward, cells, IMAGES, names
        )
        result.append(
            {
                (cell.variant, cell.K): of_cell.mean()
                for cell, of_cell in zip(cells, values, strict=True)
            }
        )
    return result


def _moved(table, base):
    """The largest difference of two tables, of scalar and of diagonal variants."""
    most = {"diagonal": 0.0, "scalar": 0.0}
    for variant, steps in base:
        kind = "diagonal" if variant.endswith("diagonal") else "scalar"
        most[kind] = max(most[kind], np.abs(table[variant, steps] - base[variant, steps]))
    return f"scalar {most['scalar']:.4f}, diagonal {most['diagonal']:.4f}"
