"""Heads: they start at zero, share one pass of the trunk, and regress their targets."""

import pytest
import torch

from bench import heads, mean, mixture, schedule, sections
from bench.errors import BenchError
from bench.mean import oracle
from bench.mean import train as mean_train
from tests.conftest import make_data
from tests.test_mean import OPTIONS, SHAPE

MADE = schedule.make("linear", 10)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return mean.MeanModel(mean_train.make_unet(OPTIONS, SHAPE), "epsilon", MADE, SHAPE)


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
    eps, eps_hat = torch.tensor([2.0]), torch.tensor([0.5])
    assert heads.TARGETS["npr"](eps, eps_hat) == 2.25 and heads.TARGETS["sn"](eps, eps_hat) == 4.0


def test_training_makes_one_pass_a_step_and_regresses_the_mean(model, tmp_path):
    """Of an untrained trunk the best constant is E[target]: 1 for ε², and 1 + E[ε̂²] − 2 E[ε ε̂] for (ε − ε̂)²."""
    data = make_data(SHAPE)
    passes = []
    counted = lambda x_t, t: (passes.append(len(x_t)), model(x_t, t))[1]
    counted.trunk = model.trunk
    section = sections.HeadsSection(targets={"npr": "simple", "sn": "complex"},
                                  train=sections.TrainSection(steps=150, batch=32, learning_rate=1e-2, ema=0.9))
    trained, log = heads.train(counted, data, MADE, section, (0, "test"), tmp_path / "h.pt")
    assert passes == [32] * 150
    x_t, t, eps, _ = mean_train.draw(data, MADE, ("fresh",), 0, 512)
    eps_hat, features = model(x_t, t)
    out = heads.outputs(trained, features)
    assert out["sn"].mean().item() == pytest.approx(1, abs=0.1)
    assert out["npr"].mean().item() == pytest.approx(((eps - eps_hat) ** 2).mean().item(), rel=0.1)

    heads.save(trained, section.targets, log, tmp_path / "heads")
    loaded = heads.load(tmp_path / "heads", model, ["sn"])
    assert list(loaded) == ["sn"] and (heads.outputs(loaded, features)["sn"] == out["sn"]).all()
    assert heads.load(tmp_path / "heads", model, []) == {}
    (tmp_path / "heads" / "heads.json").write_text('{"targets": {"npr": "simple"}}')
    with pytest.raises(BenchError, match="holds no head 'sn'"):
        heads.load(tmp_path / "heads", model, ["sn"])
