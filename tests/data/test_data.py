"""Data sets: digits against scikit-learn, and the way between levels and values."""

import hashlib
import itertools
import resource
import tracemalloc
import types

import numpy as np
import pytest
from scipy import stats

from bench.data import dataset
from bench.runtime.errors import BenchError


def test_digits_are_scikit_learns(tmp_path):
    from sklearn.datasets import load_digits

    dataset.prepare("digits", tmp_path / "data")
    data = dataset.load(tmp_path / "data")
    digits = load_digits()
    assert data.shape == (1, 8, 8) and data.levels == 17 and data.dim == 64 and data.radius == 1
    assert len(data.train) == 1617 and len(data.test) == 180
    assert (data.test[:, 0] == digits.images[::10]).all() and (
        data.test_labels == digits.target[::10]
    ).all()
    whole = np.concatenate([data.train, data.test])[:, 0]
    assert sorted(map(bytes, whole)) == sorted(map(bytes, digits.images.astype(np.uint8)))
    assert not data.train.flags.writeable  # memory-mapped


def test_levels_and_values(data):
    values = data.to_float(data.train)
    assert values.shape == (50, 16) and values.min() == -1 and values.max() == 1
    assert values.ravel()[0] == -1 + 2 * data.train.ravel()[0] / 16
    assert (data.to_levels(values) == data.train).all()
    # half a level is 1/16: what is nearer than that is the same level, what is beyond the range its
    # edge
    assert (data.to_levels(values + 0.06) == data.train).all()
    assert (data.to_levels(values + 5) == 16).all() and (data.to_levels(values - 5) == 0).all()


def test_unknown_name():
    with pytest.raises(BenchError, match="unknown data set 'digit'; did you mean 'digits'"):
        dataset.prepare("digit", "nowhere")


@pytest.fixture
def made(monkeypatch):
    """A function that makes a reader of the name "made" return what it is given."""

    def returning(raw):
        reader = types.SimpleNamespace(read=lambda: raw)
        monkeypatch.setattr(dataset, "reader", lambda name: reader)

    return returning


def lazy(images, shape=None):
    """`Images` that are in memory after all."""
    return dataset.Images(shape or images.shape, lambda: iter(images))


GOOD = np.zeros((3, 1, 2, 2), dtype=np.uint8)


@pytest.mark.parametrize(
    "test, message",
    [
        (np.zeros((3, 1, 2, 2), dtype=np.float32), "expected uint8 images"),
        (
            np.zeros((0, 1, 2, 2), dtype=np.uint8),
            "the test split is empty; expected both a train and a test split",
        ),
        (
            np.zeros((3, 3, 2, 2), dtype=np.uint8),
            r"one shape in both splits, found \(1, 2, 2\) and \(3, 2, 2\)",
        ),
        (np.full((3, 1, 2, 2), 17, dtype=np.uint8), "expected levels 0..16, found 17"),
        (lazy(np.full((3, 1, 2, 2), 18, dtype=np.uint8)), "expected levels 0..16, found 18"),
        (lazy(GOOD, (4, 1, 2, 2)), r"test.npy: found 3 rows, expected 4"),
        (lazy(GOOD, (2, 1, 2, 2)), r"test.npy: found 3 rows, expected 2"),
        (
            lazy(GOOD[:, :, :1], (3, 1, 2, 2)),
            r"test.npy: found uint8 \(1, 1, 2\), expected uint8 \(1, 2, 2\)",
        ),
    ],
)
def test_wrong_arrays(made, tmp_path, test, message):
    made(dataset.Raw(GOOD, test, 17))
    with pytest.raises(BenchError, match=message):
        dataset.prepare("made", tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [1, 40, 1 << 24])
@pytest.mark.parametrize("form", ["array", "images", "mapped", "view"])
def test_files_and_hash_are_of_the_bytes(made, tmp_path, monkeypatch, size, form):
    """What numpy saves, and SHA-256 of one array's bytes after another's, whatever the pieces."""
    random = np.random.default_rng(0)
    train, test = (
        random.integers(0, 256, size=(count, 3, 2, 4)).astype(np.uint8) for count in (5, 3)
    )
    np.save(tmp_path / "train.npy", train)
    forms = {
        "array": train,
        "images": lazy(train),
        "mapped": np.load(tmp_path / "train.npy", mmap_mode="r"),
        "view": np.asfortranarray(train),
    }
    labels = np.arange(5)
    made(dataset.Raw(forms[form], test, 256, labels, np.arange(3)))
    monkeypatch.setattr(dataset, "PIECE", size)
    dataset.prepare("made", tmp_path / "data")
    assert (tmp_path / "data" / "train.npy").read_bytes() == (tmp_path / "train.npy").read_bytes()
    expected = hashlib.sha256(
        train.tobytes() + test.tobytes() + labels.tobytes() + np.arange(3).tobytes()
    ).hexdigest()
    data = dataset.load(tmp_path / "data")
    assert (
        data.sha256 == expected[:16]
        and (data.test == test).all()
        and (data.train_labels == labels).all()
    )


