"""Networks that others wrote, for `mean.checkpoint` and `mean.published`, and weights of a run."""

import json
import os
import pickle
import shutil

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from safetensors.torch import load_file, save_file

from bench import schedule, training
from bench.experiment import sections
from bench.mean import checkpoint
from bench.mean.train import make_unet
from bench.runtime import files
from bench.runtime.errors import BenchError
from tests.helpers.models import OPTIONS
from tests.helpers.runs import CONFIG

SETTING = ["--setting", "tiny"]
WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def foreign(copy, configured):
    """A folder with a finished run, and in it `foreign` with a network for `mean.checkpoint`."""
    unet = make_unet(OPTIONS, (1, 8, 8))
    unet.save_pretrained(copy / "foreign" / "unet")
    scheduler = DDPMScheduler(num_train_timesteps=100, beta_start=1e-3, beta_end=0.2)
    scheduler.save_pretrained(copy / "foreign" / "scheduler")
    config = configured({"*.mean": {"checkpoint": "foreign"}}) / "config.yaml"
    shutil.copy(config, copy)
    return copy


def with_tensors(change):
    """Changes the state dict in a file of weights."""

    def arrange(path):
        state = load_file(path)
        change(state)
        save_file(state, path)

    return arrange


def drop(state):
    del state["conv_out.bias"]


def add(state):
    state["conv_in.scale"] = torch.ones(3)


def integers(state):
    state["conv_in.weight"] = state["conv_in.weight"].int()


def other_value(value):
    def change(state):
        state["conv_in.weight"][0, 0, 0, 0] = value

    return change


def other_shape(state):
    state["conv_in.bias"] = torch.zeros(5)


# what is wrong: (change of the state dict, message)
STATES = {
    "a tensor is missing": (drop, f"{WEIGHTS}: missing tensors: conv_out.bias; "),
    "a tensor too many": (add, f"{WEIGHTS}: unknown tensors: conv_in.scale; "),
    "integers": (integers, "conv_in.weight: found torch.int32, expected floating point numbers"),
    "NaN": (other_value(torch.nan), "conv_in.weight: found NaN or infinite values, expected"),
    "infinite": (other_value(-torch.inf), "conv_in.weight: found NaN or infinite values, expected"),
    "another shape": (other_shape, "size mismatch for conv_in.bias"),
    "nothing": (dict.clear, f"{WEIGHTS}: "),
}
OTHERS = [case for case in STATES if case not in ("another shape", "nothing")]


@pytest.mark.parametrize("case", STATES)
def test_states_of_a_checkpoint(case, foreign, refuse):
    change, message = STATES[case]
    with_tensors(change)(foreign / "foreign" / "unet" / WEIGHTS)
    message = "foreign/unet" if case == "nothing" else message
    refuse(foreign, ["mean", *SETTING, "--config", "config.yaml"], message)


@pytest.mark.parametrize("case", OTHERS)
def test_states_of_a_run(case, copy, refuse):
    change, message = STATES[case]
    with_tensors(change)(copy / "results" / "tiny" / "mean" / "unet" / WEIGHTS)
    line = refuse(copy, ["moments", *SETTING, "--config", CONFIG], message)
    assert "make it again with: snakemake --cores all --forcerun results/tiny/mean" in line


def test_a_head_that_is_not_finite(copy, refuse):
    path = copy / "results" / "tiny" / "heads" / "npr.safetensors"
    state = load_file(path)
    next(iter(state.values()))[...] = torch.nan
    save_file(state, path)
    refuse(copy, ["bound", *SETTING, "--config", CONFIG], "npr.safetensors: ")


BETAS = schedule.make("linear", 100).beta[1:]

# what is wrong: (keys of scheduler_config.json, message)
SCHEDULERS = {
    "another N": ({"num_train_timesteps": 1000}, "trained on schedule linear with N = 1000"),
    "another schedule": ({"beta_schedule": "scaled_linear"}, "trained on schedule scaled_linear"),
    "other ends": ({"beta_end": 0.02}, "β in [0.001, 0.02], expected linear with N = 100"),
    "other betas": (
        {"trained_betas": [*BETAS[:-1], 0.5]},
        "trained_betas: found 0.5 for the step 100, whose β is 0.2; expected linear with N = 100",
    ),
    "betas of NaN": ({"trained_betas": [*BETAS[:-1], float("nan")]}, "found nan for the step 100"),
    "too few betas": ({"trained_betas": [0.1]}, "trained_betas: found 1 of them; expected linear"),
    "betas that are texts": ({"trained_betas": ["small"]}, "trained_betas.0: input should be a v"),
    "no signal at the end": ({"rescale_betas_zero_snr": True}, "rescale_betas_zero_snr: found t"),
    "unknown prediction": (
        {"prediction_type": "flow"},
        "prediction_type: input should be 'epsilon', 'sample' or 'v_prediction', found 'flow'",
    ),
    "N of a text": ({"num_train_timesteps": "many"}, "num_train_timesteps: input should be a val"),
}


@pytest.mark.parametrize("case", SCHEDULERS)
def test_schedulers(case, foreign, refuse):
    changes, message = SCHEDULERS[case]
    path = foreign / "foreign" / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    line = refuse(foreign, ["mean", *SETTING, "--config", "config.yaml"], message)
    assert "foreign/scheduler/scheduler_config.json: " in line


