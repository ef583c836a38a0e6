"""Data sets: digits against scikit-learn, and the way between levels and values."""

import hashlib

import numpy as np
import pytest
from scipy import stats

from bench import cli, torchvision_ops
from bench import data as datasets
from bench.data import cifar10, fashion_mnist, mnist
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
    (np.zeros((0, 1, 2, 2), dtype=np.uint8), "the test split is empty; expected both a train and a test split"),
    (np.zeros((3, 3, 2, 2), dtype=np.uint8), r"one shape in both splits, found \(1, 2, 2\) and \(3, 2, 2\)"),
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


def test_the_mixture_is_a_function_of_its_options(tmp_path):
    options = dict(components=3, dim=4, train=5000, test=60)
    for name in ("one", "two"):
        datasets.prepare("mixture", tmp_path / name, options)
    data = datasets.load(tmp_path / "one")
    assert (tmp_path / "one" / "train.npy").read_bytes() == (tmp_path / "two" / "train.npy").read_bytes()
    assert data.levels is None and data.shape == (4, 1, 1) and (data.lo, data.hi, data.radius) == (-np.inf, np.inf, np.inf)
    # Moments of the draws against those of the law, within 5 standard errors of the worst of 14 numbers
    points, (mean, covariance) = data.to_float(data.train), data.law.moments()
    assert (np.abs(points.mean(0) - mean.numpy()) < 5 * points.std(0) / 5000**0.5).all()
    centred = points - points.mean(0)
    products = centred[:, :, None] * centred[:, None]
    assert (np.abs(products.mean(0) - covariance.numpy()) < 5 * products.std(0) / 5000**0.5).all()
    assert (data.to_levels(points) == data.train).all()


def test_the_exact_nats_are_those_of_scipy(tmp_path):
    datasets.prepare("mixture", tmp_path / "data", dict(components=2, dim=3, train=10, test=20))
    data = datasets.load(tmp_path / "data")
    law = data.law.arrays()
    density = sum(weight * stats.multivariate_normal.pdf(data.to_float(data.test), mean, covariance) for weight, mean, covariance
                  in zip(law["weights"], law["means"], law["covariances"], strict=True))
    np.testing.assert_allclose(data.exact_nats(20)["exact_nats"], -np.log(density), rtol=1e-9)
    assert datasets.Data("x", data.train, data.test, None, None, None, "").exact_nats(20) == {}


def test_values_that_are_not_finite_are_refused():
    good = np.zeros((3, 2, 1, 1))
    with pytest.raises(BenchError, match="expected finite values in the test split"):
        datasets._check("made up", datasets.Raw(good, np.full((3, 2, 1, 1), np.nan), None))


def test_fetch_takes_what_a_reader_lists(tmp_path, monkeypatch):
    """A file there is left alone, a wrong checksum is told, a data set without addresses too."""
    source = tmp_path / "source" / "archive.gz"
    source.parent.mkdir()
    source.write_bytes(b"content")
    md5 = hashlib.md5(b"content").hexdigest()
    monkeypatch.setattr(cifar10, "DOWNLOADS", [(source.as_uri(), md5)])
    cli.main(["data", "fetch", "cifar10", "--into", str(tmp_path / "here")])
    path = tmp_path / "here" / "archive.gz"
    assert path.read_bytes() == b"content"
    source.unlink()
    assert datasets.fetch("cifar10", tmp_path / "here") == [path]
    source.write_bytes(b"another")
    monkeypatch.setattr(cifar10, "DOWNLOADS", [(source.as_uri(), "0" * 32)])
    with pytest.raises(SystemExit, match="bench data fetch: error: .*archive.gz: found md5"):
        cli.main(["data", "fetch", "cifar10", "--into", str(tmp_path / "here")])
    with pytest.raises(SystemExit, match=r"unknown data set to download 'digits' \(known: cifar10, fashion_mnist, mnist\)"):
        cli.main(["data", "fetch", "digits"])


def test_addresses_are_those_of_torchvision():
    """Names and checksums, as another library of data sets has them."""
    torchvision_ops.declare()
    from torchvision.datasets import CIFAR10, MNIST, FashionMNIST

    for reader, known in ((mnist, MNIST), (fashion_mnist, FashionMNIST)):
        assert [(url.rsplit("/", 1)[1], md5) for url, md5 in reader.DOWNLOADS] == known.resources
        assert reader.SERVER + "/" in known.mirrors
    assert [(CIFAR10.url, CIFAR10.tgz_md5)] == cifar10.DOWNLOADS
