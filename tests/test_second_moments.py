"""Second moments against those of the draws themselves, by numpy and scipy."""

import numpy as np
import pytest
from scipy.fft import dctn

from bench import second_moments
from bench.runtime.errors import BenchError

SHAPE, DIM = (3, 4, 2), 24
NAMES = (0, "test")


def draws(count, seed=0):
    """(ε, ε̂): ε̂ is a linear function of ε plus noise, the same for every seed."""
    mixing = np.random.default_rng(9).normal(size=(DIM, DIM)) / DIM**0.5
    rng = np.random.default_rng(seed)
    eps = rng.normal(size=(count, DIM))
    return eps, eps @ mixing + 0.1 * rng.normal(size=(count, DIM))


def measured(wanted, eps, eps_hat, slope=0.0, batch=7):
    """The moments `wanted` of draws that come in batches."""
    found = {}
    for group in second_moments.sums(wanted, SHAPE, NAMES):
        for first in range(0, len(eps), batch):
            group.add(eps[first : first + batch], eps_hat[first : first + batch])
        found |= group.results(len(eps), slope)
    return found


def test_matrices_are_those_of_the_draws():
    eps, eps_hat = draws(50)
    found = measured(["error_matrix", "eps_matrix"], eps, eps_hat)
    error = eps - eps_hat
    np.testing.assert_allclose(found["error_matrix"], error.T @ error / 50, atol=1e-13)
    np.testing.assert_allclose(found["eps_matrix"], eps_hat.T @ eps_hat / 50, atol=1e-13)


def test_the_dct_spectrum_is_that_of_rotated_channels():
    eps, eps_hat = draws(50)
    found = measured(["error_dct", "error_colours"], eps, eps_hat)
    error, rotation = (eps - eps_hat).reshape(-1, *SHAPE), found["error_colours"]
    channels = np.einsum("nchw,ndhw->cd", error, error)
    rotated = np.einsum("ck,cd,dl->kl", rotation, channels, rotation)
    off_diagonal = rotated - np.diag(np.diag(rotated))
    assert np.abs(off_diagonal).max() < 1e-12 * np.trace(rotated)
    turned = np.einsum("ck,nchw->nkhw", rotation, error)
    expected = (dctn(turned, axes=(2, 3), norm="ortho") ** 2).mean(axis=0).reshape(-1)
    np.testing.assert_allclose(found["error_dct"], expected, atol=1e-13)


def test_the_control_variate_leaves_the_expectation_and_lowers_the_spread():
    """Where ε̂ = ε, E[ε̂ε̂ᵀ] is I, and with the coefficient 1 every set of draws says so."""
    eps, _ = draws(30)
    found = measured(["eps_matrix", "eps_dct"], eps, eps, slope=1.0)
    np.testing.assert_allclose(found["eps_matrix"], np.eye(DIM), atol=1e-13)
    np.testing.assert_allclose(found["eps_dct"], np.ones(DIM), atol=1e-13)


def test_the_largest_are_exact_where_the_matrix_has_their_rank():
    """A sketch of R + 10 columns loses nothing of a matrix of rank 3."""
    rng = np.random.default_rng(3)
    factors = rng.normal(size=(3, DIM))
    error = rng.normal(size=(200, 3)) @ factors
    found = measured(["error_vectors-3", "error_values-3"], error, np.zeros_like(error))
    values, vectors = np.linalg.eigh(error.T @ error / 200)
    np.testing.assert_allclose(found["error_values-3"][:3], values[::-1][:3], rtol=1e-6)
    assert found["error_values-3"][3] < 1e-6 * values[-1]
    kept = found["error_vectors-3"]
    np.testing.assert_allclose(kept.T @ kept, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(np.abs(np.diag(kept.T @ vectors[:, ::-1][:, :3])), 1, rtol=1e-6)


def test_the_largest_and_the_rest_have_the_trace_of_the_matrix():
    eps, eps_hat = draws(100)
    found = measured(["error_values-5"], eps, eps_hat)["error_values-5"]
    error = eps - eps_hat
    total = found[:5].sum() + (DIM - 5) * found[5]
    assert total == pytest.approx((error**2).sum() / 100, rel=1e-12)
    # Nyström never exceeds the eigenvalues, and a sketch of 15 of 24 columns is near them.
    values = np.linalg.eigvalsh(error.T @ error / 100)[::-1][:5]
    assert (found[:5] <= values * (1 + 1e-9)).all()
    assert found[0] > 0.8 * values[0]


@pytest.mark.parametrize(
    "name, shape",
    [
        ("error_matrix", (DIM, DIM)),
        ("eps_dct", (DIM,)),
        ("eps_colours", (3, 3)),
        ("error_vectors-7", (DIM, 7)),
        ("error_values-7", (8,)),
    ],
)
def test_shapes_are_those_of_the_results(name, shape):
    eps, eps_hat = draws(20)
    assert second_moments.shape_of(name, SHAPE) == shape
    assert measured([name], eps, eps_hat)[name].shape == shape


def test_numbers_at_a_step():
    names = ["error_sq", "error_matrix", "error_values-7"]
    assert second_moments.numbers(names, SHAPE) == DIM + DIM**2 + 8


@pytest.mark.parametrize("name", ["error_matrices", "eps_vectors-3", "error_vectors", "eps_dct-3"])
def test_a_name_that_means_nothing(name):
    with pytest.raises(BenchError, match="expected eps or error"):
        second_moments.parse(name)


def test_a_matrix_of_large_images_is_refused():
    with pytest.raises(BenchError, match=r"3072 × 3072 numbers .* mle_rank-16"):
        second_moments.shape_of("error_matrix", (3, 32, 32))


@pytest.mark.parametrize("rank", [0, 24])
def test_a_rank_that_means_nothing(rank):
    with pytest.raises(BenchError, match=f"from 1 to 23, found {rank}"):
        second_moments.shape_of(f"error_values-{rank}", SHAPE)
