"""A pipeline that was saved and loaded in another process gives the harness's samples."""

import copy
import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from bench import covariance, diffusers, heads, moments, process, sampler, schedule, second_moments
from bench.denoiser import Denoiser
from bench.diffusers import DDPMPipeline
from bench.diffusers.scheduler import randn_tensor
from bench.experiment.sections import ScheduleSection
from bench.mean import checkpoint, conversion
from bench.mean.model import MeanModel
from bench.runtime import imports
from bench.runtime.errors import BenchError
from tests.helpers.models import OPTIONS, SHAPE, make_data

N, STEPS, BATCH = 50, [1, 3, 7, 12, 20, 50], 4
MADE = schedule.make("linear", N)
DATA = make_data(SHAPE)
FAMILIES = ("mle_rank-3", "mle_share-25", "lanczos-3", "jump_at-10")
VARIANTS = sorted(covariance.VARIANTS)
CLIPPED = 12.0  # y: the noise of some variants is clipped on the last step with noise

LOAD = """
import sys
import diffusers  # before the module that the folders name
import numpy as np, torch
import bench.diffusers
from diffusers import DiffusionPipeline

def draw(pipe, start, noise):
    x = start
    pipe.scheduler.set_timesteps(len(noise))
    for z, timestep in zip(noise, pipe.scheduler.timesteps):
        with torch.no_grad():
            output = pipe.unet(x, timestep).sample
            x = pipe.scheduler.step(output, timestep, x, variance_noise=z).prev_sample
    return x.detach().numpy()

torch.set_num_threads(1)
noise = torch.from_numpy(np.load("noise.npy"))
drawn = {}
for name in sys.argv[1:]:
    for folder in (name, f"{name}-again"):
        pipe = DiffusionPipeline.from_pretrained(folder)
        drawn[folder] = draw(pipe, noise[0], noise[1:])
        pipe.save_pretrained(f"{name}-again")
np.savez("drawn.npz", **drawn)
"""


def make_unet(channels=1, **options):
    """A U-Net with random weights, whose ε̂ is about half as large as noise."""
    torch.manual_seed(0)
    options = {"in_channels": channels, "out_channels": channels, **OPTIONS, **options}
    unet = imports.unet_2d()(**options)
    torch.nn.init.normal_(unet.conv_out.weight, std=0.05)
    return unet


def make_denoiser(variants, prediction_type="epsilon", data=DATA, **options):
    """A denoiser whose heads are untrained but for random numbers in their last layers."""
    unet = make_unet(data.shape[0])
    model = MeanModel(unet, prediction_type, MADE, data.shape, **options)
    learned = {name: "simple" for name in variants if covariance.get(name).head}
    made = heads.make(learned, model)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    names = {moment for name in variants for moment in covariance.get(name).moments}
    structures = sorted(filter(second_moments.is_one, names))
    with torch.inference_mode():
        kept = moments.estimate(model, data, MADE, 20, (0, "test"), structures=structures)
    return Denoiser(model, dict(made.eval().items()), kept, data, MADE)


def draw(denoiser, forward, variant, noise, clip=CLIPPED):
    """The harness's samples before rounding. noise: x_N, and that of each step."""
    of_step = dict(zip(reversed(STEPS), noise[1:], strict=True))
    with torch.no_grad():
        return sampler.descend(
            denoiser, forward, variant, STEPS, noise[0], lambda t: of_step[t], clip
        )


