"""Sampling against cases whose outcome is known: one training point, and a Gaussian with its exact model."""

import numpy as np
import pytest
import torch

from bench import process, sampler, schedule, trajectory

MADE = schedule.make("linear", 50)
STEPS = trajectory.even(50, 10)


class PointModel:
    """The exact ε̂ when the data are a single image: ε = (x_t − a x_0)/b."""

    def __init__(self, x_0):
        self.x_0, self.rows = x_0, 0

    def __call__(self, x_t, t):
        self.rows += len(x_t)
        t = int(t[0])
        return (x_t - MADE.signal[t] * self.x_0) / MADE.noise[t], None


@pytest.mark.parametrize("name, variant", [("ddpm", "beta"), ("ddpm", "beta_tilde"), ("ddim", "zero")])
def test_a_single_data_point_is_recovered(data, name, variant):
    model = PointModel(torch.from_numpy(data.to_float(data.train[:1])))
    images = sampler.sample(model, {}, None, data, process.make(name, MADE), variant, STEPS, 0, 5, 1.0, (0, "test"))
    assert (images == data.train[:1]).all() and model.rows == 5 * len(STEPS)


def test_images_do_not_depend_on_batch_or_shard(data, linear_model):
    def draw(first, count, batch):
        return sampler.sample(linear_model, {}, None, data, process.make("ddpm", MADE), "beta", STEPS, first, count, 1.0,
                              (0, "test"), batch=batch)

    whole = draw(0, 20, 64)
    assert (draw(0, 20, 1) == whole).all() and (draw(0, 20, 7) == whole).all()
    assert (np.concatenate([draw(0, 6, 64), draw(6, 7, 64), draw(13, 7, 64)]) == whole).all()


def test_variants_share_start_and_noise(data, linear_model):
    """σ² = λ² for both, so the images of `beta_tilde` and of ddim with η = 1 differ by clipping alone."""
    ddpm = sampler.sample(linear_model, {}, None, data, process.make("ddpm", MADE), "beta_tilde", STEPS, 0, 10, 1.0, (0, "x"))
    ddim = sampler.sample(linear_model, {}, None, data, process.make("ddim", MADE, 1.0), "zero", STEPS, 0, 10, 1.0, (0, "x"))
    assert np.corrcoef(ddpm.ravel(), ddim.ravel())[0, 1] > 0.9


def test_the_step_to_the_first_is_clipped(data):
    """Landing on τ_1 the noise has the threshold's variance; elsewhere the variant's."""
    class Silent:
        def __call__(self, x_t, t):
            return 0 * x_t, None

    forward = process.make("ddpm", MADE)
    threshold = sampler.clip_threshold(0.01, data.levels)
    assert forward.schedule.skip_beta(1, 6) > 100 * threshold
    x = torch.zeros(400, data.dim, dtype=torch.float64)
    inputs = (Silent(), {}, None, data, forward, sampler.covariance.get("beta"))
    landed = sampler._step(x, 1, 6, *inputs, 1, 0.01, 0, (0, "t"))
    free = sampler._step(x, 6, 12, *inputs, 1, 0.01, 0, (0, "t"))
    tolerance = 4 * np.sqrt(2 / x.numel())
    assert landed.var().item() == pytest.approx(threshold, rel=tolerance)
    assert free.var().item() == pytest.approx(MADE.skip_beta(6, 12), rel=tolerance)
