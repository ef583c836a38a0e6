"""The hybrid objective: the variance is trained with the mean, and does not disturb its loss."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bench import heads, noise, process, schedule
from bench.experiment import sections
from bench.mean import conversion, train
from bench.mean.model import MeanModel, Trunk
from tests.helpers.models import OPTIONS, SHAPE, make_data

N = 50
MADE = schedule.make("linear", N)
SECTION = sections.MeanSection(
    unet=OPTIONS,
    train={"steps": 40, "batch": 32, "learning_rate": 5e-3, "ema": 0.5, "objective": "hybrid"},
)


def make_batch(data, t, rows=6):
    """A batch at step t whose ε̂ has a gradient."""
    x_0 = torch.from_numpy(data.to_float(data.train[:rows]))
    eps = torch.from_numpy(noise.normal((0, "test"), 0, rows, data.dim))
    x_t = MADE.signal[t] * x_0 + MADE.noise[t] * eps
    eps_hat = (0.9 * eps).requires_grad_()
    steps = torch.full((rows,), t)
    forward = process.make("ddpm", MADE)
    return heads.Batch(x_0, eps, x_t, steps, eps_hat, forward, data, (0, "test"))


def test_the_loss_is_a_thousandth_of_the_bound_in_bits():
    """Its weight decides how much of the network goes to the variance."""
    data, t = make_data(SHAPE), 20
    batch = make_batch(data, t)
    loss = train.bound_loss(batch, torch.full((6, data.dim), -1.0))  # the lower end, σ² = β̃
    # KL of two normals of one variance, by torch
    beta = MADE.skip_beta(t - 1, t)
    beta_tilde = beta * MADE.noise_sq[t - 1] / MADE.noise_sq[t]
    pull = np.sqrt(MADE.alpha_bar[t - 1]) * beta / MADE.noise_sq[t]
    exact, sigma = pull * batch.x_0, np.sqrt(beta_tilde)
    model = (pull * batch.x0_hat).detach()
    divergence = torch.distributions.kl_divergence(
        torch.distributions.Normal(exact, sigma), torch.distributions.Normal(model, sigma)
    )
    expected = 0.001 * N * divergence.mean() / np.log(2)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)


def test_the_bound_sends_no_gradient_into_the_mean():
    """Else the mean would be trained on the bound too, and would be another model."""
    batch = make_batch(make_data(SHAPE), 20)
    output = torch.zeros(6, 64, requires_grad=True)
    train.bound_loss(batch, output).backward()
    assert batch.eps_hat.grad is None
    assert output.grad.abs().min() > 0


def test_the_halves_are_the_network(tmp_path):
    """What is saved as mean and as head gives what the trained network gave."""
    torch.manual_seed(0)
    whole = train.make_unet(OPTIONS, SHAPE, outputs=2).eval()
    mean, state = conversion.halves(whole.state_dict(), 1)
    unet = train.make_unet(OPTIONS, SHAPE)
    unet.load_state_dict(mean)
    model = MeanModel(unet, "epsilon", MADE, SHAPE)
    head = heads.imported(state, Trunk.of(unet))
    x_t, t = torch.from_numpy(noise.normal((0, "x"), 0, 5, 64)), torch.arange(1, 6)
    with torch.no_grad():
        expected = whole(x_t.float().reshape(5, *SHAPE), t - 1, return_dict=False)[0]
        eps_hat, features = model(x_t, t)
        variance = head(features)
    # the same sums of at most 16·9 products in fp32, perhaps in another order
    tolerance = 16 * 9 * 2**-24 * 10
    torch.testing.assert_close(eps_hat.float(), expected[:, 0].flatten(1), rtol=0, atol=tolerance)
    torch.testing.assert_close(variance, expected[:, 1].flatten(1), rtol=0, atol=tolerance)


def test_one_training_gives_mean_and_variance(tmp_path):
    """The variance is better than an untrained one on the mean that was trained with it."""
    data = make_data(SHAPE)
    unet, states, log = train.train(data, MADE, SECTION, (0, "x"), tmp_path / "mean.pt")
    assert log[0].keys() == {"step", "mean", "improved_ddpm"}
    model = MeanModel(unet, "epsilon", MADE, SHAPE)
    head = heads.imported(states["improved_ddpm"], model.trunk)
    trained = untrained = 0.0
    for t in range(2, N + 1, 4):
        batch = make_batch(data, t, rows=50)
        with torch.no_grad():
            eps_hat, features = model(batch.x_t, batch.t)
            batch = replace(batch, eps_hat=eps_hat)
            trained += train.bound_loss(batch, head(features)).item()
            untrained += train.bound_loss(batch, torch.zeros(50, 64)).item()
    assert trained < untrained
