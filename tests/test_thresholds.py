"""Thresholds and bounds of σ_2² against every published cell of Bao 2022a's Table 7."""

import pytest

from bench import process, schedule, thresholds
from bench.report import published


def test_every_published_cell_is_met():
    rows = thresholds.table(published.sigma2_cells())
    assert len(rows) == 96
    assert [row for row in rows if not row["agrees"]] == []
    assert {row["schedule"] for row in rows} == {"linear-1000", "cosine-1000", "cosine-4000"}


def test_a_wrong_value_is_told():
    cell = next(cell for cell in published.sigma2_cells() if cell["metric"] == "sigma2_upper_bound")
    assert (
        thresholds.table([cell])[0]["agrees"]
        and not thresholds.table([{**cell, "value": "1.00e-1"}])[0]["agrees"]
    )


def test_bounds_are_ordered():
    forward = process.make("ddim", schedule.make("cosine", 100), 0.5)
    lower, upper, bounded = thresholds.bounds(forward, 10, 30)
    assert 0 < lower < min(upper, bounded)


def test_threshold_is_the_mean_absolute_noise():
    # E|σ ε| = σ √(2/π) is y levels of 2/255 each
    assert (thresholds.clip_threshold(2.0, 256) * 2 / 3.141592653589793) ** 0.5 == pytest.approx(
        4 / 255, rel=1e-12
    )
