"""The covariance from derivatives, against the mixture's own and against autograd."""

import itertools

import numpy as np
import pytest
import torch

from bench import bound, covariance, mixture, process, sampler, schedule, trajectory
from bench.covariance import jacobian as jacobians
from bench.covariance.jacobian import LARGEST
from bench.denoiser import Denoiser
from bench.jacobian import Jacobian, differentiate
from bench.mean import train
from bench.mean.model import Features, MeanModel
from bench.mean.oracle import OracleModel
from bench.plan import passes
from bench.runtime.errors import BenchError
from bench.theory.ground import data_of
from tests.helpers.models import OPTIONS, SHAPE, LinearModel, make_data

MADE, DIM = schedule.make("linear", 20), 6
LAW = mixture.random(("toy",), 3, DIM)


def at(t, batch=5):
    """(v as a `Jacobian`, x_t) of the exact mean of a mixture."""
    model = OracleModel(LAW, MADE)
    generator = torch.Generator().manual_seed(t)
    eps = torch.randn(batch, DIM, generator=generator, dtype=torch.float64)
    x_t = MADE.signal[t] * LAW.draw(("toy", t), batch) + MADE.noise[t] * eps
    _, _, jacobian = differentiate(model, x_t, torch.full((batch,), t), MADE.noise[t])
    return jacobian, x_t


@pytest.mark.parametrize("t", [1, 5, 20])
def test_at_perfect_mean_it_is_the_covariance_of_the_noise(t):
    """Cov[ε | x_t] = (a_t²/b_t²) Cov[x_0 | x_t], in closed form for a mixture. Its relative error
    is that of the differences x_t − a_t E[x_0 | x_t] over b_t: 1e-16/b_t² ≤ 1e-10.
    """
    jacobian, x_t = at(t)
    _, of_x_0 = OracleModel(LAW, MADE).oracle.conditional(x_t, t)
    expected = MADE.alpha_bar[t] / MADE.noise_sq[t] * of_x_0
    frame = jacobian.eigen
    rebuilt = frame.vectors @ torch.diag_embed(frame.values) @ frame.vectors.mT
    torch.testing.assert_close(rebuilt, expected, rtol=0, atol=1e-10)
    z = torch.randn(5, DIM, dtype=torch.float64)
    product = (expected @ z[:, :, None])[:, :, 0]
    torch.testing.assert_close(jacobian.times(z), product, rtol=0, atol=1e-10)


def test_of_a_network_it_is_autograds(tmp_path):
    """Row by row, by the whole matrix. The network computes in fp32."""
    torch.manual_seed(0)
    model = MeanModel(train.make_unet(OPTIONS, SHAPE), "epsilon", MADE, SHAPE)
    torch.nn.init.normal_(model.unet.conv_out.weight, std=0.1)
    x_t, t = torch.randn(2, 64, dtype=torch.float64), torch.tensor([3, 17])
    noise = torch.from_numpy(MADE.noise)[t][:, None]
    z = torch.randn(2, 64, dtype=torch.float64)
    whole = torch.autograd.functional.jacobian(lambda x: model(x, t)[0], x_t)
    slopes = torch.stack([z[row] @ whole[row, :, row] for row in range(2)])
    with torch.inference_mode():
        eps_hat, features, jacobian = differentiate(model, x_t + 0.0, t, noise)
        torch.testing.assert_close(jacobian.times(z), z - noise * slopes, rtol=0, atol=1e-4)
        expected = model(x_t, t)
    assert torch.equal(eps_hat, expected[0]) and torch.equal(features.hidden, expected[1].hidden)


def exact_root(jacobian, z):
    """(1 + v)^½ z by the eigenvectors of v."""
    frame = jacobian.eigen
    return frame.colour((1 + frame.values).sqrt(), z)


def test_lanczos_with_a_product_for_each_coordinate_is_exact():
    jacobian, _ = at(5)
    z = torch.randn(5, DIM, dtype=torch.float64)
    frame = jacobian.krylov(z, DIM)
    found = frame.colour((1 + frame.values).sqrt(), z)
    torch.testing.assert_close(found, exact_root(jacobian, z), rtol=0, atol=1e-9)