def make_noise(shape=SHAPE):
    """Standard normal numbers in float32, (1 + K, batch, channels, height, width)."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(1 + len(STEPS), BATCH, *shape, generator=generator)


def rows():
    """(process, η, variant) of every variant and process."""
    for name in VARIANTS:
        for family in covariance.VARIANTS[name].processes:
            yield family, 0.0, name
    for name in FAMILIES:  # a member is made when it is asked for, and not while tests are listed
        yield from (("ddpm", 0.0, name), ("ddim", 0.0, name))
    yield from (("ddim", 0.5, "mle_diagonal"), ("ddpm_2m", 0.0, "beta_tilde"))
    yield from (("ddpm_2m", 0.0, "npr"), ("ddim_2m", 0.0, "zero"), ("ddim_2m", 0.3, "mle_dct"))


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """{(process, η, variant): (the harness's samples, those of two loaded pipelines)}."""
    torch.set_num_threads(1)  # as in the other process: convolutions round by it
    folder, noise = tmp_path_factory.mktemp("exported"), make_noise()
    np.save(folder / "noise.npy", noise.numpy())
    denoiser, expected, names = make_denoiser([*VARIANTS, *FAMILIES]), {}, {}
    for row in rows():
        family, eta, variant = row
        forward = process.make(family, MADE, eta)
        expected[row] = draw(denoiser, forward, variant, noise.double().flatten(2))
        names[row] = f"{family}-{eta:g}-{variant}"
        pipeline = diffusers.make_pipeline(denoiser, forward, variant, STEPS, CLIPPED)
        pipeline.save_pretrained(folder / names[row])
    command = [sys.executable, "-c", LOAD, *names.values()]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    drawn = np.load(folder / "drawn.npz")
    return {
        row: (expected[row].numpy(), drawn[name], drawn[f"{name}-again"])
        for row, name in names.items()
    }


@pytest.mark.parametrize("row", list(rows()), ids=lambda row: "-".join(map(str, row)))
def test_an_exported_pipeline_draws_the_samples_of_the_harness(both, row):
    expected, loaded, saved_again = both[row]
    assert np.isfinite(expected).all() and np.abs(expected).max() > 0.1
    # Both have the same network and keep x_t in float64. The last rounding to float32 is left.
    np.testing.assert_allclose(loaded.reshape(expected.shape), expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(saved_again, loaded)


def test_variants_differ(both):
    """The comparison above is of different samples, not of one row many times."""
    images = [np.round(expected, 6).tobytes() for expected, _, _ in both.values()]
    assert len(set(images)) > 0.8 * len(images)


@pytest.mark.parametrize("prediction_type", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize("variant", ["mle_dct", "npr", "lanczos-3"])
def test_a_pipeline_draws_with_any_network(prediction_type, variant):
    """Called as diffusers' own, with another output of the network and other timesteps."""
    denoiser = make_denoiser([variant], prediction_type, first_timestep=1, scale=20.0)
    forward = process.make("ddpm", MADE)
    random = [torch.Generator().manual_seed(image) for image in range(BATCH)]
    shape = (BATCH, *SHAPE)
    noise = [randn_tensor(shape, random).double().flatten(1) for _ in STEPS]
    expected = draw(denoiser, forward, variant, [*noise, None])
    pipeline = diffusers.make_pipeline(denoiser, forward, variant, STEPS, CLIPPED)
    pipeline.set_progress_bar_config(disable=True)
    random = [torch.Generator().manual_seed(image) for image in range(BATCH)]
    images = pipeline(BATCH, random, len(STEPS), output_type="np").images
    grey = (expected.reshape(shape).permute(0, 2, 3, 1) / 2 + 0.5).clamp(0, 1)
    np.testing.assert_allclose(images, grey, rtol=0, atol=1e-6)
    assert pipeline.scheduler.timesteps.tolist() == [20.0 * t for t in reversed(STEPS)]


@pytest.mark.parametrize("variant", ["jump", "kdct", "mle_dct", "tmpd"])
def test_images_in_colour_that_are_no_squares(tmp_path, variant):
    """The numbers of `kdct` do not fill whole channels."""
    shape = (3, 8, 4)
    denoiser, forward = make_denoiser([variant], data=make_data(shape)), process.make("ddpm", MADE)
    noise = make_noise(shape)
    expected = draw(denoiser, forward, variant, noise.double().flatten(2))
    diffusers.make_pipeline(denoiser, forward, variant, STEPS, CLIPPED).save_pretrained(tmp_path)
    pipeline, x = DDPMPipeline.from_pretrained(tmp_path), noise[0]
    for timestep, z in zip(pipeline.scheduler.timesteps, noise[1:], strict=True):
        with torch.no_grad():
            output = pipeline.unet(x, timestep).sample
            x = pipeline.scheduler.step(output, timestep, x, variance_noise=z).prev_sample
    np.testing.assert_allclose(x.detach().flatten(1), expected, rtol=0, atol=1e-6)


def test_a_network_with_another_number_of_attention_heads_keeps_it(tmp_path):
    """Published networks have a number of heads that a config of diffusers cannot say."""
    options = {
        "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
        "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
        "add_attention": True,
        "block_out_channels": [8, 16],
        "attention_head_dim": 8,
    }
    unet = make_unet(**options)
    conversion.set_heads(unet, 4)
    denoiser = Denoiser(MeanModel(unet, "epsilon", MADE, SHAPE), {}, None, DATA, MADE)
    noise, forward = make_noise(), process.make("ddpm", MADE)
    expected = draw(denoiser, forward, "beta", noise.double().flatten(2))
    diffusers.make_pipeline(denoiser, forward, "beta", STEPS, CLIPPED).save_pretrained(tmp_path)
    loaded = DDPMPipeline.from_pretrained(tmp_path)
    output = loaded.unet(noise[0], STEPS[-1] - 1).sample.flatten(1).double()
    eps_hat = denoiser.predict(noise[0].double().flatten(1), STEPS[-1]).eps_hat
    np.testing.assert_array_equal(output.numpy(), eps_hat.numpy())
    assert torch.isfinite(expected).all()


def make_scheduler(variant, kind="ddpm"):
    return diffusers.make_scheduler(
        make_denoiser([variant]), process.make(kind, MADE), variant, STEPS
    )


def take(scheduler, output, x, noise, places):
    """x after some steps, in order, with an output of the network that does not change."""
    for place in places:
        timestep = scheduler.timesteps[place]
        x = scheduler.step(output, timestep, x, variance_noise=noise).prev_sample
    return x


def test_a_sample_does_not_know_the_one_before():
    """A scheduler of second order remembers a step, and all of them remember x_t in float64."""
    output, x, noise = make_noise()[:3]
    used, fresh = make_scheduler("zero", "ddim_2m"), make_scheduler("zero", "ddim_2m")
    take(used, output, noise, x, range(3))  # a sample that was broken off
    every = range(len(STEPS))
    assert torch.equal(take(used, output, x, noise, every), take(fresh, output, x, noise, every))
    take(used, output, noise, x, range(2))
    middle = range(3, len(STEPS))  # as from a noised image, in the middle of the trajectory
    again = make_scheduler("zero", "ddim_2m")
    assert torch.equal(take(used, output, x, noise, middle), take(again, output, x, noise, middle))


def test_a_sample_that_was_changed_between_steps_counts():
    """As in inpainting: then x_t is what is given, and not what was remembered."""
    output, x, noise = make_noise()[:3]
    kept, changed = make_scheduler("beta"), make_scheduler("beta")
    half = take(kept, output, x, noise, range(2))
    assert torch.equal(half, take(changed, output, x, noise, range(2)))
    one, other = (
        take(made, output, y, noise, [2]) for made, y in ((kept, half), (changed, half + 1))
    )
    forward, t, s = process.make("ddpm", MADE), STEPS[-3], STEPS[-4]
    expected = forward.carry(s, t) / MADE.noise[t] + forward.gamma(s, t) / MADE.signal[t]
    inside = (other - one).abs() > 0
    assert inside.all() and (other - one).max() <= expected + 1e-5
    in_place = make_scheduler("beta")
    half = take(in_place, output, x, noise, range(2))
    half += 1
    assert torch.equal(take(in_place, output, half, noise, [2]), other)


@pytest.mark.parametrize("variant", ["npr", "mle_dct"])
def test_a_copy_of_a_pipeline_draws_the_same(variant):
    denoiser, forward = make_denoiser([variant]), process.make("ddpm", MADE)
    pipeline, x = diffusers.make_pipeline(denoiser, forward, variant, STEPS), make_noise()[0]
    copied = copy.deepcopy(pipeline)
    timestep = pipeline.scheduler.timesteps[0]
    with torch.no_grad():
        outputs = [made.unet(x, timestep).sample for made in (pipeline, copied, pipeline)]
    assert torch.equal(outputs[0], outputs[1]) and torch.equal(outputs[0], outputs[2])


def test_moments_of_other_steps_are_refused(tmp_path):
    made = make_scheduler("mle_diagonal")
    made.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "scheduler_config.json").read_text())
    config["steps"][1] += 1
    (tmp_path / "scheduler_config.json").write_text(json.dumps(config))
    with pytest.raises(BenchError, match="moments.safetensors: has the moments of other steps"):
        diffusers.ReverseScheduler.from_pretrained(tmp_path)


def step(scheduler, output, sample):
    """The first step of a scheduler."""
    return scheduler.step(output, scheduler.timesteps[0], sample)


@pytest.mark.parametrize(
    "variant, call, message",
    [
        ("beta", lambda made, x: made.set_timesteps(1000), "trajectory of 6 steps; expected num_"),
        (
            "beta",
            lambda made, x: made.step(x, 5, x),
            "timestep: expected one of .49, 19, .*found 5",
        ),
        (
            "npr",
            lambda made, x: step(made, x, x),
            "'npr' reads 64 numbers of a head; expected them",
        ),
        ("tmpd", lambda made, x: step(made, x, x), "'tmpd' reads derivatives of the network"),
        (
            "mle_scalar",
            lambda made, x: step(made.from_config(made.config), x, x),
            "the moment 'error_sq_mean' of variant 'mle_scalar' is missing; expected a scheduler",
        ),
    ],
)
def test_what_is_missing_is_an_error_of_one_line(variant, call, message):
    with pytest.raises(BenchError, match=message) as error:
        call(make_scheduler(variant), make_noise()[0])
    assert "\n" not in str(error.value)


def test_an_exported_folder_is_a_mean_model_again(tmp_path):
    """`mean.checkpoint` of a setting may name it: the noise schedule is compared."""
    denoiser = make_denoiser(["mle_dct"])
    made = diffusers.make_pipeline(denoiser, process.make("ddpm", MADE), "mle_dct", STEPS)
    made.save_pretrained(tmp_path)
    found = checkpoint.read(tmp_path, ScheduleSection(name="linear", N=N))
    assert found["prediction_type"] == "epsilon"
    weights = found["unet"].state_dict()
    for key, tensor in denoiser.model.unet.state_dict().items():
        assert torch.equal(weights[key], tensor)
    with pytest.raises(BenchError, match="trained_betas: found .* expected cosine with N = 50"):
        checkpoint.read(tmp_path, ScheduleSection(name="cosine", N=N))


def test_diffusers_own_schedulers_take_over_the_config():
    """A person may put another scheduler into the pipeline, as diffusers' pages say."""
    made = make_scheduler("beta")
    other = imports.scheduler("DDIMScheduler").from_config(made.config)
    np.testing.assert_allclose(other.alphas_cumprod, MADE.alpha_bar[1:], rtol=1e-5)
