"""Which steps every trajectory takes."""

from bench import covariance, process, trajectory
from bench.experiment.resolved import Experiment, Setting
from bench.runtime import files, paths
from bench.runtime.errors import BenchError, unknown


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


def choose_steps(
    setting: Setting, place: paths.Setting, process_name: str, name: str, kind: str, K: int
) -> list[int]:
    """τ of one cell, for any K, of the variant called `name`.

    BenchError for an unknown kind, unless 1 ≤ K ≤ N, and for a row without the optimal trajectory.
    """
    if kind != "optimal":
        return trajectory.fixed(kind, setting.schedule.N, K)
    if process_name != process.BOUND_PROCESS:
        raise BenchError(
            f"trajectory optimal: {process_name} has none; expected one of "
            f"{', '.join(trajectory.FIXED)}"
        )
    return _optimal(setting, name, [K], place)[K]


def _optimal(setting, name, Ks, place):
    """Optimal trajectories of one variant, {K: steps}, from the moments alone."""
    forward = process.make(process.BOUND_PROCESS, setting.schedule.make())
    variant = covariance.get(name)
    moments = files.read_arrays(place.moments, variant.edge_moments)
    return variant.optimal_steps(forward, moments, Ks)