def test_lanczos_comes_nearer_with_every_product():
    jacobian, _ = at(5, batch=200)
    z = torch.randn(200, DIM, dtype=torch.float64)
    exact, errors = exact_root(jacobian, z), []
    for products in range(1, DIM + 1):
        frame = jacobian.krylov(z, products)
        errors.append((frame.colour((1 + frame.values).sqrt(), z) - exact).norm().item())
    assert errors == sorted(errors, reverse=True) and errors[2] < 0.1 * errors[0]


def test_lanczos_where_v_is_a_multiple_of_the_identity():
    """One product finds all; what follows has no direction left and must not be NaN."""
    x_t = torch.randn(3, DIM, dtype=torch.float64, requires_grad=True)
    jacobian = Jacobian(x_t, 0.5 * x_t, 1.0)
    z = torch.randn(3, DIM, dtype=torch.float64)
    frame = jacobian.krylov(z, 3)
    found = frame.colour((1 + frame.values).sqrt(), z)
    torch.testing.assert_close(found, 1.5**0.5 * z, rtol=1e-12, atol=0)


@pytest.mark.parametrize("components", [1, 2])
def test_lanczos_samples_where_v_is_a_multiple_of_the_identity(components):
    """At the last of 10 steps x_t is noise alone. The range of vectors has no end."""
    chain, law = schedule.make("linear", 10), mixture.random(("toy",), components, 2)
    data = data_of(law, (0, "toy"), test=10)
    denoiser = Denoiser(OracleModel(law, chain), {}, None, data, chain)
    steps = trajectory.even(10, 5)
    found, exact = (
        sampler.sample(denoiser, process.make("ddpm", chain), name, steps, 0, 64, None, (0, "toy"))
        for name in ("lanczos-2", "jacobian")
    )
    np.testing.assert_allclose(found, exact, atol=1e-6)


def test_a_matrix_of_large_images_is_refused():
    x_t = torch.zeros(1, LARGEST + 1, dtype=torch.float64)
    with pytest.raises(BenchError, match=r"each of 785 coordinates; expected at most 784"):
        _ = Jacobian(x_t, x_t, 1.0).eigen


@pytest.fixture
def products(monkeypatch):
    """A list that grows by one with every product."""
    made, times = [], Jacobian.times

    def counted(jacobian, z):
        made.append(len(z))
        return times(jacobian, z)

    monkeypatch.setattr(Jacobian, "times", counted)
    return made


def exact():
    """The exact mean of the mixture."""
    law_data = data_of(LAW, (0, "toy"), test=10)
    return Denoiser(OracleModel(LAW, MADE), {}, None, law_data, MADE)


@pytest.mark.parametrize("name, expected", [("jacobian", DIM), ("lanczos-3", 3), ("tmpd", 1)])
def test_evaluations_of_a_sample_are_those_that_are_made(name, expected, products):
    """Four steps, of which the last takes no variance."""
    variant, ddpm = covariance.get(name), process.make("ddpm", MADE)
    sampler.sample(exact(), ddpm, name, [1, 7, 14, 20], 0, 3, None, (0, "toy"))
    assert len(products) == 3 * expected and variant.products(DIM) == expected
    assert variant.network_evaluations(4, DIM) == 4 + 3 * expected * covariance.PRODUCT


def test_products_of_the_bound_are_those_that_are_made(products):
    """The matrix is made once a step for all variants that read it."""
    ddpm = process.make("ddpm", MADE)
    names = [("jacobian", 4), ("lanczos-3", 4), ("lanczos-3", 3), ("beta", 20)]
    names += [("tmpd", 3), ("tmpd", 2)]  # two jumps from 20, to 1 and to 10
    cells = [
        bound.Cell("even", name, K, tuple(trajectory.fixed("even", 20, K))) for name, K in names
    ]
    bound.evaluate(exact(), ddpm, cells, 2, (0, "toy"))
    planned = passes.bound_products(20, DIM, None, [(name, "even", K) for name, K in names])
    # 4 steps: 1, 7, 14, 20; 3 steps: 1, 10, 20
    assert len(products) == planned == 5 * DIM + 3
    with_levels = passes.bound_products(20, DIM, 256, [(name, "even", K) for name, K in names])
    assert with_levels == 4 * DIM + 2  # the step 1 is that of the last term alone


