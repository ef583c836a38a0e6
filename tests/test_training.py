"""A training goes on from its checkpoint, or begins anew where that cannot be used."""

import pytest
import torch

from bench import training
from bench.experiment.sections import TrainSection

SECTION = TrainSection(steps=5, batch=1, learning_rate=1e-2, ema=0.9)


class Killed(Exception):
    pass


def train(path, killed_at=None):
    """(weights, steps that were made) of a small training."""
    torch.manual_seed(0)
    network, steps = torch.nn.Linear(3, 3), []

    def loss(step):
        if step == killed_at:
            raise Killed
        steps.append(step)
        return (network(torch.full((1, 3), 1.0 + step)) ** 2).sum()

    average, _ = training.train(network, loss, SECTION, path, "any")
    return average.state_dict(), steps


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    """The checkpoint of a training that was killed after two of five steps."""
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 2)
    monkeypatch.chdir(tmp_path)
    path = training.Path("results/tiny/checkpoints/mean.pt")
    with pytest.raises(Killed):
        train(path, killed_at=3)
    return path


def saved(change):
    """A function that changes what a checkpoint holds, by any writer: its record is right."""

    def damage(path):
        content = torch.load(path)
        change(content)
        with training.files.writing(path) as partial:
            torch.save(content, partial)

    return damage


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGE = {
    "a flipped bit": flip,
    "garbage": lambda path: path.write_bytes(b"garbage"),
    "no record": lambda path: path.with_name(".mean.pt.record").unlink(),
    "a foreign key": saved(lambda content: content.update(foreign=1)),
    "a part less": saved(lambda content: content.pop("average")),
    "a foreign tensor": saved(lambda content: content["network"].update(foreign=torch.ones(1))),
    "a foreign key of the rate": saved(lambda content: content["schedule"].update(foreign=1)),
    "weights of another shape": saved(
        lambda content: content["average"].update({"module.weight": torch.ones(2, 2)})
    ),
    "another state": saved(lambda content: content.update(state={"step": 1})),
    "a list": saved(lambda content: content.update(optimizer=[])),
}


def test_a_checkpoint_that_is_right_is_used(checkpoint):
    weights, steps = train(checkpoint)
    assert steps == [2, 3, 4] and not list(checkpoint.parent.iterdir())
    straight, _ = train(checkpoint)
    assert all(torch.equal(weights[name], straight[name]) for name in straight)


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_checkpoint_that_cannot_be_used_is_deleted(checkpoint, capsys, damage):
    """With a line that says so. No part of it is used: the weights are those of a new training."""
    DAMAGE[damage](checkpoint)
    weights, steps = train(checkpoint)
    assert steps == [0, 1, 2, 3, 4] and not list(checkpoint.parent.iterdir())
    lines = [line for line in capsys.readouterr().err.splitlines() if "mean.pt" in line]
    assert len(lines) == 1 and lines[0].endswith("; deleted, and the training begins anew")
    straight, _ = train(checkpoint)
    assert all(torch.equal(weights[name], straight[name]) for name in straight)
