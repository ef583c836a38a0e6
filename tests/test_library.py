"""The benchmark from Python, on Gaussian data, where bound and samples are known."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import bench
from bench import schedule
from bench.runtime import imports
from bench.runtime.errors import BenchError
from tests.helpers.models import OPTIONS

N = 100
CHAIN = schedule.make("linear", N)
SHAPE, DIM, WIDTH = (3, 1, 1), 3, 0.7


def exact_for(width):
    """E[ε | x_t] of data from N(0, width² I), as a function of images and timesteps."""

    def predict_noise(images, timestep):
        a, b = (torch.from_numpy(one)[timestep + 1] for one in (CHAIN.signal, CHAIN.noise))
        return (b / ((a * width) ** 2 + b**2))[:, None, None, None] * images

    return predict_noise


exact = exact_for(WIDTH)


def gaussian(count, seed, width=WIDTH):
    return width * np.random.default_rng(seed).normal(size=(count, *SHAPE))


@pytest.fixture(scope="module")
def of_gaussian():
    variants = ["beta", "analytic_scalar", "analytic_diagonal"]
    options = {"levels": None, "schedule": CHAIN, "draws": 300}
    return bench.prepare(exact, gaussian(2000, 0), variants, **options)


@pytest.mark.parametrize("K", [1, 5, N])
def test_the_bound_is_the_entropy_if_mean_and_variance_are_exact(of_gaussian, K):
    """Then every reverse step is the true posterior, and what is left is KL(q(x_N) ‖ N(0, I))."""
    table = bench.evaluate_bound(of_gaussian, ["analytic_scalar"], K, gaussian(4000, 1))
    last = CHAIN.alpha_bar[N if K > 1 else 1] * (WIDTH**2 - 1)
    prior = DIM * 0.5 * (last - np.log1p(last))
    entropy = DIM * 0.5 * np.log(2 * np.pi * np.e * WIDTH**2)
    # The variance is estimated from 300 draws a step: v to 1/√(300 · 3 / 2) at worst, which costs
    # its square a step and coordinate.
    slack = K * DIM / (300 * DIM / 2)
    assert table["mean"].item() == pytest.approx(
        entropy + prior, abs=4 * table["stderr"].item() + slack
    )


def test_samples_have_the_variance_of_the_data(of_gaussian):
    samples = bench.draw_samples(of_gaussian, "analytic_diagonal", 20, 4000)
    assert samples.shape == (4000, *SHAPE) and samples.dtype == np.float64
    # The last step returns the mean: the variance lacks that of x_0 given x_1.
    kept = WIDTH**2 - CHAIN.noise_sq[1] * WIDTH**2 / (
        CHAIN.alpha_bar[1] * WIDTH**2 + CHAIN.noise_sq[1]
    )
    # x_N is drawn from N(0, I), and not from q(x_N).
    slack = 2 * CHAIN.alpha_bar[N] + 4 * np.sqrt(2 / samples.size)
    assert samples.var() == pytest.approx(kept, rel=slack)


def test_variances_lie_where_the_posterior_is(of_gaussian):
    """σ² of the exact v is λ² + γ² Var[x_0 | x_t], between the bounds that the rows state."""
    rows = bench.measure_variances(of_gaussian, ["beta", "analytic_scalar"], 10)
    assert list(rows.variant.unique()) == ["beta", "analytic_scalar"] and len(rows) == 18
    of_variant = rows[rows.variant == "analytic_scalar"]
    assert (of_variant.sigma_sq >= of_variant.lower).all()
    t = of_variant.t.to_numpy()
    v = (CHAIN.alpha_bar * WIDTH**2 / (CHAIN.alpha_bar * WIDTH**2 + CHAIN.noise_sq))[t]
    np.testing.assert_allclose(of_variant.v, v, atol=4 / np.sqrt(300 * DIM / 2))


def make_unet():
    torch.manual_seed(0)
    return imports.unet_2d()(sample_size=8, in_channels=1, out_channels=1, **OPTIONS)


@pytest.fixture
def digits():
    random = np.random.default_rng(0)
    return random.integers(0, 17, size=(40, 1, 8, 8)).astype(np.uint8)


def test_a_unet_and_a_function_that_calls_it_are_the_same(digits):
    unet, variants = make_unet().eval(), ["beta", "mle_dct"]
    bounds = []
    for network in (unet, lambda x, t: unet(x.float(), t)):
        denoiser = bench.prepare(network, digits, variants, levels=17, N=20, draws=10)
        bounds.append(bench.evaluate_bound(denoiser, variants, 5, digits))
    np.testing.assert_allclose(bounds[0]["mean"], bounds[1]["mean"], rtol=1e-5)


def test_a_learned_variant_and_its_pipeline(digits):
    denoiser = bench.prepare(make_unet(), digits, ["npr"], levels=17, N=20, head_steps=5)
    assert np.isfinite(bench.evaluate_bound(denoiser, ["npr"], 5, digits)["mean"].item())
    assert bench.draw_samples(denoiser, "npr", 5, 3).max() <= 16
    pipeline = bench.make_pipeline(denoiser, "npr", 5)
    pipeline.set_progress_bar_config(disable=True)
    assert len(pipeline(batch_size=3, num_inference_steps=5).images) == 3


def test_a_network_of_another_precision_is_an_error_of_one_line(digits):
    with pytest.raises(BenchError, match="a UNet2DModel in float32, found torch.float64"):
        bench.prepare(make_unet().double(), digits, ["beta"], levels=17, N=20, draws=2)


def test_an_optimal_trajectory_is_better_where_the_variance_is_wrong():
    """β is the posterior variance of white noise. These data are nearly a point."""
    images, options = gaussian(500, 1, 0.1), {"levels": None, "schedule": CHAIN, "draws": 50}
    denoiser = bench.prepare(exact_for(0.1), images, ["beta"], **options)
    even, optimal = (
        bench.evaluate_bound(denoiser, ["beta"], 5, images, trajectory=kind)["mean"].item()
        for kind in ("even", "optimal")
    )
    assert optimal < even - 0.1


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda made, x: bench.prepare(exact, x, ["betta"], levels=None),
            "unknown variant 'betta'",
        ),
        (
            lambda made, x: bench.prepare(exact, x, ["beta"]),
            "images: expected uint8 .*found float64",
        ),
        (
            lambda made, x: bench.prepare(exact, x[0], ["beta"], levels=None),
            "images: expected float .n, channels, height, width.* found float64 .3, 1, 1.",
        ),
        (
            lambda made, x: bench.prepare(lambda x, t: x[:, :1], x, ["beta"], levels=None),
            "network: expected a tensor .*as its images, found .*1, 1, 1",
        ),
        (
            lambda made, x: bench.prepare(exact, x, ["npr"], levels=None, N=N),
            "variants: npr is learned from the features of a network; expected a UNet2DModel",
        ),
        (
            lambda made, x: bench.draw_samples(made, "mle_dct", 5, 1),
            "variant 'mle_dct': expected it among the variants of `prepare`",
        ),
        (
            lambda made, x: bench.evaluate_bound(
                made, ["analytic_diagonal"], 5, x, trajectory="optimal"
            ),
            "trajectory optimal: analytic_diagonal has none",
        ),
        (
            lambda made, x: bench.draw_samples(made, "beta", 5, 1, process="ddim"),
            "variant 'beta' is not defined for process 'ddim'",
        ),
        (lambda made, x: bench.draw_samples(made, "beta", N + 1, 1), "expected 1 ≤ K ≤ N = 100"),
        (lambda made, x: bench.draw_samples(made, "beta", 5, 0), "count: expected at least 1"),
        (lambda made, x: bench.draw_samples(made, "beta", 5, 1, eta=2.0), "expected 0 ≤ η ≤ 1"),
        (
            lambda made, x: bench.draw_samples(made, "beta", 5, 1, clip_levels=-1),
            "a number above 0",
        ),
        (lambda made, x: bench.evaluate_bound(made, ["beta"], 5, x[:0]), "images: .* found none"),
        (lambda made, x: bench.evaluate_bound(made, ["beta"], 5, x[:, :2]), "expected the shape"),
        (lambda made, x: bench.prepare(exact, x, ["beta"], levels=1), "whole number from 2 to 256"),
        (
            lambda made, x: bench.prepare(exact, x, ["beta"], levels=None, prediction_type="eps"),
            "unknown prediction type 'eps'",
        ),
        (
            lambda made, x: bench.make_pipeline(made, "beta", 5),
            "mean: expected a network, a UNet2DM",
        ),
    ],
)
def test_what_does_not_fit_is_an_error_of_one_line(of_gaussian, call, message):
    with pytest.raises(BenchError, match=message) as error:
        call(of_gaussian, gaussian(20, 2))
    assert "\n" not in str(error.value)


def test_a_function_may_change_its_images_and_a_tensor_may_have_a_gradient():
    def in_place(images, timestep):
        eps_hat = exact(images, timestep)
        images.zero_()
        return eps_hat

    points, means = torch.from_numpy(gaussian(50, 3)).requires_grad_(), []
    for function in (exact, in_place):
        made = bench.prepare(function, points, ["beta"], levels=None, schedule=CHAIN, draws=2)
        means.append(bench.evaluate_bound(made, ["beta"], 5, points)["mean"].item())
    assert means[0] == means[1]


def test_the_package_is_imported_without_torch():
    """`bench --help` imports it too."""
    script = "import sys, bench; assert 'torch' not in sys.modules; assert callable(bench.prepare)"
    subprocess.run([sys.executable, "-c", script], check=True)
    with pytest.raises(AttributeError, match="module 'bench' has no attribute 'nothing'"):
        bench.nothing  # noqa: B018
