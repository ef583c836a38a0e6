"""Optimal trajectories: the dynamic programme of all K at once, from moments alone."""

import time
import tracemalloc

from bench import covariance, process, schedule, trajectory
from bench.benchmark import Figure

LIMITS = {1000: 5, 4000: 120}  # seconds, by N


def figures() -> list[Figure]:
    """Its time and memory for a perfect mean of white noise, whose E‖ε̂‖² is b²."""
    return [_figure(N, limit) for N, limit in LIMITS.items()]


def _figure(N, limit):
    made = schedule.make("linear", N)
    moments = {"eps_sq_mean": made.noise_sq}
    variant, forward = covariance.get("analytic_scalar"), process.make("ddpm", made)
    begun = time.perf_counter()
    trajectory.optimal(variant.edge_costs(forward, moments), range(2, N + 1))
    seconds = time.perf_counter() - begun
    tracemalloc.start()
    trajectory.optimal(variant.edge_costs(forward, moments), [10])
    search = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    table = 4 * N * N / 1e6  # of where every path came from, one row a number of steps
    memory = search + table
    return Figure(
        "trajectories",
        f"N = {N}, every K from 2 to N",
        f"{seconds:.2f} s, {memory:.0f} MB",
        f"< {limit} s, < 1000 MB",
        seconds < limit and memory < 1000,
        f"N³/6 sums and comparisons; search {search:.0f} MB, the way back {table:.0f} MB",
    )
