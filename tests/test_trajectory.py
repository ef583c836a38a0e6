"""Trajectories against hand-written lists and brute force over all paths."""

import itertools

import numpy as np
import pytest

from bench import trajectory
from bench.runtime.errors import BenchError


def test_even_is_the_accumulated_rounding():
    assert trajectory.even(1000, 10) == [1, 112, 223, 334, 445, 556, 667, 778, 889, 1000]
    assert trajectory.even(5, 3) == [1, 3, 5]
    assert trajectory.even(10, 10) == list(range(1, 11))
    # 1 + 1.5 = 2.5 rounds to the even 2
    assert trajectory.even(4, 3) == [1, 2, 4]


def test_ddim_styles():
    assert trajectory.even_ddim(1000, 10) == list(range(1, 1000, 100))
    # linspace(0, √800, 5)² = 0, 50, 200, 450, 800
    assert trajectory.quadratic_ddim(1000, 5) == [1, 51, 201, 451, 801]
    assert trajectory.quadratic_ddim(100, 50)[:3] == [1, 2, 3]  # repeated steps are left out


def test_even_ddim_refuses_a_stride_that_misses_K():
    with pytest.raises(BenchError, match="gives 500 steps for K = 400"):
        trajectory.even_ddim(1000, 400)


@pytest.mark.parametrize("K", [0, 11])
def test_K_out_of_range(K):
    with pytest.raises(BenchError, match=f"expected 1 ≤ K ≤ N = 10, found K = {K}"):
        trajectory.fixed("even", 10, K)


def pinned(cost):
    """The same costs, with no edge from the data but that to 1."""
    return np.vstack([[np.inf, 0, *[np.inf] * (len(cost) - 2)], cost[1:]])


@pytest.mark.parametrize("seed", range(3))
def test_dynamic_programme_equals_brute_force(seed):
    N = 9
    cost = np.random.default_rng(seed).normal(size=(N + 1, N + 1))
    found = trajectory.optimal(cost, range(1, N + 1))
    for K in range(1, N + 1):
        paths = [(0, *steps, N) for steps in itertools.combinations(range(1, N), K - 1)]
        best = min(sum(cost[edge] for edge in itertools.pairwise(path)) for path in paths)
        path = [0, *found[K]]
        assert len(path) == K + 1 and path[-1] == N
        assert sum(cost[edge] for edge in itertools.pairwise(path)) == pytest.approx(
            best, abs=1e-12
        )


def test_a_path_begins_where_its_first_edge_has_a_cost():
    """At 1, if no other edge leaves the data; elsewhere, if that is cheaper."""
    N = 9
    cost = np.random.default_rng(3).normal(size=(N + 1, N + 1))
    cost[0] = 100.0
    cost[0, 4] = 0.0
    assert all(trajectory.optimal(cost, [K])[K][0] == 4 for K in (2, 3, 6))
    for K, steps in trajectory.optimal(pinned(cost), range(2, N + 1)).items():
        paths = [(1, *middle, N) for middle in itertools.combinations(range(2, N), K - 2)]
        costs = [sum(cost[edge] for edge in itertools.pairwise(path)) for path in paths]
        assert steps == list(paths[int(np.argmin(costs))])


@pytest.mark.parametrize("last_sound", [1, 5, 30, 39, 40])
def test_unsound_steps_are_filled_evenly(last_sound):
    N = 40
    cost = pinned(np.random.default_rng(0).normal(size=(N + 1, N + 1)))
    for K, steps in trajectory.optimal(cost, [2, 3, 10, 25, N], last_sound).items():
        assert len(steps) == K and steps[0] == 1 and steps[-1] == N
        assert all(s < t for s, t in itertools.pairwise(steps))
        if 30 <= last_sound < N and K == 10:
            searched = N - 2 * (N - last_sound)
            assert searched in steps  # the search ends where the even filling begins
