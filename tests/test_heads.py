"""Heads: they start at zero, share one pass of the trunk, and regress their targets."""

import numpy as np
import pytest
import torch

from bench import covariance, heads, mixture, moments, process, schedule, terms, training
from bench.covariance import jump
from bench.data.dataset import Data
from bench.experiment import sections
from bench.mean import oracle, train
from bench.mean.model import MeanModel
from bench.runtime.errors import BenchError
from tests.helpers.models import OPTIONS, SHAPE, make_data

MADE = schedule.make("linear", 10)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return MeanModel(train.make_unet(OPTIONS, SHAPE), "epsilon", MADE, SHAPE)


def test_a_head_for_vectors_starts_at_zero():
    law = mixture.random(("toy",), 3, 4)
    model = oracle.OracleModel(law, MADE)
    made = heads.make({"npr": "mlp"}, model)
    _, features = model(torch.randn(2, 4, dtype=torch.float64), torch.tensor([1, 10]))
    assert torch.equal(heads.outputs(made, features)["npr"], torch.zeros(2, 4, dtype=torch.float64))


@pytest.mark.parametrize("mode, tensors", [("simple", 4), ("complex", 14)])
def test_heads_start_at_zero(model, mode, tensors):
    made = heads.make({"npr": mode}, model)
    _, features = model(torch.randn(2, 64, dtype=torch.float64), torch.tensor([1, 10]))
    out = heads.outputs(made, features)["npr"]
    assert out.shape == (2, 64) and out.dtype == torch.float64 and (out == 0).all()
    assert len(made.state_dict()) == tensors


def test_targets():
    """The losses vanish at (ε − ε̂)² and at ε²."""
    eps, eps_hat = torch.tensor([[2.0]]), torch.tensor([[0.5]])
    x_t, t, forward = torch.zeros(1, 1), torch.tensor([1]), process.make("ddpm", MADE)
    batch = heads.Batch(x_t, eps, x_t, t, eps_hat, forward, make_data(SHAPE), ("test",))
    npr, sn = covariance.get("npr"), covariance.get("sn")
    assert npr.loss(batch, torch.tensor([[2.25]])) == 0 and npr.loss(batch, eps) > 0
    assert sn.loss(batch, torch.tensor([[4.0]])) == 0 and sn.loss(batch, eps) > 0


def test_training_makes_one_pass_a_step_and_regresses_the_mean(model, tmp_path):
    """Of an untrained trunk the best constant is E[target]: 1 for ε², and 1 + E[ε̂²] − 2 E[ε ε̂]
    for (ε − ε̂)².
    """
    data = make_data(SHAPE)
    passes = []
    counted = lambda x_t, t: (passes.append(len(x_t)), model(x_t, t))[1]
    counted.trunk, counted.device, counted.shape = model.trunk, model.device, model.shape
    section = sections.HeadsSection(
        targets={"npr": "simple", "sn": "complex"},
        train=sections.TrainSection(steps=150, batch=32, learning_rate=1e-2, ema=0.9),
    )
    trained, log = heads.train(counted, data, MADE, section, (0, "test"), tmp_path / "h.pt")
    assert passes == [32] * 150
    x_t, t, eps, _ = training.draw(data, MADE, ("fresh",), 0, 512)
    eps_hat, features = model(x_t, t)
    out = heads.outputs(trained, features)
    assert out["sn"].mean().item() == pytest.approx(1, abs=0.1)
    assert out["npr"].mean().item() == pytest.approx(((eps - eps_hat) ** 2).mean().item(), rel=0.1)

    heads.save(trained, log, tmp_path / "heads")
    loaded = heads.load(tmp_path / "heads", model, ["sn"])
    assert list(loaded) == ["sn"] and (heads.outputs(loaded, features)["sn"] == out["sn"]).all()
    assert heads.load(tmp_path / "heads", model, []) == {}
    (tmp_path / "heads" / "heads.json").write_text('{"targets": {"npr": "simple"}}')
    with pytest.raises(BenchError, match="holds no head 'sn'"):
        heads.load(tmp_path / "heads", model, ["sn"])


@pytest.mark.parametrize("mode", ["simple", "complex"])
@pytest.mark.parametrize("name", ["npr", "kdct"])
def test_an_imported_head_is_the_one_that_came(model, name, mode):
    """Whether it gives a number for each coordinate or some of the image as a whole."""
    made = heads.make({name: mode}, model)
    for weights in made.parameters():
        torch.nn.init.normal_(weights)
    model.heads = {name: made[name].state_dict()}
    section = sections.HeadsSection(targets={name: "imported"})
    found, log = heads.train(model, None, None, section, (0, "test"), None)
    _, features = model(torch.randn(2, 64, dtype=torch.float64), torch.tensor([1, 10]))
    expected = heads.outputs(made, features)[name]
    assert log == [] and torch.equal(heads.outputs(found, features)[name], expected)