def test_the_hash_of_the_digits(tmp_path):
    """Fixed, for results carry it."""
    dataset.prepare("digits", tmp_path / "data")
    assert dataset.load(tmp_path / "data").sha256 == "9ab629355adc0db0"


def test_images_larger_than_memory(made, tmp_path):
    """200 MB pass through in pieces."""
    image = np.arange(3 * 256 * 256, dtype=np.uint8).reshape(3, 256, 256)
    made(
        dataset.Raw(
            dataset.Images((1000, 3, 256, 256), lambda: itertools.repeat(image, 1000)),
            image[None],
            256,
        )
    )
    tracemalloc.start()
    try:
        dataset.prepare("made", tmp_path / "data")
        # a piece, the rows it is stacked of, and the bytes that a file may hold back
        assert tracemalloc.get_traced_memory()[1] < 3 * dataset.PIECE
    finally:
        tracemalloc.stop()
    assert (dataset.load(tmp_path / "data").train[999] == image).all()


def test_full_disk(made, tmp_path):
    """The system refuses to write beyond a size, as it does where the disk is full."""
    made(
        dataset.Raw(
            lazy(np.zeros((100, 3, 32, 32), np.uint8)),
            GOOD.repeat(3, 1).repeat(16, 2).repeat(16, 3),
            256,
        )
    )
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(BenchError, match=r"data: cannot be written \(File too large\)"):
            dataset.prepare("made", tmp_path / "data")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_made_for_a_setting_that_refuses(made, tmp_path):
    def never():
        raise AssertionError("made")

    def refuse(raw):
        raise BenchError(f"not {len(raw.test)} images")

    made(dataset.Raw(dataset.Images((7, 1, 2, 2), never), dataset.Images((9, 1, 2, 2), never), 256))
    with pytest.raises(BenchError, match="not 9 images"):
        dataset.prepare("made", tmp_path / "data", accept=refuse)


def test_arrays_that_do_not_fit_their_description(tmp_path):
    dataset.prepare("digits", tmp_path / "data")
    np.save(tmp_path / "data" / "test.npy", np.zeros((3, 1, 8, 8), dtype=np.uint8))
    with pytest.raises(BenchError, match="make it again with: snakemake"):
        dataset.load(tmp_path / "data")


def test_the_mixture_is_a_function_of_its_options(tmp_path):
    options = dict(components=3, dim=4, train=5000, test=60)
    for name in ("one", "two"):
        dataset.prepare("mixture", tmp_path / name, options)
    data = dataset.load(tmp_path / "one")
    assert (tmp_path / "one" / "train.npy").read_bytes() == (
        tmp_path / "two" / "train.npy"
    ).read_bytes()
    assert (
        data.levels is None
        and data.shape == (4, 1, 1)
        and (data.lo, data.hi, data.radius) == (-np.inf, np.inf, np.inf)
    )
    # Moments of the draws against those of the law, within 5 standard errors of the worst of 14
    # numbers
    points, (mean, covariance) = data.to_float(data.train), data.law.moments()
    assert (np.abs(points.mean(0) - mean.numpy()) < 5 * points.std(0) / 5000**0.5).all()
    centred = points - points.mean(0)
    products = centred[:, :, None] * centred[:, None]
    assert (np.abs(products.mean(0) - covariance.numpy()) < 5 * products.std(0) / 5000**0.5).all()
    assert (data.to_levels(points) == data.train).all()


def test_the_exact_nats_are_those_of_scipy(tmp_path):
    dataset.prepare("mixture", tmp_path / "data", dict(components=2, dim=3, train=10, test=20))
    data = dataset.load(tmp_path / "data")
    law = data.law.arrays()
    density = sum(
        weight * stats.multivariate_normal.pdf(data.to_float(data.test), mean, covariance)
        for weight, mean, covariance in zip(
            law["weights"], law["means"], law["covariances"], strict=True
        )
    )
    np.testing.assert_allclose(data.exact_nats(20)["exact_nats"], -np.log(density), rtol=1e-9)
    assert dataset.Data("x", data.train, data.test, None, None, None, "").exact_nats(20) == {}


def test_values_that_are_not_finite_are_refused(made, tmp_path):
    made(dataset.Raw(np.zeros((3, 2, 1, 1)), np.full((3, 2, 1, 1), np.nan), None))
    with pytest.raises(BenchError, match="expected finite values in the test split"):
        dataset.prepare("made", tmp_path / "data")
