"""The bound of the chain of second order against divergences of torch's normal distributions."""

import itertools

import numpy as np
import torch
from torch.distributions import Normal, kl_divergence

from bench import bound, bound_2m, mixture, noise, process, schedule
from bench.bound import Cell
from bench.denoiser import Denoiser
from bench.mean import oracle
from bench.theory.ground import data_of

MADE = schedule.make("linear", 50)
LAW = mixture.random(("toy",), 3, 2)
STREAM = (0, "toy")
DDPM_2M = process.make("ddpm_2m", MADE)


def exact(test=40):
    data = data_of(LAW, STREAM, test=test)
    return Denoiser(oracle.OracleModel(LAW, MADE), {}, None, data, MADE)


def cell(variant, *steps):
    return Cell("even", variant, len(steps), steps)


def test_terms_are_the_divergences_on_one_path():
    denoiser, steps = exact(), (1, 9, 20, 50)
    found = bound_2m.evaluate(denoiser, DDPM_2M, [cell("beta", *steps)], (0, 40), STREAM)[0]
    x_0 = torch.from_numpy(denoiser.data.test).flatten(1)
    wiener, path = torch.zeros_like(x_0), {}
    for t in range(1, 51):
        increment = MADE.noise_sq[t] / MADE.alpha_bar[t]
        increment -= MADE.noise_sq[t - 1] / MADE.alpha_bar[t - 1]
        z = torch.from_numpy(noise.normal((*STREAM, "path", t), 0, 40, 2))
        wiener += np.sqrt(increment) * z
        path[t] = MADE.signal[t] * (x_0 + wiener)
    x0_hat = {t: denoiser.predict(path[t], t).x0_hat for t in steps}
    last = Normal(MADE.signal[50] * x_0, torch.full_like(x_0, MADE.noise[50]))
    expected = kl_divergence(last, Normal(torch.zeros_like(x_0), torch.ones_like(x_0))).sum(1)
    for s, t in itertools.pairwise(steps):
        data = x0_hat[t]
        if t < 50:
            u = {20: 50, 9: 20}[t]
            of_s, of_t, of_u = (np.log(MADE.signal[n] / MADE.noise[n]) for n in (s, t, u))
            data = data + (data - x0_hat[u]) * (of_s - of_t) / (2 * (of_t - of_u))
        scale = np.sqrt(DDPM_2M.lambda_sq(s, t))
        q = Normal(DDPM_2M.mean(s, t, path[t], x_0, None), torch.full_like(x_0, scale))
        sigma = np.sqrt(MADE.skip_beta(s, t))
        p = Normal(DDPM_2M.mean(s, t, path[t], data, None), torch.full_like(x_0, sigma))
        expected += kl_divergence(q, p).sum(1)
    sigma = np.sqrt(MADE.skip_beta(0, 1))
    expected -= Normal(x0_hat[1], torch.full_like(x_0, sigma)).log_prob(x_0).sum(1)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-9)


def test_a_cell_does_not_depend_on_others_or_on_the_batch():
    cells = [cell("beta", 1, 9, 20, 50), cell("jacobian", 1, 20, 50), cell("beta", 1, 5, 9, 50)]
    together = bound_2m.evaluate(exact(), DDPM_2M, cells, (0, 40), STREAM)
    for row, alone in enumerate(cells):
        assert (
            bound_2m.evaluate(exact(), DDPM_2M, [alone], (0, 40), STREAM)[0] == together[row]
        ).all()
    small = bound_2m.evaluate(exact(), DDPM_2M, cells, (0, 40), STREAM, batch=7)
    np.testing.assert_allclose(small, together, rtol=1e-9)


def test_with_two_steps_it_is_the_bound_of_ddpm():
    """Nothing is extrapolated there. Both are means over 4000 images of the same quantity."""
    denoiser, cells = exact(4000), [cell("beta", 1, 50)]
    second = bound_2m.evaluate(denoiser, DDPM_2M, cells, (0, 4000), STREAM)[0]
    ddpm = process.make("ddpm", MADE)
    first = bound.evaluate(denoiser, ddpm, cells, 4000, STREAM).total[0]
    stderr = (second - first).std() / 4000**0.5
    assert abs(second.mean() - first.mean()) < 4 * stderr


def test_no_extrapolation_is_better_than_a_perfect_mean():
    """E‖x_0 − D‖² ≥ E‖x_0 − E[x_0 | x_t]‖², and σ² is the same."""
    denoiser, cells = exact(4000), [cell("beta", *range(1, 51, 7))]
    second = bound_2m.evaluate(denoiser, DDPM_2M, cells, (0, 4000), STREAM)[0]
    first = bound.evaluate(denoiser, process.make("ddpm", MADE), cells, 4000, STREAM).total[0]
    assert (second - first).mean() > 4 * (second - first).std() / 4000**0.5


def test_one_pass_for_each_image_and_step(monkeypatch):
    passes, predict = [], Denoiser.predict

    def counted(self, x_t, t, variants):
        passes.append((t, len(x_t)))
        return predict(self, x_t, t, variants)

    monkeypatch.setattr(Denoiser, "predict", counted)
    cells = [cell("beta", 1, 9, 50), cell("beta_tilde", 1, 9, 20, 50), cell("jacobian", 1, 50)]
    bound_2m.evaluate(exact(), DDPM_2M, cells, (0, 40), STREAM)
    assert passes == [(t, 40) for t in (1, 9, 20, 50)]