@pytest.mark.parametrize(
    "name, other, fault",
    [
        ("kdct", "npr", "head of mode simple: found .1,. for conv.bias, expected nothing"),
        ("npr", "kdct", "head of mode simple: found nothing for conv.bias, expected .1,."),
    ],
)
def test_an_imported_head_of_another_variant(model, name, other, fault):
    model.heads = {name: heads.make({other: "simple"}, model)[other].state_dict()}
    expected = (
        f"heads.targets.{name}: imported, but what came with the mean model does not fit: {fault}"
        f"; expected a mean model whose {name} does, or a mode to train it in: simple, complex$"
    )
    with pytest.raises(BenchError, match=expected):
        heads.with_trunk(model, name)


@pytest.fixture
def line():
    """One Gaussian on the line with its exact mean: the posterior variance is a number at every t,
    the best σ² too.
    """
    law = mixture.random(("line",), 1, 1)
    points = law.draw(("line",), 4000).numpy()[:, :, None, None]
    data = Data("line", points, points[:10], None, None, None, "", law)
    return data, oracle.OracleModel(law, MADE)


def test_improved_ddpm_finds_the_variance_of_least_bound(line, tmp_path):
    """With the exact mean the expected KL is least at σ² = λ² + γ² Var[x_0 | x_t], here known and
    inside [β̃, β].
    """
    data, model = line
    names, forward = (0, "line"), process.make("ddpm", MADE)
    with torch.inference_mode():
        known = moments.estimate(model, data, MADE, 2000, names)
    section = sections.HeadsSection(
        targets={"improved_ddpm": "mlp"},
        train=sections.TrainSection(steps=500, batch=256, learning_rate=5e-3, warmup=20, ema=0.99),
    )
    trained, _ = heads.train(model, data, MADE, section, names, tmp_path / "h.pt", moments=known)
    variant = covariance.get("improved_ddpm")
    for t in (2, 4, 7, 10):
        x_t = (
            torch.from_numpy(MADE.signal[t] * data.to_float(data.train[:200]))
            + MADE.noise[t] * torch.randn(200, 1).double()
        )
        _, features = model(x_t, torch.full((200,), t))
        output = heads.outputs(dict(trained.items()), features)["improved_ddpm"]
        seen = covariance.Seen(t, MADE, head=output)
        found = variant.reverse_variance(forward, t - 1, seen).mean().item()
        exact = model.oracle.conditional(x_t[:1], t)[1].item()
        best = forward.lambda_sq(t - 1, t) + forward.gamma(t - 1, t) ** 2 * exact
        assert forward.lambda_sq(t - 1, t) < best < MADE.skip_beta(t - 1, t)
        assert found == pytest.approx(best, rel=0.05)


@pytest.mark.parametrize("t", [1, 2, 9])
def test_bound_terms_are_those_of_the_bound(data, t):
    """Row by row with the variance of each row, against the terms with one step for all; at t = 1 a
    discretised Gaussian.
    """
    forward, variant = process.make("ddpm", MADE), covariance.get("improved_ddpm")
    x_0 = torch.from_numpy(data.to_float(data.train[:6]))
    eps_hat = 0.3 * torch.randn(6, data.dim, dtype=torch.float64)
    x_t = MADE.signal[t] * x_0 + MADE.noise[t] * torch.randn(6, data.dim, dtype=torch.float64)
    output = torch.randn(6, data.dim)
    steps = torch.tensor([t, 1, t, 5, t, 10])
    eps = torch.zeros_like(x_0)
    batch = heads.Batch(x_0, eps, x_t, steps, eps_hat, forward, data, ("test",))
    found = variant.loss(batch, output)[steps == t]
    x0_hat = ((x_t - MADE.noise[t] * eps_hat) / MADE.signal[t]).clamp(-1, 1)
    seen = covariance.Seen(t, MADE, head=output.double())
    sigma_sq = variant.reverse_variance(forward, t - 1, seen)
    expected = (
        terms.middle_term(forward, t - 1, t, sigma_sq, (x_0 - x0_hat) ** 2)
        if t > 1
        else terms.last_term(data, x_0, x0_hat, sigma_sq.sqrt())
    )
    torch.testing.assert_close(found, expected[steps == t], rtol=1e-9, atol=1e-12)


@pytest.fixture
def batch(data):
    """A batch of the steps 1 to 10 with an ε̂ that knows nothing."""
    rng = np.random.default_rng(0)
    t = torch.arange(1, 11)
    x_0 = torch.from_numpy(data.to_float(data.train[:10]))
    eps, eps_hat = (torch.from_numpy(rng.normal(size=(10, data.dim))) for _ in range(2))
    a, b = (torch.from_numpy(part)[t][:, None] for part in (MADE.signal, MADE.noise))
    forward = process.make("ddpm", MADE)
    return heads.Batch(x_0, eps, a * x_0 + b * eps, t, eps_hat, forward, data, ("test", 3))


