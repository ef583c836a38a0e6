"""Noise: a function of its name, and standard normal."""

import numpy as np
from scipy import stats

from bench import noise


def test_rows_do_not_depend_on_the_split():
    whole = noise.normal((0, "purpose", 7), 0, 20, 63)
    parts = [
        noise.normal((0, "purpose", 7), first, count, 63)
        for first, count in [(0, 3), (3, 10), (13, 7)]
    ]
    assert (np.concatenate(parts) == whole).all()


def test_names_tell_streams_apart():
    first = noise.normal((0, "a", 1), 0, 100, 8)
    for other in [(1, "a", 1), (0, "b", 1), (0, "a", 2), (0, "a1")]:
        correlation = np.corrcoef(first.ravel(), noise.normal(other, 0, 100, 8).ravel())[0, 1]
        assert abs(correlation) < 4 / np.sqrt(800)


def test_it_is_standard_normal():
    sample = noise.normal((0, "test"), 0, 1000, 100).ravel()
    assert stats.kstest(sample, "norm").pvalue > 1e-3
    assert abs((sample**2).mean() - 1) < 4 * np.sqrt(2 / sample.size)
    assert abs(np.corrcoef(sample[:-1], sample[1:])[0, 1]) < 4 / np.sqrt(sample.size)
