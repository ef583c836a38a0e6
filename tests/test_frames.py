"""Frames against matrices written out, scipy's DCT and torch's distributions."""

import numpy as np
import pytest
import torch
from scipy.fft import dctn
from torch.distributions import MultivariateNormal, kl_divergence

from bench import process, schedule, terms
from bench.frames import PIXEL, Dct, Eigen, principal

SHAPE = (3, 4, 2)
DIM = 24
# A sum of 24 products of numbers of order 1, some of them of 24 more: below 1e3 roundings.
ROUNDING = 1e3 * np.finfo(float).eps


def rotation(n, seed=0):
    """A random orthonormal matrix."""
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))[0]


def normals(*shape, seed=1):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def with_rest(k):
    """The frame of k vectors in `DIM` dimensions and of all other directions."""
    return Eigen(rotation(DIM)[:, :k], np.arange(1.0, k + 2))


def for_each_image(k):
    vectors = np.stack([rotation(DIM, seed)[:, :k] for seed in range(5)])
    groups = k + (k < DIM)
    return Eigen(torch.from_numpy(vectors), torch.ones(5, groups, dtype=torch.float64))


FRAMES = {
    "pixel": PIXEL,
    "dct": Dct(SHAPE, rotation(3)),
    "dct for each image": Dct(
        SHAPE, torch.from_numpy(np.stack([rotation(3, seed) for seed in range(5)]))
    ),
    "eigen": Eigen(rotation(DIM), np.arange(1.0, DIM + 1)),
    "largest": with_rest(5),
    "for each image": for_each_image(DIM),
    "largest for each image": for_each_image(5),
}


def matrices(frame):
    """F diag(scale) Fᵀ of each of 5 images as a matrix, and scale, positive and of each group."""
    groups = frame.energies(normals(5, DIM)).shape[1]
    scale = normals(5, groups, seed=3) ** 2 + 0.1
    columns = [frame.colour(scale, unit.expand(5, DIM)) for unit in torch.eye(DIM).double()]
    return torch.stack(columns, dim=2), scale


def test_the_dct_frame_is_scipys_dct_of_rotated_channels():
    frame, x = FRAMES["dct"], normals(5, DIM).numpy()
    rotated = np.einsum("kc,nkhw->nchw", frame.rotation, x.reshape(5, *SHAPE))
    expected = dctn(rotated, axes=(2, 3), norm="ortho").reshape(5, DIM)
    np.testing.assert_allclose(frame.transform(x), expected, atol=ROUNDING)
    np.testing.assert_allclose(frame.transform(torch.from_numpy(x)), expected, atol=ROUNDING)
    np.testing.assert_allclose(frame.back(frame.transform(x)), x, atol=ROUNDING)


@pytest.mark.parametrize("name", FRAMES)
def test_constant_scale_gives_the_noise_of_a_scalar(name):
    frame, z = FRAMES[name], normals(5, DIM)
    scale = torch.full((1, frame.energies(z).shape[1]), 0.3, dtype=torch.float64)
    np.testing.assert_allclose(frame.colour(scale, z), 0.3 * z, atol=ROUNDING)


@pytest.mark.parametrize("name", FRAMES)
def test_the_root_is_symmetric_and_its_square_has_the_quadratic_form_and_determinant(name):
    frame, x = FRAMES[name], normals(5, DIM, seed=2)
    root, scale = matrices(frame)
    np.testing.assert_allclose(root, root.mT, atol=ROUNDING)
    solved = torch.linalg.solve(root, x[:, :, None])[:, :, 0]  # x' (F scale² F')⁻¹ x = ‖solved‖²
    np.testing.assert_allclose(
        (frame.energies(x) / scale**2).sum(1), (solved**2).sum(1), rtol=100 * ROUNDING
    )
    log_det = (torch.as_tensor(frame.sizes) * scale.log()).expand(5, -1).sum(1)
    np.testing.assert_allclose(log_det, torch.linalg.slogdet(root)[1], atol=100 * ROUNDING)


@pytest.mark.parametrize(
    "name", ["dct", "dct for each image", "eigen", "largest", "for each image"]
)
def test_the_cap_is_the_largest_variance_of_bounded_data(name):
    """Along f the variance of data in [−1, 1] is largest for x = ± sign(f): ‖f‖_1²."""
    frame = FRAMES[name]
    caps = np.broadcast_to(np.asarray(frame.caps), (5, np.shape(frame.caps)[-1]))
    units = torch.eye(caps.shape[1]).double()
    if name == "largest":
        units = units[:-1]  # the last group has more than one direction
    for group, unit in enumerate(units):
        projector = torch.stack(
            [frame.colour(unit.expand(5, -1), e.expand(5, DIM)) for e in torch.eye(DIM).double()], 2
        )
        # The projector is f fᵀ, and Σ|f_i f_j| = ‖f‖_1².
        np.testing.assert_allclose(projector.abs().sum((1, 2)), caps[:, group], rtol=ROUNDING)


def test_the_cap_of_all_other_directions_is_reached_by_corners():
    """Independent signs have the variance 1 everywhere, E‖x‖² = d; of correlated ones the rest of a
    frame has at most all of it.
    """
    frame = with_rest(5)
    assert frame.caps[-1] == pytest.approx(DIM / (DIM - 5))
    corners = torch.sign(normals(2000, DIM))
    rest = frame.energies(corners)[:, -1] / (DIM - 5)
    assert rest.max() <= frame.caps[-1] + ROUNDING


@pytest.mark.parametrize("name", FRAMES)
def test_the_term_of_the_bound_is_the_divergence_of_full_gaussians(name):
    frame, forward = FRAMES[name], process.make("ddpm", schedule.make("linear", 50))
    s, t = 10, 20
    root, scale = matrices(frame)
    error, lambda_sq = normals(5, DIM, seed=4), forward.lambda_sq(s, t)
    q = MultivariateNormal(forward.gamma(s, t) * error, lambda_sq * torch.eye(DIM).double())
    p = MultivariateNormal(torch.zeros(DIM).double(), root @ root.mT)
    term = terms.middle_term(forward, s, t, scale**2, frame.energies(error), frame.sizes)
    np.testing.assert_allclose(term, kl_divergence(q, p), rtol=1e4 * ROUNDING)


def test_the_last_term_is_the_density_of_a_full_gaussian():
    frame, linear = FRAMES["largest"], schedule.make("linear", 50)
    root, scale = matrices(frame)
    error = normals(5, DIM, seed=4)
    law = MultivariateNormal(torch.zeros(DIM).double(), root @ root.mT)
    term = terms.last_term_continuous(linear, scale**2, frame.energies(error), frame.sizes)
    np.testing.assert_allclose(term, -law.log_prob(error), rtol=1e4 * ROUNDING)


def test_principal_vectors_are_those_of_the_matrix():
    root = np.random.default_rng(5).normal(size=(DIM, DIM))
    matrix = root @ root.T
    frame = principal(matrix)
    rebuilt = frame.vectors @ np.diag(frame.values) @ frame.vectors.T
    np.testing.assert_allclose(rebuilt, matrix, atol=100 * ROUNDING)
