"""Shards: every unit is in one of them, in order, and none is empty."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import shards


@given(st.integers(0, 200), st.integers(1, 50))
def test_shards_have_every_unit_once_and_as_many_as_each_other(units, wanted):
    cut = shards.cut(units, wanted)
    assert [unit for first, last in cut for unit in range(first, last)] == list(range(units))
    sizes = [last - first for first, last in cut]
    assert len(cut) == min(units, wanted)
    assert not sizes or (min(sizes) >= 1 and max(sizes) - min(sizes) <= 1)


@given(st.integers(1, 300), st.integers(1, 40), st.integers(1, 20))
def test_a_shard_begins_where_a_batch_does(count, batch, wanted):
    cut = shards.cut_batches(count, batch, wanted)
    assert [one for first, last in cut for one in range(first, last)] == list(range(count))
    assert all(first % batch == 0 for first, _ in cut)
    assert len(cut) == min(wanted, math.ceil(count / batch))


@pytest.mark.parametrize(
    ("draws", "batch", "relative_error", "steps"),
    [
        (100, 512, None, 5),  # 5 · 100 rows fit into a pass of 512
        (512, 512, None, 1),
        (2000, 512, None, 1),  # a step takes four passes of its own
        (2000, 512, 0.01, 32),  # all begin with 16 rows
        (4, 512, 0.01, 128),
    ],
)
def test_steps_share_a_pass(draws, batch, relative_error, steps):
    assert shards.steps_together(draws, batch, relative_error) == steps
