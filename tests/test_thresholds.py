"""Thresholds and bounds of σ_2²; the numbers are checked by tests/papers/test_table7.py."""

import pytest

from bench import process, schedule, thresholds


def test_bounds_are_ordered():
    forward = process.make("ddim", schedule.make("cosine", 100), 0.5)
    lower, upper, bounded = thresholds.bounds(forward, 10, 30)
    assert 0 < lower < min(upper, bounded)


def test_threshold_is_the_mean_absolute_noise():
    # E|σ ε| = σ √(2/π) is y times 2/255
    assert (thresholds.clip_threshold(2.0) * 2 / 3.141592653589793) ** 0.5 == pytest.approx(
        4 / 255, rel=1e-12
    )
