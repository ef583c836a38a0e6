"""Solvers against closed forms, our own samplers and diffusers' pipelines."""

import numpy as np
import pytest
import torch

from bench import mixture, noise, process, sampler, schedule, solver, trajectory
from bench.denoiser import Denoiser
from bench.mean import oracle
from bench.runtime.errors import BenchError
from bench.solver import Solver
from bench.theory.ground import data_of

MADE = schedule.make("linear", 1000)
LAW = mixture.random(("toy",), 3, 2)
DATA = data_of(LAW, (0, "toy"), test=10)
STREAM = (0, "toy")


def exact():
    return Denoiser(oracle.OracleModel(LAW, MADE), {}, None, DATA, MADE)


def draw(row, spacing="linspace", steps=10, first=0, count=20, batch=256, denoiser=None):
    return solver.sample(
        denoiser or exact(), row, spacing, steps, first, count, STREAM, batch
    ).reshape(count, -1)


def test_ddim_of_diffusers_is_ours():
    """On the trajectory that diffusers calls leading; float32 there, numbers below 10 here."""
    theirs = draw(Solver("ddim", "DDIMScheduler", {"clip_sample": False}), "leading")
    steps = trajectory.fixed("even_ddim", 1000, 10)
    ours = sampler.sample(
        exact(), process.make("ddim", MADE), "zero", steps, 0, 20, None, STREAM
    ).reshape(20, 2)
    # The last step of diffusers goes from t = 1 to ᾱ = 1 too.
    np.testing.assert_allclose(theirs, ours, atol=2e-4)


def test_the_multistep_solver_is_ddim_2m():
    row = Solver("dpm", "DPMSolverMultistepScheduler", {})
    timesteps = row.make("linspace", 10, MADE).timesteps.tolist()
    ours = sampler.sample(
        exact(),
        process.make("ddim_2m", MADE),
        "zero",
        [t + 1 for t in reversed(timesteps)],
        0,
        20,
        None,
        STREAM,
    )
    np.testing.assert_allclose(draw(row), ours.reshape(20, 2), atol=2e-4)


@pytest.mark.parametrize(
    "scheduler, options",
    [
        ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
        ("EulerAncestralDiscreteScheduler", {}),
        ("HeunDiscreteScheduler", {}),
    ],
)
def test_images_do_not_depend_on_the_batch(scheduler, options):
    """But for the last bits of a product of matrices: 1e-9 of numbers below 10."""
    row = Solver("row", scheduler, options)
    whole = draw(row)
    np.testing.assert_allclose(draw(row, batch=1), whole, atol=1e-6)
    parts = [draw(row, first=0, count=6), draw(row, first=6, count=14)]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-6)


@pytest.mark.parametrize(
    "scheduler, spacing",
    [
        ("UniPCMultistepScheduler", "karras"),
        ("HeunDiscreteScheduler", "linspace"),  # its steps lie between those of the schedule
        ("EulerDiscreteScheduler", "karras"),
        ("DEISMultistepScheduler", "trailing"),
    ],
)
def test_a_gaussian_is_sampled_exactly_with_many_steps(scheduler, spacing):
    """The flow of one Gaussian maps x_N to μ + Σ^½ C_N^-½ (x_N − a_N μ), C_N = a_N² Σ + b_N² I."""
    law = mixture.random(("one",), 1, 2)
    data = data_of(law, STREAM, test=10)
    denoiser = Denoiser(oracle.OracleModel(law, MADE), {}, None, data, MADE)
    found = draw(Solver("row", scheduler, {}), spacing, 200, denoiser=denoiser)
    start = noise.normal((*STREAM, "samples", "start"), 0, 20, 2)
    a, b_sq = MADE.signal[1000], MADE.noise_sq[1000]
    values, vectors = torch.linalg.eigh(law.covariances[0])
    scale = torch.sqrt(values / (a**2 * values + b_sq))
    map_back = (vectors * scale) @ vectors.T
    mean = law.means[0]
    expected = mean + (torch.from_numpy(start) - a * mean) @ map_back
    # First order, 200 steps: the largest steps in ln(a/b) are 0.1, and so is the error's share.
    np.testing.assert_allclose(found, expected.numpy(), atol=0.1)


def test_evaluations_are_the_passes_that_are_made():
    denoiser, passes = exact(), []
    for scheduler, expected in (("HeunDiscreteScheduler", 19), ("UniPCMultistepScheduler", 10)):
        row = Solver("row", scheduler, {})
        solver.sample(denoiser, row, "linspace", 10, 0, 5, STREAM, 5, passes.append)
        assert row.network_evaluations("linspace", 10, MADE) == expected == len(passes)
        passes.clear()


def test_a_spacing_is_taken_or_not():
    assert Solver("row", "DPMSolverMultistepScheduler", {}).takes("logsnr")
    assert not Solver("row", "DDIMScheduler", {}).takes("karras")
    with pytest.raises(BenchError, match="unknown spacing 'linear'.*linspace"):
        Solver("row", "DDIMScheduler", {}).takes("linear")


@pytest.mark.parametrize(
    "scheduler, options, fault",
    [
        ("DDIMSheduler", {}, "unknown scheduler 'DDIMSheduler'; did you mean 'DDIMScheduler'"),
        ("UNet2DModel", {}, "unknown scheduler"),
        ("EDMEulerScheduler", {}, "does not take trained_betas"),
        ("DDIMInverseScheduler", {}, "goes from data to noise"),
        ("DPMSolverMultistepScheduler", {"use_flow_sigmas": True}, "follows from the setting"),
        ("DDIMScheduler", {"clip": True}, "unknown option 'clip'.*clip_sample"),
        ("DDIMScheduler", {"timestep_spacing": "leading"}, "follows from spacings"),
        ("DDIMScheduler", {"prediction_type": "sample"}, "follows from the setting"),
        ("DDIMScheduler", {"beta_schedule": "linear"}, "follows from the setting"),
        ("DDIMScheduler", {"clip_sample": "yes"}, "clip_sample: expected bool, found 'yes'"),
        ("DPMSolverMultistepScheduler", {"solver_order": 2.0}, "solver_order: expected int"),
    ],
)
def test_a_wrong_scheduler_or_option_is_refused(scheduler, options, fault):
    with pytest.raises(BenchError, match=fault):
        Solver("row", scheduler, options).check()


def test_what_a_scheduler_refuses_is_one_line():
    row = Solver("row", "DPMSolverMultistepScheduler", {"algorithm_type": "none"})
    with pytest.raises(BenchError, match="spacing linspace, 5 steps: refused.*none"):
        row.make("linspace", 5, MADE)


def test_a_scheduler_that_cannot_step_is_one_line():
    """It asks for a network with twice the outputs."""
    row = Solver("row", "DDPMScheduler", {"variance_type": "learned_range"})
    with pytest.raises(BenchError, match="DDPMScheduler: spacing leading, 5 steps: refused"):
        row.rehearse("leading", 5, MADE)


def test_data_without_a_range_are_not_clipped():
    with pytest.raises(BenchError, match="clip_sample: expected false, as the data have no"):
        draw(Solver("ddim", "DDIMScheduler", {}), "leading")
