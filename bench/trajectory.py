"""Trajectories: which K of the N steps are taken, 1 ≤ τ_1 < … < τ_K ≤ N, before the last one to
x_0.

The fixed ones are formulas of N and K. The optimal one is the path of least cost from the data,
node 0, to N with K edges, by dynamic programming over a matrix of edge costs (Watson et al. 2021;
Bao et al. 2022a, section 4). Each variant defines its own edge costs (`bench.covariance`), those of
the first edge 0 → τ_1 too. Where only 0 → 1 has a cost, τ_1 = 1.
"""

import math
from collections.abc import Collection

import numpy as np
from jaxtyping import Float64

from bench.runtime.errors import BenchError, unknown


def even(N: int, K: int) -> list[int]:
    """τ_k = round(1 + (k−1)(N−1)/(K−1)), accumulated and rounded half to even as in Nichol &
    Dhariwal's code.
    """
    stride = (N - 1) / (K - 1) if K > 1 else 0.0
    place, steps = 1.0, []
    for _ in range(K):
        steps.append(round(place))
        place += stride
    return steps


def even_ddim(N: int, K: int) -> list[int]:
    """1, 1 + ⌊N/K⌋, … (Song et al. 2020). BenchError unless these are K steps: if K does not divide
    N, their code may take more.
    """
    steps = list(range(1, N + 1, N // K))
    if len(steps) != K:
        raise BenchError(
            f"trajectory even_ddim: a stride of {N // K} gives {len(steps)} steps for K = {K}, "
            f"N = {N}; expected a K that divides N"
        )
    return steps


def quadratic_ddim(N: int, K: int) -> list[int]:
    """⌊linspace(0, √(0.8 N), K)²⌋ + 1 (Song et al. 2020).

    Repeated steps, which their code keeps, are left out: λ² of a step onto itself is 0, and the
    bound has its logarithm. For ddpm they move nothing. For ddim they move x at t = 1 where x̂_0 is
    clipped, by up to 3e-4, far less than a grey level.
    """
    return sorted({int(root**2) + 1 for root in np.linspace(0, math.sqrt(0.8 * N), K)})


FIXED = {"even": even, "even_ddim": even_ddim, "quadratic_ddim": quadratic_ddim}
TRAJECTORIES = (*FIXED, "optimal")
ROWS = 64  # rows of the cost matrix that are added and searched at once: they fit in the cache


def length(name: str, N: int, K: int) -> int:
    """How many steps the trajectory `name`, one of `TRAJECTORIES`, has: at most K."""
    return K if name == "optimal" else len(fixed(name, N, K))


def fixed(name: str, N: int, K: int) -> list[int]:
    """The steps of the trajectory `name`, one of `FIXED`, which depends on N and K alone.

    BenchError for an unknown name, and unless 1 ≤ K ≤ N.
    """
    if name not in FIXED:
        raise unknown("trajectory", name, TRAJECTORIES)
    check_length(name, N, K)
    return FIXED[name](N, K)


def check_length(name: str, N: int, K: int) -> None:
    """BenchError unless the trajectory `name` can have K of N steps."""
    if not 1 <= K <= N:
        raise BenchError(f"trajectory {name}: expected 1 ≤ K ≤ N = {N}, found K = {K}")


def least_cost_paths(
    cost: Float64[np.ndarray, "steps steps"], Ks: Collection[int]
) -> dict[int, list[int]]:
    """Least-cost paths from 0 to N with K edges, {K: [τ_1, …, N]} for every K in Ks.

    cost: N + 1 rows and columns; cost[s, t] is the cost of the edge s → t, used for 0 ≤ s < t. Ks:
    numbers of edges, each in 1..N. One pass of O(K_max N²) serves all K.
    """
    N = len(cost) - 1
    # Row t holds the edges that end in t, so that each minimum runs over contiguous memory.
    into = np.where(np.tri(N, k=-1, dtype=bool), cost[1:, 1:].T, np.inf)
    least = cost[0, 1:]
    most = max((K for K in Ks if K < N), default=1)  # with N edges there is one path
    previous = np.zeros((most, N), dtype=np.int32)  # the step before, on the best path of so many
    for steps in range(2, most + 1):
        first = steps - 2  # a path of steps − 1 steps ends no earlier than this row
        longer = np.full(N, np.inf)
        for start in range(first + 1, N, ROWS):
            end = min(start + ROWS, N)
            total = into[start:end, first:end] + least[first:end]
            best = total.argmin(axis=1)
            previous[steps - 1, start:end] = first + best
            longer[start:end] = total[np.arange(end - start), best]
        least = longer
    return {K: list(range(1, N + 1)) if K == N else _walk_back(previous, K, N) for K in Ks}


def _walk_back(previous, K, N):
    """The best path of K steps, followed backwards from N."""
    path = [N - 1]
    for steps in range(K - 1, 0, -1):
        path.append(int(previous[steps, path[-1]]))
    return [place + 1 for place in reversed(path)]


def optimal(
    cost: Float64[np.ndarray, "steps steps"], Ks: Collection[int], last_sound: int | None = None
) -> dict[int, list[int]]:
    """The least-cost trajectory for every K in Ks, {K: steps}.

    cost: see `least_cost_paths`. last_sound: the last step whose edge costs can be trusted, N by
    default. If E‖ε̂‖²/d is estimated above 1, the closed-form variance is negative. So the search
    leaves out twice as many steps as lie beyond `last_sound`. They are filled evenly, with the
    share of K that the official Analytic-DPM code gives them.
    """
    N = len(cost) - 1
    last_sound = N if last_sound is None else last_sound
    if last_sound == N:
        return least_cost_paths(cost, Ks)
    unsound = min(2 * (N - last_sound), N - 1)
    searched = N - unsound
    plans = {K: _share(K, searched, unsound) for K in Ks}
    lengths = {near for near, _ in plans.values() if near > 1}
    paths = least_cost_paths(cost[: searched + 1, : searched + 1], lengths)
    trajectories = {}
    for K, (near, far) in plans.items():
        filled = [round(N - unsound / far * k) for k in reversed(range(far))]
        trajectories[K] = (paths[near] if near > 1 else [1]) + filled
    return trajectories


def _share(K, searched, unsound):
    """(Steps of K in the searched part, steps in the evenly filled one)."""
    near = math.ceil((1 - 0.8 * unsound / (searched + unsound)) * K)
    near = min(near, searched, K - 1)
    near = max(near, K - unsound)
    return near, K - near
