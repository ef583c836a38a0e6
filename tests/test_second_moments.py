"""Second moments against those of the draws themselves, by numpy and scipy."""

import numpy as np
import pytest
from scipy.fft import dctn
from scipy.stats import multivariate_normal

from bench import second_moments
from bench.runtime.errors import BenchError

SHAPE, DIM = (3, 4, 2), 24
NAMES = (0, "test")


def draws(count, seed=0, dim=DIM):
    """(ε, ε̂): ε̂ is a linear function of ε plus noise, the same for every seed."""
    mixing = np.random.default_rng(9).normal(size=(dim, dim)) / dim**0.5
    rng = np.random.default_rng(seed)
    eps = rng.normal(size=(count, dim))
    return eps, eps @ mixing + 0.1 * rng.normal(size=(count, dim))


def measured(wanted, eps, eps_hat, slope=0.0, batch=7, shape=SHAPE):
    """The moments `wanted` of draws that come in batches."""
    found = {}
    for group in second_moments.sums(wanted, shape, NAMES):
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
        ("error_rungs", (4,)),
    ],
)
def test_shapes_are_those_of_the_results(name, shape):
    eps, eps_hat = draws(20)
    assert second_moments.shape_of(name, SHAPE) == shape
    assert measured([name], eps, eps_hat)[name].shape == shape


def test_numbers_at_a_step():
    names = ["error_sq", "error_matrix", "error_values-7"]
    assert second_moments.numbers(names, SHAPE) == DIM + DIM**2 + 8


NAMELESS = ["error_matrices", "eps_vectors-3", "error_vectors", "eps_dct-3"]


@pytest.mark.parametrize("name", [*NAMELESS, "eps_rungs", "error_rungs-3"])
def test_a_name_that_means_nothing(name):
    with pytest.raises(BenchError, match="expected eps or error"):
        second_moments.parse(name)


def test_a_matrix_of_large_images_is_refused():
    with pytest.raises(BenchError, match=r"3072 × 3072 numbers .* mle_rank-16"):
        second_moments.shape_of("error_matrix", (3, 32, 32))


@pytest.mark.parametrize("rank", [0, 24])
def test_a_rank_that_means_nothing(rank):
    with pytest.raises(BenchError, match=f"from 1 to 23, found {rank}"):
        second_moments.check(f"error_values-{rank}", SHAPE)


@pytest.mark.parametrize("dim, count", [(16, 1), (20, 3), (27, 3)])
def test_few_draws_of_few_coordinates_have_their_own_eigenvalues(dim, count):
    """As many random vectors as coordinates would be nearly dependent."""
    for seed in range(20):
        error = np.random.default_rng(seed).normal(size=(count, dim))
        shape, names = (dim, 1, 1), ["error_vectors-15", "error_values-15"]
        values = measured(names, error, 0 * error, shape=shape)["error_values-15"]
        expected = np.linalg.eigvalsh(error @ error.T / count)[::-1]
        np.testing.assert_allclose(values[:count], expected, rtol=1e-9)
        np.testing.assert_allclose(values[count:], 0, atol=1e-9)


def of_rungs(error, shape):
    """The covariance that each rung estimates from draws of ε − ε̂, written out as a matrix."""
    dim, second = error.shape[1], error.T @ error / len(error)
    channels = error.reshape(len(error), shape[0], -1)
    colours = np.linalg.eigh(np.einsum("ncf,ndf->cd", channels, channels))[1]
    units = np.eye(dim).reshape(dim, *shape)
    turned = np.einsum("ck,ichw->ikhw", colours, units)
    frame = dctn(turned, axes=(2, 3), norm="ortho").reshape(dim, dim)
    spectrum = ((error @ frame) ** 2).mean(axis=0)
    values, vectors = np.linalg.eigh(second)
    values[:-16] = values[:-16].mean()
    return [
        np.eye(dim) * np.trace(second) / dim,
        np.diag(np.diag(second)),
        frame @ np.diag(spectrum) @ frame.T,
        vectors @ np.diag(values) @ vectors.T,
    ]


def likelihoods(error, held, shape):
    """Minus the mean log-likelihood of `held` by each rung, a coordinate, without ½ ln 2π."""
    dim, found = error.shape[1], []
    for v in of_rungs(error, shape):
        log_prob = multivariate_normal(np.zeros(dim), v).logpdf(held)
        found.append(-log_prob.mean() / dim - np.log(2 * np.pi) / 2)
    return np.array(found)


@pytest.mark.parametrize("shape, count", [(SHAPE, 101), ((3, 4, 4), 45)])
def test_rungs_are_scored_by_the_likelihood_of_held_out_draws(shape, count):
    """The score of the low rank is exact, as a half has no more draws or coordinates than the
    sketch has columns.
    """
    eps, eps_hat = draws(count, dim=np.prod(shape))
    error = eps - eps_hat
    one, other = error[::2], error[1::2]
    expected = (likelihoods(one, other, shape) + likelihoods(other, one, shape)) / 2
    found = measured(["error_rungs"], eps, eps_hat, shape=shape)["error_rungs"]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_the_score_of_the_low_rank_is_near_that_of_the_draws_and_not_too_good():
    """Of more draws and coordinates than the sketch has columns."""
    shape, dim = (1, 8, 8), 64
    spread = np.append(np.full(16, 3.0), np.ones(dim - 16))
    error = np.random.default_rng(4).normal(size=(1000, dim)) * spread
    one, other = error[::2], error[1::2]
    exact = (likelihoods(one, other, shape) + likelihoods(other, one, shape)) / 2
    found = measured(["error_rungs"], error, 0 * error, shape=shape)["error_rungs"]
    assert exact[3] < found[3] < exact[0]


@pytest.mark.parametrize("count", [2, 16, 45])
def test_scores_of_rungs_do_not_depend_on_the_batches(count):
    """Batches of an odd number of draws, and of one."""
    eps, eps_hat = draws(count)
    whole, *parts = [
        measured(["error_rungs"], eps, eps_hat, batch=batch)["error_rungs"][:3]
        for batch in (count, 7, 1)
    ]
    for part in parts:
        np.testing.assert_allclose(part, whole, rtol=1e-9)


def test_a_rung_without_variance_has_an_infinite_score():
    """A coordinate that has no error in the draws may have one in an image."""
    eps, eps_hat = draws(60)
    eps_hat[:, 0] = eps[:, 0]
    scalar, diagonal, in_dct, low_rank = measured(["error_rungs"], eps, eps_hat)["error_rungs"]
    assert diagonal == np.inf and np.isfinite([scalar, in_dct, low_rank]).all()


def test_one_draw_gives_no_score():
    found = measured(["error_rungs"], *draws(1))["error_rungs"]
    np.testing.assert_array_equal(found, np.full(4, np.inf))


def test_images_without_room_for_the_low_rank_have_no_score_of_it():
    shape, (eps, eps_hat) = (16, 1, 1), draws(10, dim=16)
    for name, expected in {"error_vectors-16": (16, 0), "error_rungs": (3,)}.items():
        assert second_moments.shape_of(name, shape) == expected
        assert measured([name], eps, eps_hat, shape=shape)[name].shape == expected
