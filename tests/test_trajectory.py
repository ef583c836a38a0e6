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


@pytest.mark.parametrize("seed", range(3))
def test_dynamic_programme_equals_brute_force(seed):
    N = 9
    cost = np.random.default_rng(seed).normal(size=(N + 1, N + 1))
    found = trajectory.optimal(cost, range(2, N + 1))
    for K in range(2, N + 1):
        paths = [(1, *middle, N) for middle in itertools.combinations(range(2, N), K - 2)]
        best = min(sum(cost[edge] for edge in itertools.pairwise(path)) for path in paths)
        assert len(found[K]) == K and found[K][0] == 1 and found[K][-1] == N
        assert sum(cost[edge] for edge in itertools.pairwise(found[K])) == pytest.approx(
            best, abs=1e-12
        )


@pytest.mark.parametrize("last_sound", [1, 5, 30, 39, 40])
def test_unsound_steps_are_filled_evenly(last_sound):
    N = 40
    cost = np.random.default_rng(0).normal(size=(N + 1, N + 1))
    for K, steps in trajectory.optimal(cost, [2, 3, 10, 25, N], last_sound).items():
        assert len(steps) == K and steps[0] == 1 and steps[-1] == N
        assert all(s < t for s, t in itertools.pairwise(steps))
        if 30 <= last_sound < N and K == 10:
            searched = N - 2 * (N - last_sound)
            assert searched in steps  # the search ends where the even filling begins
