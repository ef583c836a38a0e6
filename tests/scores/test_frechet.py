"""The Fréchet distance against scipy, torch-fidelity and clean-fid; resamples one by one."""

import numpy as np
import pytest
from scipy import linalg

from bench.runtime import imports
from bench.scores import frechet


def features(count, dim, shift=0.0, seed=0):
    """Correlated, and not negative, as those of a network are; float32."""
    random = np.random.default_rng(seed)
    mixed = (
        random.normal(size=(count, dim))
        @ np.random.default_rng(99).normal(size=(dim, dim))
        / dim**0.5
    )
    return np.maximum(mixed + 0.3 + shift, 0).astype(np.float32)


def statistics(rows):
    return rows.astype(np.float64).mean(0), np.cov(rows.astype(np.float64), rowvar=False)


def by_scipy(rows, reference):
    (mu, sigma), (nu, tau) = statistics(rows), statistics(reference)
    return ((mu - nu) ** 2).sum() + np.trace(sigma + tau - 2 * linalg.sqrtm(sigma @ tau).real)


def by_torch_fidelity(rows, reference):
    imports.declare_torchvision()
    from torch_fidelity.metric_fid import fid_statistics_to_metric

    one, other = (
        dict(zip(("mu", "sigma"), statistics(each), strict=True)) for each in (rows, reference)
    )
    return fid_statistics_to_metric(one, other, False)["frechet_inception_distance"]


def by_clean_fid(rows, reference):
    imports.declare_torchvision()
    from cleanfid.fid import frechet_distance

    return frechet_distance(*statistics(rows), *statistics(reference))


@pytest.mark.parametrize("count", [30, 64, 65, 300])
@pytest.mark.parametrize("others", [by_scipy, by_torch_fidelity, by_clean_fid])
def test_all_agree(others, count):
    """With fewer images than the 64 features too, where Σ is singular."""
    rows, reference = features(count, 64, 0.1), features(500, 64, seed=1)
    assert frechet.Distances(rows, frechet.fitted(reference))() == pytest.approx(
        others(rows, reference), rel=1e-4
    )


@pytest.mark.parametrize("count", [20, 90])
def test_resamples_are_those_images(count):
    rows, gaussian = features(count, 32, 0.1), frechet.fitted(features(100, 32, seed=1))
    found = frechet.bootstrap(frechet.Distances(rows, gaussian), 5, np.random.default_rng(7))
    random = np.random.default_rng(7)
    expected = [
        frechet.Distances(rows[random.integers(count, size=count)], gaussian)() for _ in range(5)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_known_gaussians():
    """m² + (S − 1)² for N(0, S²) and N(m, 1) in each coordinate; 0 of a set from itself."""
    exact = (
        np.array([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]]) * 3**0.5 / 2
    )  # mean 0, covariance the unit matrix
    gaussian = frechet.Gaussian(np.array([3.0, 0.0]), np.diag([1.0, 4.0]))
    assert frechet.Distances(exact, gaussian)() == pytest.approx(9 + 0 + 1)
    assert frechet.Distances(exact, frechet.fitted(exact))() == pytest.approx(0, abs=1e-12)


def test_covariance_in_parts(monkeypatch):
    rows = features(50, 6)
    monkeypatch.setattr(frechet, "PART", 7)
    mean, covariance = statistics(rows)
    np.testing.assert_allclose(frechet.fitted(rows).mean, mean, rtol=1e-12)
    np.testing.assert_allclose(frechet.fitted(rows).covariance, covariance, rtol=1e-10, atol=1e-14)
