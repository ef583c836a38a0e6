"""The mean model: prediction types, import from diffusers' layout, training that resumes
exactly.
"""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bench import schedule, training
from bench.experiment import sections
from bench.mean import checkpoint, storage, train
from bench.mean.model import MeanModel
from bench.runtime.errors import BenchError
from tests.helpers.models import OPTIONS, SHAPE, make_data

MADE = schedule.make("linear", 1000)


@pytest.fixture
def unet():
    torch.manual_seed(0)
    return train.make_unet(OPTIONS, SHAPE)


class Converted(torch.nn.Module):
    """A network that predicts x_0 or v and knows the same ε̂ as `unet`."""

    def __init__(self, unet, kind):
        super().__init__()
        self.unet, self.kind = unet, kind
        self.conv_norm_out, self.time_embedding = unet.conv_norm_out, unet.time_embedding

    def forward(self, images, timestep, return_dict=False):
        eps = self.unet(images, timestep, return_dict=False)[0]
        a, b = (
            torch.tensor(values[timestep.numpy() + 1]).float()[:, None, None, None]
            for values in (MADE.signal, MADE.noise)
        )
        x_0 = (images - b * eps) / a
        return (x_0 if self.kind == "sample" else a * eps - b * x_0,)


@pytest.mark.parametrize("kind", ["sample", "v_prediction"])
def test_prediction_types_give_the_same_noise(unet, kind):
    x_t, t = torch.randn(4, 64, dtype=torch.float64), torch.tensor([1, 10, 300, 700])
    expected, features = MeanModel(unet, "epsilon", MADE, SHAPE)(x_t, t)
    found, _ = MeanModel(Converted(unet, kind), kind, MADE, SHAPE)(x_t, t)
    # fp32 rounding of x_0 is divided by b_1 = 0.01 on the way back
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    assert features.hidden.shape == (4, 8, 8, 8) and features.time.shape == (4, 32)


def test_features_are_what_the_output_is_made_of(unet):
    model = MeanModel(unet, "epsilon", MADE, SHAPE)
    eps_hat, features = model(torch.randn(3, 64, dtype=torch.float64), torch.tensor([5, 50, 500]))
    again = unet.conv_out(unet.conv_act(unet.conv_norm_out(features.hidden)))
    torch.testing.assert_close(again.flatten(1).double(), eps_hat, rtol=1e-5, atol=1e-6)


def write_checkpoint(unet, folder, **changes):
    from diffusers import DDPMScheduler

    unet.save_pretrained(folder / "unet")
    DDPMScheduler(
        **{"num_train_timesteps": 1000, "beta_start": 1e-4, "beta_end": 0.02, **changes}
    ).save_pretrained(folder / "scheduler")


def section(N=1000, name="linear"):
    return sections.ScheduleSection(name=name, N=N)


def test_import_gives_the_same_outputs(unet, tmp_path):
    write_checkpoint(unet, tmp_path, prediction_type="v_prediction")
    found = checkpoint.read(tmp_path, section())
    assert found["prediction_type"] == "v_prediction"
    storage.save(folder=tmp_path / "mean", **found)
    loaded = storage.load(tmp_path / "mean", MADE, make_data(SHAPE))
    images, t = torch.randn(2, *SHAPE), torch.tensor([3, 900])
    # the loaded network computes in another memory format
    torch.testing.assert_close(
        loaded.unet(images, t).sample, unet.eval()(images, t).sample, rtol=1e-5, atol=1e-5
    )
    for name, tensor in unet.state_dict().items():
        assert (loaded.unet.state_dict()[name] == tensor).all(), name


@pytest.mark.parametrize(
    "changes, asked, message",
    [
        ({}, section(N=500), "N = 1000.*expected linear with N = 500"),
        ({"beta_schedule": "squaredcos_cap_v2"}, section(), "trained on schedule cosine"),
        ({"beta_end": 0.012}, section(), "0.012.*expected linear"),
    ],
)
def test_import_refuses_what_does_not_fit(unet, tmp_path, changes, asked, message):
    write_checkpoint(unet, tmp_path, **changes)
    with pytest.raises(BenchError, match=message):
        checkpoint.read(tmp_path, asked)


def test_channels_that_do_not_fit_the_data(unet):
    with pytest.raises(
        BenchError, match="here: the network has 1 input and 1 output channels, expected 3 of each"
    ):
        storage.check_channels(unet, (3, 8, 8), "here")


