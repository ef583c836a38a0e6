"""Distances from a known law against closed forms."""

import numpy as np
import pytest
import torch

from bench import mixture, scores
from bench.mixture import Mixture
from bench.scores import frechet
from bench.scores.reference import Reference
from bench.scores.samples import Samples

LAW = mixture.random(("law",), 3, 2)
ROUND = Mixture.of(np.ones(1), np.zeros((1, 2)), np.eye(2)[None])
SHIFT = np.array([0.6, -0.8])  # of length 1
NAMES = ("sliced_wasserstein", "mean_error", "covariance_error", "mmd_sq")


def score(name, points, law, resamples=20):
    reference = Reference(frechet.fitted(points))  # is not read
    return scores.get(name).compute(Samples(points, None, reference, resamples, (0, "law"), law))


def draws(law, count=20000, names=("draws",)):
    return law.draw(names, count).numpy()


@pytest.mark.parametrize(
    "name, expected",
    [
        # E (θᵀδ)² = |δ|²/d
        ("sliced_wasserstein", 0.5**0.5),
        ("mean_error", 1.0),
        # h² = d = 2: 2 (1 + 2/h²)^(−d/2) (1 − exp(−|δ|²/(2 (2 + h²))))
        ("mmd_sq", 1 - np.exp(-1 / 8)),
    ],
)
def test_a_shifted_gaussian(name, expected):
    value, stderr = score(name, draws(ROUND) + SHIFT, ROUND)
    # 50 directions: a mean of cos² of them is known to √(1/8/50) = 0.05, its root to 0.035
    of_directions = 0.035 if name == "sliced_wasserstein" else 0.0
    assert stderr < 0.02 and abs(value - expected) < 5 * stderr + 4 * of_directions


def test_a_scaled_gaussian():
    """‖(1.5² − 1) I‖/‖I‖, and W_2 of N(0, 1.5²) and N(0, 1) is 0.5 along every line."""
    points = 1.5 * draws(ROUND)
    for name, expected in (("covariance_error", 1.25), ("sliced_wasserstein", 0.5)):
        value, stderr = score(name, points, ROUND)
        assert stderr < 0.05 and abs(value - expected) < 5 * stderr


@pytest.mark.parametrize("name", NAMES)
def test_of_the_law_itself_noise_is_left(name):
    """It falls as 1/√n, that of the unbiased one is around 0 at once."""
    few, many = (score(name, draws(LAW, count), LAW) for count in (2000, 50000))
    if name == "mmd_sq":
        assert abs(many[0]) < 4 * many[1]
    else:
        assert many[0] < few[0] and many[0] < 5 * many[1]


@pytest.mark.parametrize("name", NAMES)
def test_standard_errors_are_the_spread_over_fresh_samples(name):
    shifted = [draws(LAW, 4000, ("draws", index)) + SHIFT for index in range(30)]
    values = [score(name, points, LAW, 2)[0] for points in shifted]
    stderr = np.mean([score(name, points, LAW, 40)[1] for points in shifted[:3]])
    # The spread of 30 values is known to 13 %, the mean of three of 40 replicates to 6 %, that of
    # three of 4 blocks to 24 %.
    assert stderr == pytest.approx(np.std(values, ddof=1), rel=0.8)


def test_the_expectations_of_mmd_are_those_of_many_draws():
    from bench.scores.mmd import _expected

    law, point = LAW.arrays(), np.array([[0.3, -1.2]])
    found = _expected(law["weights"], law["means"], law["covariances"], point, 3.0)[0]
    away = torch.from_numpy(draws(LAW, 200000) - point)
    kernel = torch.exp(-away.square().sum(1) / 6.0)
    assert found == pytest.approx(kernel.mean().item(), abs=5 * kernel.std().item() / 200000**0.5)
