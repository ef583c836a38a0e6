"""FID and KID against scipy and brute force, and their standard errors against replication."""

import numpy as np
import pytest
import torch
from scipy import linalg

from bench import fidelity
from bench.errors import BenchError

RANDOM = np.random.default_rng(0)


def gaussian(count, shift=0.0, scale=1.0, dim=5, random=RANDOM):
    return torch.from_numpy(shift + scale * random.normal(size=(count, dim)) @ np.triu(np.ones((dim, dim))) / 2)


def test_fid_is_the_frechet_distance():
    first, second = gaussian(300), gaussian(400, 0.5, 1.3)
    statistics = [(sample.numpy().mean(0), np.cov(sample.numpy(), rowvar=False)) for sample in (first, second)]
    (mu, sigma), (nu, tau) = statistics
    exact = ((mu - nu) ** 2).sum() + np.trace(sigma + tau - 2 * linalg.sqrtm(sigma @ tau).real)
    value, _ = fidelity.fid(first, second, 3, (0, "test"))
    assert value == pytest.approx(exact, rel=1e-9)


def test_kid_is_the_unbiased_mmd_of_the_cubic_kernel():
    """Whole samples as their own half-sized subsets would be random; the mean over all halves is the U-statistic."""
    first, second = gaussian(40), gaussian(40, 1.0)
    x, y = first.numpy(), second.numpy()
    kernel = lambda a, b: (a @ b.T / 5 + 1) ** 3
    off = lambda k: (k.sum() - np.trace(k)) / (len(k) * (len(k) - 1))
    exact = off(kernel(x, x)) + off(kernel(y, y)) - 2 * kernel(x, y).mean()
    value, stderr = fidelity.kid(first, second, 2000, (0, "test"))
    assert value == pytest.approx(exact, abs=4 * stderr / np.sqrt(2000) + 1e-9)


@pytest.mark.parametrize("scorer", [fidelity.fid, fidelity.kid])
def test_standard_errors_are_the_spread_over_fresh_samples(scorer):
    reference = gaussian(2000)
    random = np.random.default_rng(1)
    values = [scorer(gaussian(300, 0.7, random=random), reference, 2, (0, "r"))[0] for _ in range(60)]
    stderrs = [scorer(gaussian(300, 0.7, random=random), reference, 100, (0, index))[1] for index in range(3)]
    # The spread of 60 values is known to 1/√120 = 9 %, the mean of three bootstraps of 100 to 4 %
    assert np.mean(stderrs) == pytest.approx(np.std(values, ddof=1), rel=0.35)


def test_too_few_images():
    with pytest.raises(BenchError, match="samples.count: expected at least 4 images"):
        fidelity.score(gaussian(3), gaussian(10), ["fid"], 3, (0,))


def test_levels_are_shown_as_bytes():
    images = np.array([0, 8, 16], dtype=np.uint8).reshape(3, 1, 1, 1)
    shown = fidelity._Images(images, 17)
    assert [int(shown[index]) for index in range(len(shown))] == [0, 128, 255]
