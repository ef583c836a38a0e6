"""Sampling against cases whose outcome is known: one training point, and a Gaussian with its exact
model.
"""

import numpy as np
import pytest
import torch

from bench import mixture, noise, process, sampler, schedule, trajectory
from bench.denoiser import Denoiser
from bench.mean import oracle
from bench.runtime import imports
from bench.theory.ground import data_of

MADE = schedule.make("linear", 50)
STEPS = trajectory.even(50, 10)


def denoiser(model, data):
    return Denoiser(model, {}, None, data, MADE)


class PointModel:
    """The exact ε̂ when the data are a single image: ε = (x_t − a x_0)/b."""

    device = torch.device("cpu")

    def __init__(self, x_0):
        self.x_0, self.rows = x_0, 0

    def __call__(self, x_t, t):
        self.rows += len(x_t)
        t = int(t[0])
        return (x_t - MADE.signal[t] * self.x_0) / MADE.noise[t], None


@pytest.mark.parametrize(
    "name, variant",
    [
        ("ddpm", "beta"),
        ("ddpm", "beta_tilde"),
        ("ddim", "zero"),
        ("ddpm_2m", "beta_tilde"),
        ("ddim_2m", "zero"),
    ],
)
def test_a_single_data_point_is_recovered(data, name, variant):
    model = PointModel(torch.from_numpy(data.to_float(data.train[:1])))
    images = sampler.sample(
        denoiser(model, data), process.make(name, MADE), variant, STEPS, 0, 5, 1.0, (0, "test")
    )
    assert (images == data.train[:1]).all() and model.rows == 5 * len(STEPS)


def test_images_do_not_depend_on_batch_or_shard(data, linear_model):
    def draw(first, count, batch):
        return sampler.sample(
            denoiser(linear_model, data),
            process.make("ddpm", MADE),
            "beta",
            STEPS,
            first,
            count,
            1.0,
            (0, "test"),
            batch=batch,
        )

    whole = draw(0, 20, 64)
    assert (draw(0, 20, 1) == whole).all() and (draw(0, 20, 7) == whole).all()
    assert (np.concatenate([draw(0, 6, 64), draw(6, 7, 64), draw(13, 7, 64)]) == whole).all()


def test_variants_share_start_and_noise(data, linear_model):
    """σ² = λ² for both, so the images of `beta_tilde` and of ddim with η = 1 differ by clipping
    alone.
    """
    ours = denoiser(linear_model, data)
    ddpm = sampler.sample(
        ours, process.make("ddpm", MADE), "beta_tilde", STEPS, 0, 10, 1.0, (0, "x")
    )
    ddim = sampler.sample(
        ours, process.make("ddim", MADE, 1.0), "zero", STEPS, 0, 10, 1.0, (0, "x")
    )
    assert np.corrcoef(ddpm.ravel(), ddim.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("limit", [np.inf, 1e-3])
def test_a_step_has_the_mean_and_variance_asked_for(data, linear_model, limit):
    forward = process.make("ddpm", MADE)
    x_t = torch.full((2000, data.dim), 0.3, dtype=torch.float64)
    eps = torch.from_numpy(noise.normal((0, "t"), 0, 2000, data.dim))
    x_s = sampler.step(
        denoiser(linear_model, data).predict(x_t, 12), x_t, 6, forward, "beta", limit, eps
    )
    variance = min(MADE.skip_beta(6, 12), limit)
    x0_hat = (0.3 - MADE.noise[12] * 0.15) / MADE.signal[12]
    mean = forward.gamma(6, 12) * x0_hat + forward.carry(6, 12) / MADE.noise[12] * 0.3
    assert x_s.mean().item() == pytest.approx(mean, abs=4 * np.sqrt(variance / eps.numel()))
    assert x_s.var().item() == pytest.approx(variance, rel=4 * np.sqrt(2 / eps.numel()))


@pytest.mark.parametrize(
    "clip_levels, limit",
    [(1.5, pytest.approx((1.5 * 2 / 255) ** 2 * np.pi / 2, rel=1e-14)), (None, np.inf)],
)
def test_the_step_that_lands_on_the_first_is_clipped(
    data, linear_model, monkeypatch, clip_levels, limit
):
    """Every other step is free; the threshold is in 255ths, though the data have 17 levels."""
    seen = []

    def step(prediction, x_t, s, process, variant, limit, eps, before):
        seen.append((s, limit))
        return x_t

    monkeypatch.setattr(sampler, "step", step)
    sampler.sample(
        denoiser(linear_model, data),
        process.make("ddpm", MADE),
        "beta",
        [1, 20, 50],
        0,
        2,
        clip_levels,
        (0, "t"),
    )
    assert seen == [(20, np.inf), (1, limit), (0, np.inf)]


@pytest.mark.parametrize(
    "name, variant, algorithm",
    [("ddpm_2m", "beta_tilde", "sde-dpmsolver++"), ("ddim_2m", "zero", "dpmsolver++")],
)
def test_second_order_steps_are_those_of_dpm_solver(name, variant, algorithm):
    """diffusers' multistep solver on the same steps, noise and exact mean. It computes in float32,
    whose rounding is 6e-8 a step of numbers below 10.
    """
    imports.declare_torchvision()
    from diffusers import DPMSolverMultistepScheduler

    law, made = mixture.random(("toy",), 3, 2), schedule.make("linear", 1000)
    model, data = oracle.OracleModel(law, made), data_of(law, (0, "toy"), test=10)
    steps = trajectory.even(1000, 12)
    ours = sampler.sample(
        Denoiser(model, {}, None, data, made),
        process.make(name, made),
        variant,
        steps,
        0,
        20,
        None,
        (0, "toy"),
    )
    theirs = DPMSolverMultistepScheduler(
        num_train_timesteps=1000, trained_betas=made.beta[1:], algorithm_type=algorithm
    )
    theirs.set_timesteps(timesteps=[t - 1 for t in reversed(steps)])
    x = torch.from_numpy(noise.normal((0, "toy", "samples", "start"), 0, 20, 2))
    for timestep in theirs.timesteps:
        t = int(timestep) + 1
        eps_hat, _ = model(x, torch.full((20,), t))
        eps = torch.from_numpy(noise.normal((0, "toy", "samples", t), 0, 20, 2))
        x = theirs.step(eps_hat, timestep, x, variance_noise=eps).prev_sample
    np.testing.assert_allclose(ours.reshape(20, 2), x.numpy(), atol=2e-4)
