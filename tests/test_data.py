"""Data sets: digits against scikit-learn, and the way between levels and values."""

import numpy as np
import pytest

from bench import data as datasets
from bench.errors import BenchError


def test_digits_are_scikit_learns(tmp_path):
    from sklearn.datasets import load_digits

    datasets.prepare("digits", tmp_path / "data")
    data = datasets.load(tmp_path / "data")
    digits = load_digits()
    assert data.shape == (1, 8, 8) and data.levels == 17 and data.dim == 64 and data.radius == 1
    assert len(data.train) == 1617 and len(data.test) == 180
    assert (data.test[:, 0] == digits.images[::10]).all() and (data.test_labels == digits.target[::10]).all()
    whole = np.concatenate([data.train, data.test])[:, 0]
    assert sorted(map(bytes, whole)) == sorted(map(bytes, digits.images.astype(np.uint8)))
    assert not data.train.flags.writeable  # memory-mapped


def test_levels_and_values(data):
    values = data.to_float(data.train)
    assert values.shape == (50, 16) and values.min() == -1 and values.max() == 1
    assert values.ravel()[0] == -1 + 2 * data.train.ravel()[0] / 16
    assert (data.to_levels(values) == data.train).all()
    # half a level is 1/16: what is nearer than that is the same level, what is beyond the range its edge
    assert (data.to_levels(values + 0.06) == data.train).all()
    assert (data.to_levels(values + 5) == 16).all() and (data.to_levels(values - 5) == 0).all()


def test_unknown_name():
    with pytest.raises(BenchError, match="unknown data set 'digit'; did you mean 'digits'"):
        datasets.prepare("digit", "nowhere")


@pytest.mark.parametrize("split, message", [
    (np.zeros((3, 1, 2, 2), dtype=np.float32), "expected uint8 images"),
    (np.zeros((0, 1, 2, 2), dtype=np.uint8), "expected uint8 images"),
    (np.full((3, 1, 2, 2), 17, dtype=np.uint8), "expected levels 0..16, found 17"),
])
def test_wrong_arrays(split, message):
    good = np.zeros((3, 1, 2, 2), dtype=np.uint8)
    with pytest.raises(BenchError, match=message):
        datasets._check("made up", datasets.Raw(good, split, 17))


def test_arrays_that_do_not_fit_their_description(tmp_path):
    datasets.prepare("digits", tmp_path / "data")
    np.save(tmp_path / "data" / "test.npy", np.zeros((3, 1, 8, 8), dtype=np.uint8))
    with pytest.raises(BenchError, match="make it again with: snakemake"):
        datasets.load(tmp_path / "data")
