"""Which device a job takes, and that everything a step computes stays on it.

There may be no GPU where the tests run. PyTorch's meta device stands in for one: it computes shapes
only, and refuses to mix its tensors with those of the CPU as a GPU would.
"""

import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch

from bench import bound, covariance, heads, process, sampler, schedule, second_moments, training
from bench.denoiser import Denoiser
from bench.mean import train
from bench.mean.model import MeanModel
from bench.runtime import devices
from bench.runtime.errors import BenchError
from tests.helpers.models import make_data

META = torch.device("meta")
VARIANTS = sorted(covariance.VARIANTS)  # other tests add numbered ones
MADE = schedule.make("linear", 20)
OPTIONS = {
    "block_out_channels": [8, 16],
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
    "attention_head_dim": 8,
}
CLAIM = """
import sys
from bench.runtime import devices
print(devices.claim({0: 'a', 1: 'b'}, sys.argv[1]), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def elsewhere():
    """A denoiser whose networks are not on the CPU, with every head and the moments that variants
    read.
    """
    torch.manual_seed(0)
    data = make_data(shape=(1, 4, 4))
    model = MeanModel(
        train.make_unet(OPTIONS, data.shape), "epsilon", MADE, data.shape, device=META
    )
    modes = {**dict.fromkeys(covariance.head_names(), "simple"), "sn": "complex"}
    made = heads.make(modes, model).to(META)
    random = torch.rand(MADE.N + 1, data.dim, dtype=torch.float64).numpy()
    moments = {
        name: random
        for name in ("eps_sq", "error_sq", "x0_hat", "x0_hat_sq", "x0_error_sq", "total_variance")
    }
    moments |= {f"{name}_mean": values.mean(axis=1) for name, values in moments.items()}
    read = {name for variant in VARIANTS for name in covariance.get(variant).moments}
    for name in filter(second_moments.is_one, read):
        moments[name] = np.ones((MADE.N + 1, *second_moments.shape_of(name, data.shape)))
    return Denoiser(model, dict(made.items()), moments, data, MADE)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_step_of_the_sampler_and_of_the_bound_stays_on_the_device(elsewhere, name):
    x = torch.zeros(3, elsewhere.data.dim, dtype=torch.float64, device=META)
    variant = covariance.get(name)
    with torch.inference_mode():
        prediction = elsewhere.predict(x, 5, [name])
        for kind in variant.processes:
            forward, eps = process.make(kind, MADE), torch.zeros_like(x)
            assert sampler.step(prediction, x, 2, forward, name, 0.1, eps).device == META


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "zero"])
def test_the_bound_comes_back_from_the_device_at_the_end(elsewhere, monkeypatch, name):
    copied = []

    def cpu(tensor):
        copied.append(tensor)
        return torch.zeros(tensor.shape, dtype=tensor.dtype)

    monkeypatch.setattr(torch.Tensor, "cpu", cpu)
    cells = [bound.Cell("even", name, 2, (3, 5)), bound.Cell("even", name, 1, (5,))]
    bound.evaluate(elsewhere, process.make("ddpm", MADE), cells, 3, (0, "test"))
    # the bound with its parts, the terms and the calibration, whatever the number of steps
    assert {tensor.device for tensor in copied} == {META} and len(copied) <= 5


def test_the_loss_of_the_heads_stays_on_the_device(elsewhere):
    x_t, t, _, x_0 = training.draw(elsewhere.data, MADE, (0, "test"), 0, 4, device=META)
    eps_hat, features = elsewhere.model(x_t, t)
    assert eps_hat.device == META and heads.outputs(elsewhere.heads, features)["npr"].device == META
    assert all(part.device == META for part in (x_t, t, x_0))


def test_sampling_in_bf16_rounds_the_network_and_nothing_else(data):
    torch.manual_seed(0)
    model = MeanModel(train.make_unet(OPTIONS, data.shape), "epsilon", MADE, data.shape)
    predict = partial(Denoiser.predict, x_t=torch.randn(4, data.dim, dtype=torch.float64), t=10)
    exact, rounded = (
        predict(Denoiser(model, {}, None, data, MADE, precision)).eps_hat
        for precision in ("fp32", "bf16")
    )
    assert rounded.dtype == torch.float64 and not torch.equal(exact, rounded)
    # 2⁻⁹ a rounding, some ten layers deep
    torch.testing.assert_close(rounded, exact, rtol=0, atol=20 * 2.0**-9 * exact.abs().max().item())


def test_jobs_share_the_gpus_out(tmp_path):
    jobs = []
    try:
        for expected in ("0", "1"):
            jobs.append(
                subprocess.Popen(
                    [sys.executable, "-c", CLAIM, str(tmp_path)],
                    text=True,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )
            )
            assert jobs[-1].stdout.readline().strip() == expected
        jobs.append(
            subprocess.Popen(
                [sys.executable, "-c", CLAIM, str(tmp_path)],
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        )
        assert (
            jobs[-1].stderr.readline() == "device: every GPU (2) is taken by another job; waiting\n"
        )
        jobs[1].kill()  # however it ends, its GPU is free again
        assert jobs[-1].stdout.readline().strip() == "1"
    finally:
        for job in jobs:
            job.kill()
            job.communicate()


def test_a_gpu_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert devices.choose("auto") == devices.choose("cpu") == torch.device("cpu")
    with pytest.raises(BenchError, match="^device: cuda, but PyTorch sees no GPU"):
        devices.choose("cuda")


def test_a_gpu_of_slurm_that_pytorch_does_not_see_is_no_cpu_job(monkeypatch):
    """It would take days on the CPU, while the GPU that it holds is idle."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setenv("SLURM_JOB_GPUS", "3")
    with pytest.raises(BenchError, match=r"^device: auto, and Slurm has given .* a GPU \(3\)"):
        devices.choose("auto")
    assert devices.choose("cpu") == torch.device("cpu")