def test_nll_is_the_likelihood_of_the_noise(batch):
    """By torch's normal distribution, up to ½ ln 2π a coordinate."""
    variant, output = covariance.get("nll"), torch.randn(10, batch.data.dim).double()
    g = variant.spectrum(covariance.Seen(4, MADE, head=output))
    law = torch.distributions.Normal(batch.eps_hat, g.sqrt())
    expected = -law.log_prob(batch.eps).sum(1) - batch.data.dim * 0.5 * np.log(2 * np.pi)
    torch.testing.assert_close(variant.loss(batch, output), expected, rtol=1e-12, atol=1e-12)


def test_jump_is_the_divergence_of_the_jump_that_was_drawn(batch):
    """By torch's divergence of normal distributions, for the σ² that the sampler would take."""
    variant, output = covariance.get("jump"), torch.randn(10, batch.data.dim).double()
    found, steps = variant.loss(batch, output), jump.jumps(np.arange(1, 11), 10, batch.names)
    assert steps[0] == 0 and found[0] == 0
    for row, (s, t) in enumerate(zip(steps[1:], range(2, 11), strict=True), start=1):
        seen = covariance.Seen(t, MADE, batch.data.radius, head=output[row : row + 1])
        sigma_sq = variant.reverse_variance(batch.process, int(s), seen)[0]
        error = batch.process.gamma(s, t) * (batch.x_0 - batch.x0_hat)[row]
        scale = np.sqrt(batch.process.lambda_sq(s, t))
        q = torch.distributions.Normal(error, torch.full_like(error, scale))
        p = torch.distributions.Normal(torch.zeros_like(error), sigma_sq.sqrt())
        expected = torch.distributions.kl_divergence(q, p).sum()
        torch.testing.assert_close(found[row], expected, rtol=1e-9, atol=1e-12)


def test_jumps_have_every_length_and_stay_in_the_chain():
    t = np.full(4000, 900)
    lengths = 900 - jump.jumps(t, 1000, ("test",))
    expected = {round(999 / (K - 1)) for K in (5, 10, 25, 50, 100, 200, 400, 1000)}
    assert set(lengths) == expected
    counts = np.bincount(lengths)[sorted(expected)]  # 500 each, with a deviation of 21
    assert (abs(counts - 500) < 5 * 21).all()
    steps = np.arange(1, 1001)
    found = jump.jumps(steps, 1000, ("test",))
    assert found[0] == 0 and (found[1:] >= 1).all() and (found < steps).all()


def test_a_head_for_one_number_of_steps_is_trained_on_its_jumps(batch):
    """With K = N all jumps are single steps; the loss is Ho et al. 2020's term L_{t−1}."""
    variant, output = covariance.get("jump_at-10"), torch.randn(10, batch.data.dim).double()
    single = jump.jumps(np.arange(1, 11), 10, batch.names, (10,))
    assert (single == np.arange(10)).all()
    terms = variant.loss(batch, output)
    error = (batch.x_0 - batch.x0_hat) ** 2
    for t in range(2, 11):
        seen = covariance.Seen(t, MADE, batch.data.radius, head=output[t - 1 : t])
        sigma_sq = variant.reverse_variance(batch.process, t - 1, seen)
        ratio = batch.process.lambda_sq(t - 1, t) / sigma_sq
        mean = batch.process.gamma(t - 1, t) ** 2 * error[t - 1] / sigma_sq
        expected = 0.5 * (ratio - 1 - ratio.log() + mean).sum()
        torch.testing.assert_close(terms[t - 1], expected, rtol=1e-9, atol=1e-12)
    with pytest.raises(BenchError, match="expected a number of steps from 2"):
        covariance.get("jump_at-1")


def test_steps_are_drawn_by_their_share_of_the_bound():
    """Half uniform, half as the terms. 1/(N p) keeps expectations and is at most 2."""
    forward, error = process.make("ddpm", MADE), np.full(11, 0.2)
    found = heads.importance(forward, error, 3)
    assert found.sum() == pytest.approx(1) and (1 / (10 * found) <= 2 + 1e-12).all()
    term = [
        terms.middle_term(
            forward,
            s,
            s + 1,
            torch.tensor([[np.sqrt(MADE.skip_beta(s, s + 1) * MADE.beta_tilde(s, s + 1))]]),
            torch.full((1, 3), 0.2, dtype=torch.float64),
        ).item()
        for s in (1, 2)
    ]
    assert (found[1] - 0.05) / (found[2] - 0.05) == pytest.approx(term[0] / term[1])
