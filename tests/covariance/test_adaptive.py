"""The structure that is chosen, for draws whose covariance is known."""

import numpy as np
import pytest
import torch

from bench import covariance, moments, schedule, second_moments
from bench.frames import Dct
from bench.mean.oracle import OracleModel
from bench.theory.case import SEVERAL
from bench.theory.ground import data_of

MADE, SHAPE, DIM = schedule.make("linear", 20), (3, 4, 4), 48
ADAPTIVE = covariance.get("adaptive")
SPREAD = np.linspace(0.2, 2.0, DIM)
FRAME = Dct(SHAPE, np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0])
VECTORS = np.linalg.qr(np.random.default_rng(2).normal(size=(DIM, 5)))[0]


def isotropic(z):
    return 0.3 * z


def in_pixels(z):
    return np.random.default_rng(3).permutation(SPREAD) * z


def in_dct(z):
    return FRAME.back(SPREAD * z)


def of_low_rank(z):
    return z + 5 * (z @ VECTORS) @ VECTORS.T


def seen(variant, error):
    """What draws of ε − ε̂ at step 7 say to a variant."""
    of_draws = {"error_sq_mean": (error**2).mean(), "error_sq": (error**2).mean(axis=0)}
    wanted = filter(second_moments.is_one, ADAPTIVE.moments)
    for group in second_moments.sums(wanted, SHAPE, (0, "test")):
        group.add(error, 0 * error)
        of_draws |= group.results(len(error), 0.0)
    arrays = {name: np.stack([value] * 8) for name, value in of_draws.items()}
    at = covariance.MomentsAt(arrays, 7, ADAPTIVE)
    return covariance.Seen(7, MADE, moments=at, shape=SHAPE).framed(variant)


def matrix(variant, error):
    """v = F diag(w) Fᵀ."""
    at = seen(variant, error)
    spectrum = torch.as_tensor(variant.spectrum(at))[None]
    return at.frame.colour(spectrum, torch.eye(DIM, dtype=torch.float64)).numpy()


@pytest.mark.parametrize(
    "made, draws, name",
    [
        (isotropic, 20, "mle_scalar"),
        (isotropic, 2000, "mle_scalar"),
        (in_pixels, 2000, "mle_diagonal"),
        (in_dct, 2000, "mle_dct"),
        (of_low_rank, 2000, "mle_rank-16"),
        (of_low_rank, 1, "mle_scalar"),
    ],
)
def test_the_structure_of_the_draws_is_chosen(made, draws, name, registry):
    """And it is estimated from all of them, as that variant is."""
    error = made(np.random.default_rng(0).normal(size=(draws, DIM)))
    expected = matrix(covariance.get(name), error)
    np.testing.assert_array_equal(matrix(ADAPTIVE, error), expected)


def test_the_simplest_of_equals():
    arrays = {"error_rungs": np.ones((8, 4)), "error_sq_mean": np.full(8, 0.3)}
    at = covariance.MomentsAt(arrays, 7, ADAPTIVE)
    assert ADAPTIVE.spectrum(covariance.Seen(7, MADE, moments=at, shape=SHAPE)) == 0.3


def test_draws_that_end_early_make_the_same_choice_in_any_batch():
    """Images of two coordinates, which have no low rank."""
    data = data_of(SEVERAL, (0, "early"), test=10)
    model = OracleModel(SEVERAL, MADE, 0.3)
    structures = [name for name in ADAPTIVE.moments if second_moments.is_one(name)]
    some, others = (
        moments.estimate(model, data, MADE, 100, (0, "early"), batch, 0.1, structures=structures)
        for batch in (5, 512)
    )
    assert 16 <= some["draws"][1:].min() < some["draws"].max() <= 100
    np.testing.assert_array_equal(some["draws"], others["draws"])
    assert some["error_rungs"].shape == (21, 3) and np.isfinite(some["error_rungs"][1:]).all()
    np.testing.assert_allclose(some["error_rungs"], others["error_rungs"], rtol=1e-6)