def test_import_of_nothing_says_what_is_expected(tmp_path):
    with pytest.raises(BenchError, match="no such folder; expected one in diffusers' layout"):
        checkpoint.read(tmp_path / "nowhere", section())
    with pytest.raises(
        BenchError, match="expected config.json and diffusion_pytorch_model.safetensors"
    ):
        checkpoint.read(tmp_path, section())


def test_wrong_unet_option_is_one_line():
    with pytest.raises(BenchError, match="mean.unet: not accepted by UNet2DModel"):
        train.make_unet({**OPTIONS, "norm_groups": 4}, SHAPE)


def test_an_interrupted_training_ends_in_the_same_weights(tmp_path, data, monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 4)
    how = sections.MeanTrainSection(steps=10, batch=4, learning_rate=1e-2, warmup=2, ema=0.9)
    options = sections.MeanSection(unet=OPTIONS, train=how)
    made = schedule.make("linear", 10)
    small = (data, made, options, (0, "test"))
    straight, _, log = train.train(*small, tmp_path / "a.pt")

    class Killed(Exception):
        pass

    batch = training.draw

    def killed_at_six(*arguments, **options):
        if arguments[3] == 6:
            raise Killed
        return batch(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(training, "draw", killed_at_six)
        with pytest.raises(Killed):
            train.train(*small, tmp_path / "b.pt")
    assert (tmp_path / "b.pt").exists()
    resumed, _, log_again = train.train(*small, tmp_path / "b.pt")
    assert not (tmp_path / "b.pt").exists() and log_again == log
    for name, tensor in straight.state_dict().items():
        assert (resumed.state_dict()[name] == tensor).all(), name


def test_a_training_of_another_version_is_not_continued(tmp_path, monkeypatch):
    """Its checkpoint has weights that another loss made."""
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 2)
    how = sections.TrainSection(steps=3, batch=4, learning_rate=1e-2, ema=0.5)
    network, steps = torch.nn.Linear(2, 2), []

    def train_version(version, killed_at=None):
        def loss(step):
            if step == killed_at:
                raise KeyboardInterrupt
            steps.append(step)
            return network.weight.square().sum()

        training.train(network, loss, how, tmp_path / "c.pt", "test", version=version)

    for version in ("heads 1, npr 1", "heads 1, npr 2"):
        with pytest.raises(KeyboardInterrupt):
            train_version(version, killed_at=2)
    train_version("heads 1, npr 2")
    assert steps == [0, 1, 0, 1, 2]


def test_checkpoint_of_another_training_is_not_resumed(tmp_path):
    how = sections.TrainSection(steps=3, batch=4, learning_rate=1e-2, ema=0.5)
    seen = []

    def loss(network):
        return lambda step: (seen.append(step), network.weight.square().sum())[1]

    first = torch.nn.Linear(2, 2)
    torch.save({"identity": "another"}, tmp_path / "c.pt")
    training.train(first, loss(first), how, tmp_path / "c.pt", "test")
    assert seen == [0, 1, 2]


def test_average_of_the_weights_is_the_exponential_one(tmp_path):
    """One weight, loss −w: Adam moves it by the learning rate a step, and EMA follows by hand."""
    network = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        network.weight.zero_()
    how = sections.TrainSection(steps=4, batch=1, learning_rate=0.1, ema=0.5)
    seen = []
    average, log = training.train(
        network,
        lambda step: (seen.append(network.weight.item()), -network.weight.sum())[1],
        how,
        tmp_path / "d.pt",
        "test",
    )
    weights = [*seen[1:], network.weight.item()]
    expected = weights[0]
    for weight in weights[1:]:
        expected = 0.5 * expected + 0.5 * weight
    assert average.weight.item() == pytest.approx(expected, rel=1e-6)
    assert log[-1]["step"] == 4 and np.isclose(log[-1]["loss"], -np.mean(seen))


def test_saved_weights_are_safetensors(unet, tmp_path):
    storage.save(unet, "epsilon", tmp_path / "mean")
    assert set(load_file(tmp_path / "mean/unet/diffusion_pytorch_model.safetensors")) == set(
        unet.state_dict()
    )


@pytest.mark.parametrize(
    "size, line",
    [
        ((8, 8), ""),
        (8, ""),
        (None, ""),
        ([16, 8], "mine: the network was made for images of 16×8 (its sample_size), and the data "),
        (32, "mine: the network was made for images of 32×32 (its sample_size), and the data have"),
    ],
)
def test_images_of_another_size_than_the_network_is_for(unet, size, line, capsys):
    unet.register_to_config(sample_size=size)
    storage.note_size(unet, (1, 8, 8), "mine")
    said = capsys.readouterr().err
    assert said.startswith(line) and said.count("\n") == (line != "")
