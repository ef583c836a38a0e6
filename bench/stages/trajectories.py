"""Which steps every trajectory takes."""

from bench import covariance, process, trajectory
from bench.experiment.resolved import Experiment
from bench.runtime import files, paths
from bench.runtime.errors import unknown


def choose_trajectories(experiment: Experiment, name: str, kind: str | None = None) -> None:
    """The trajectories of one kind, or of all in the grid:
    results/<setting>/trajectories/<kind>.json

    {variant: {K: steps}}, with variant '*' for a kind that serves all of them. BenchError for a
    kind that no cell has.
    """
    setting, place = experiment.setting(name), paths.Setting(name)
    wanted = setting.trajectories()
    if kind not in (None, *wanted):
        raise unknown("--kind", kind, wanted)
    for one in [kind] if kind else wanted:
        with files.alone(place.trajectories(one)):
            steps = {}
            for variant, Ks in sorted(wanted[one].items()):
                if one == "optimal":
                    steps[variant] = _optimal(setting, variant, Ks, place)
                else:
                    steps[variant] = {K: trajectory.fixed(one, setting.schedule.N, K) for K in Ks}
            files.write_json(place.trajectories(one), steps)


def _optimal(setting, name, Ks, place):
    """Optimal trajectories of one variant, {K: steps}, from the moments alone."""
    forward = process.make(process.BOUND_PROCESS, setting.schedule.make())
    variant = covariance.get(name)
    moments = files.read_arrays(place.moments, variant.edge_moments)
    cost = variant.edge_costs(forward, moments)
    return trajectory.optimal(cost, Ks, variant.last_sound_step(forward, moments))
