"""A row taken home as a pipeline draws the very images that a run has stored."""

import numpy as np
import pytest
import torch

from bench import cli, noise
from bench.diffusers import DDPMPipeline
from tests.helpers.runs import CONFIG

# process, variant, need, trajectory, K: of the tiny experiment
CELLS = [
    ("ddpm", "npr", "heads", "even", 5),
    ("ddpm", "analytic_diagonal", "moments", "quadratic_ddim", 10),
    ("ddpm", "beta_tilde", "nothing", "even", 10),
    ("ddim", "zero", "nothing", "quadratic_ddim", 5),
]
BATCH = 16  # of the run: the last bits of a network depend on it


def normal(purpose):
    """The noise of the run's first batch."""
    eps = noise.normal((0, "tiny", "samples", purpose), 0, BATCH, 64)
    return torch.from_numpy(eps).reshape(BATCH, 1, 8, 8).float()


@pytest.mark.parametrize("process, variant, need, kind, K", CELLS)
def test_the_pipeline_draws_the_images_of_the_run(
    tiny_run, tmp_path, monkeypatch, process, variant, need, kind, K
):
    monkeypatch.chdir(tiny_run)
    folder = tmp_path / "pipeline"
    words = ["export", "tiny", variant, "--config", CONFIG, "--process", process]
    cli.main([*words, "--steps", str(K), "--trajectory", kind, "--into", str(folder)])
    pipeline = DDPMPipeline.from_pretrained(folder)
    x = normal("start")
    pipeline.scheduler.set_timesteps(len(pipeline.scheduler.config.steps))
    for timestep in pipeline.scheduler.timesteps:
        with torch.no_grad():
            output = pipeline.unet(x, timestep).sample
            z = normal(int(timestep) + 1)
            x = pipeline.scheduler.step(output, timestep, x, variance_noise=z).prev_sample
    grey = np.rint((x.numpy() + 1) * 8)  # 17 levels
    path = f"results/tiny/samples/{process}/{need}/{variant}/{kind}_K{K}/0.npz"
    # The noise is float32 here and float64 there, so a pixel may round to the next level.
    apart = np.abs(grey - np.load(path)["images"][:BATCH])
    assert apart.max() <= 1 and np.mean(apart > 0) < 1e-3


@pytest.mark.parametrize(
    "words, message",
    [
        (["tiny", "nope"], "variant 'nope': no row of ddpm in tiny; expected one of: beta_tilde"),
        (["tiny", "npr", "--trajectory", "optimal"], "trajectory optimal: npr has none"),
        (["tiny", "beta", "--trajectory", "optimal", "--steps", "101"], "1 ≤ K ≤ N = 100, found"),
        (["tiny", "beta", "--process", "solver"], "unknown process 'solver'"),
        (["tiny", "beta", "--into", "results"], "--into: results: exists already"),
    ],
)
def test_what_cannot_be_exported_is_an_error_of_one_line(tiny_run, monkeypatch, words, message):
    monkeypatch.chdir(tiny_run)
    defaults = ["--config", CONFIG, "--steps", "5", "--into", "never"]
    with pytest.raises(SystemExit, match=message):
        cli.main(["export", *defaults, *words])


@pytest.mark.parametrize(
    "change, key", [("draws: 20", "moments"), ("name: linear", "schedule"), ("seed: 0", "seed")]
)
def test_results_of_another_configuration_are_not_exported(
    tiny_run, tmp_path, monkeypatch, change, key
):
    """The pipeline would have the network of one and the noise schedule of the other."""
    monkeypatch.chdir(tiny_run)
    text, other = (tiny_run / CONFIG).read_text(), tmp_path / "other.yaml"
    assert change in text
    key_name, value = change.split(": ")
    other.write_text(text.replace(change, f"{key_name}: {'cosine' if value == 'linear' else 21}"))
    words = ["export", "tiny", "mle_diagonal", "--config", str(other), "--steps", "5"]
    with pytest.raises(SystemExit, match=f"results/tiny: made with another {key} of the setting"):
        cli.main([*words, "--into", str(tmp_path / "pipeline")])


def test_an_optimal_trajectory_may_have_any_number_of_steps(tiny_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tiny_run)
    words = ["export", "tiny", "beta", "--config", CONFIG, "--trajectory", "optimal"]
    cli.main([*words, "--steps", "7", "--into", str(tmp_path / "pipeline")])
    steps = DDPMPipeline.from_pretrained(tmp_path / "pipeline").scheduler.config.steps
    assert len(steps) == 7 and steps[-1] == 100
