"""Which steps every trajectory takes."""

import numpy as np

from bench import covariance, process, trajectory
from bench.data import dataset
from bench.moments import QUANTITIES
from bench.runtime import files, paths
from bench.runtime.errors import unknown


def choose_trajectories(experiment, name, kind=None):
    """The trajectories of one kind, or of all that the grid asks for: results/<setting>/trajectories/<kind>.json

    {variant: {K: steps}}, with variant '*' for a kind that serves all of them. BenchError for a kind that is not asked for.
    """
    setting, place = experiment.setting(name), paths.Setting(name)
    forward = process.make("ddpm", setting.schedule.make())
    wanted = setting.trajectories()
    if kind not in (None, *wanted):
        raise unknown("--kind", kind, wanted)
    for one in [kind] if kind else wanted:
        found = {
            variant: _optimal(forward, variant, Ks, place)
            if one == "optimal"
            else {K: trajectory.fixed(one, setting.schedule.N, K) for K in Ks}
            for variant, Ks in sorted(wanted[one].items())
        }
        files.write_json(place.trajectories(one), found)


def _optimal(forward, variant, Ks, place):
    """Optimal trajectories of one variant, {K: steps}, from the moments alone."""

    arrays, radius = files.read_arrays(place.moments, QUANTITIES), dataset.load(place.data).radius
    above = np.flatnonzero(arrays["eps_sq"][1:].mean(axis=1) > 1)
    estimated = covariance.get(variant).uses_moments
    last_sound = max(int(above[0]), 1) if estimated and len(above) else None
    cost = covariance.get(variant).edge_costs(forward, radius, arrays)
    return trajectory.optimal(cost, Ks, last_sound)