def test_trained_betas_of_the_setting_are_taken(foreign):
    """They stand in for diffusers' own schedule, also if they were rounded to float32."""
    path = foreign / "foreign" / "scheduler" / "scheduler_config.json"
    changes = {"trained_betas": BETAS.astype(np.float32).tolist(), "beta_schedule": "sigmoid"}
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    section = sections.ScheduleSection(name="linear", N=100)
    assert checkpoint.read(foreign / "foreign", section)["prediction_type"] == "epsilon"


# what is wrong: (file that becomes a FIFO, message)
FIFOS = {
    "config": ("unet/config.json", "config.json: found a FIFO"),
    "weights": (f"unet/{WEIGHTS}", f"{WEIGHTS}: found a FIFO"),
    "scheduler": ("scheduler/scheduler_config.json", "scheduler_config.json: found a FIFO"),
}


@pytest.mark.parametrize("case", FIFOS)
def test_fifos_in_a_checkpoint(case, foreign, refuse):
    file, message = FIFOS[case]
    (foreign / "foreign" / file).unlink()
    os.mkfifo(foreign / "foreign" / file)
    refuse(foreign, ["mean", *SETTING, "--config", "config.yaml"], message)


# what is wrong: (value that torch.save writes, message)
PUBLISHED = {
    "no state dict": ([1, 2], "holds no state dict of tensors: found a int"),
    "integers": ({"a": torch.ones(2, dtype=torch.int64)}, "a: found torch.int64, expected float"),
    "NaN": ({"a": torch.tensor([torch.nan])}, "a: found NaN or infinite values"),
    "of no network": ({"a": torch.ones(2)}, "not a state dict of the improved-diffusion U-Net"),
}


@pytest.mark.parametrize("case", PUBLISHED)
def test_published_files(case, tmp_path, refuse):
    value, message = PUBLISHED[case]
    torch.save(value, tmp_path / "model.pt")
    refuse(tmp_path, ["import", "model.pt", "--format", "improved_diffusion"], message)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("path", ["/dev/zero", "fifo"])
def test_published_files_without_end(path, tmp_path, refuse):
    os.mkfifo(tmp_path / "fifo")
    arguments = ["import", path, "--format", "improved_diffusion", "--into", "new"]
    refuse(tmp_path, arguments, f"{path}: found a ")


@pytest.mark.parametrize("stage", ["mean", "heads", "extractor"])
def test_trainings_that_diverge(stage, copy, configured, refuse):
    """They stop at the first logged step that is not finite, and write no network."""
    changes = {f"*.{stage}.train.learning_rate": 1e30, f"*.{stage}.train.warmup": 0}
    config = configured(changes) / "config.yaml"
    line = refuse(copy, [stage, *SETTING, "--config", config], "expected finite numbers; lower tra")
    assert "train.learning_rate, which is 1e+30" in line and " at step " in line


def test_the_step_of_a_loss_that_is_not_finite(tmp_path):
    """Step 7 counted from 1, of a loss that is NaN from there on."""
    section = sections.TrainSection(steps=100, batch=1, learning_rate=1e-3, ema=0.9)
    network, steps = torch.nn.Linear(1, 1), []

    def loss_of_step(step):
        steps.append(step)
        return network.weight.sum() * (torch.nan if step >= 6 else 1.0)

    message = "any: the loss is nan at step 7 of 100, expected finite numbers; lower train.learning"
    with pytest.raises(BenchError, match=message):
        training.train(network, loss_of_step, section, tmp_path / "any.pt", "any")
    assert len(steps) == training.LOG_EVERY and list(tmp_path.iterdir()) == []


class Hostile:
    """A pickle of it runs a command when it is read."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def test_a_hostile_checkpoint_runs_nothing(tmp_path):
    """The state of an interrupted training is read with weights_only."""
    path, marker = tmp_path / "mean.pt", tmp_path / "pwned"
    path.write_bytes(pickle.dumps(Hostile(marker), protocol=2))
    section = sections.TrainSection(steps=1, batch=1, learning_rate=1e-3, ema=0.9)
    with pytest.raises(BenchError, match="mean.pt: corrupt or truncated"):
        training.train(torch.nn.Linear(1, 1), lambda step: torch.zeros(()), section, path, "any")
    assert not marker.exists()
    pickle.loads(path.read_bytes())  # what any other reader would have done
    assert marker.exists()


def test_a_hostile_network_runs_nothing(tmp_path):
    """A folder in diffusers' layout whose weights are a pickle, not safetensors."""
    make_unet(OPTIONS, (1, 8, 8)).save_pretrained(tmp_path / "unet")
    (tmp_path / "unet" / WEIGHTS).unlink()
    (tmp_path / "unet" / "diffusion_pytorch_model.bin").write_bytes(
        pickle.dumps(Hostile(tmp_path / "pwned"))
    )
    with pytest.raises(
        BenchError, match="expected config.json and diffusion_pytorch_model.safetensors"
    ):
        checkpoint.read(tmp_path, sections.ScheduleSection(name="linear", N=1000))
    assert not (tmp_path / "pwned").exists()


def test_hostile_arrays_are_refused(tmp_path):
    """An object array in an npz file is a pickle; it is not loaded."""
    np.savez(tmp_path / "0.npz", images=np.array([Hostile(tmp_path / "pwned")], dtype=object))
    with pytest.raises(BenchError, match="0.npz: corrupt or truncated"):
        files.read_npz(tmp_path / "0.npz")
    assert files.digest_inside(tmp_path / "0.npz") is None
    assert not (tmp_path / "pwned").exists()