class WithFeatures(LinearModel):
    def __call__(self, x_t, t):
        eps_hat, _ = super().__call__(x_t, t)
        return eps_hat, Features(x_t[:, :, None, None], x_t)


def test_the_last_term_of_levels_takes_no_products(products):
    data = make_data()
    denoiser = Denoiser(WithFeatures(), {}, None, data, MADE)
    cells = [bound.Cell("even", "tmpd", 3, (1, 10, 20))]
    bound.evaluate(denoiser, process.make("ddpm", MADE), cells, 4, (0, "toy"))
    planned = passes.bound_products(20, data.dim, data.levels, [("tmpd", "even", 3)])
    assert denoiser.model.rows == 4 * 3 and len(products) == planned == 2


def test_tmpd_is_the_row_sums():
    jacobian, x_t = at(5)
    frame = jacobian.eigen
    rows = (frame.vectors @ torch.diag_embed(frame.values) @ frame.vectors.mT).sum(2)
    seen = covariance.Seen(5, MADE, eps_hat=x_t, jacobian=jacobian)
    np.testing.assert_allclose(covariance.get("tmpd").spectrum(seen), rows, atol=1e-10)


def test_quadrature_is_exact_over_all_signs():
    """Its quadratic forms are those of v, and its sizes count the eigenvalues of v, if there is a
    product for each coordinate and every vector of signs is a probe.
    """
    jacobian, _ = at(10, batch=1)
    exact = jacobian.eigen
    error = torch.randn(1, DIM, dtype=torch.float64)
    log_determinants, quadratic = [], []
    for signs in itertools.product([-1.0, 1.0], repeat=DIM):
        frame = jacobian.quadrature(error, torch.tensor([signs], dtype=torch.float64), DIM)
        log_determinants.append((frame.sizes * (1 + frame.values).log()).sum())
        quadratic.append((frame.energies(error) / (1 + frame.values)).sum())
    expected = (1 + exact.values).log().sum()
    torch.testing.assert_close(torch.stack(log_determinants).mean(), expected, rtol=1e-9, atol=0)
    expected = (exact.energies(error) / (1 + exact.values)).sum()
    for found in quadratic:
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=0)


def test_the_bound_of_large_images_is_that_of_the_whole_matrix(monkeypatch):
    """By quadrature with half as many products as coordinates, within the error of the probes."""
    law = mixture.random(("large",), 3, 16)
    data = data_of(law, (0, "large"), test=400)
    denoiser = Denoiser(OracleModel(law, MADE), {}, None, data, MADE)
    cells = [
        bound.Cell("even", name, K, tuple(trajectory.even(20, K)))
        for name in ("jacobian", "lanczos-1")
        for K in (2, 5)
    ]
    forward = process.make("ddpm", MADE)
    exact = bound.evaluate(denoiser, forward, cells[:2], 400, (0, "large")).total
    monkeypatch.setattr(jacobians, "LARGEST", 15)
    monkeypatch.setattr(jacobians, "QUADRATURE", 8)
    found = bound.evaluate(denoiser, forward, cells[2:], 400, (0, "large")).total
    difference = found - exact
    stderr = difference.std(axis=1, ddof=1) / 400**0.5
    assert (np.abs(difference.mean(axis=1)) < 4 * stderr).all()
    assert covariance.get("lanczos-1").products(16, in_bound=True) == 16


def test_quadrature_does_not_depend_on_the_batch(monkeypatch):
    """Each image has signs of its own."""
    monkeypatch.setattr(jacobians, "LARGEST", DIM - 1)
    monkeypatch.setattr(jacobians, "QUADRATURE", 2)
    data = data_of(LAW, (0, "toy"), test=10)
    denoiser = Denoiser(OracleModel(LAW, MADE), {}, None, data, MADE)
    cells = [bound.Cell("even", "lanczos-1", 5, tuple(trajectory.even(20, 5)))]
    forward = process.make("ddpm", MADE)
    whole, parts = (
        bound.evaluate(denoiser, forward, cells, 10, (0, "toy"), batch=batch).total
        for batch in (10, 3)
    )
    np.testing.assert_allclose(parts, whole, rtol=1e-9)
