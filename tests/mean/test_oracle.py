"""The exact mean model: its own error, its known bias, and what heads may read."""

import pytest
import torch

from bench import schedule
from bench.data import dataset
from bench.data.readers import digits, mixture
from bench.experiment.sections import OracleSection
from bench.mean import oracle, storage
from bench.mixture import Oracle
from bench.runtime.errors import BenchError

MADE = schedule.make("linear", 100)


@pytest.fixture
def data(tmp_path):
    dataset.prepare("mixture", tmp_path / "data", dict(components=3, dim=4, train=400, test=50))
    return dataset.load(tmp_path / "data")


def test_the_saved_model_is_the_exact_one_plus_its_bias(data, tmp_path):
    oracle.save(OracleSection(imperfection=0.3), data, tmp_path / "mean")
    model = storage.load(tmp_path / "mean", MADE, data)
    x_t, t = torch.from_numpy(data.to_float(data.test)), torch.tensor([1, 40, 100] * 16 + [2, 3])
    eps_hat, features = model(x_t, t)
    exact = Oracle(mixture.read(3, 4, 1, 1).law, MADE)
    one_by_one = torch.cat([exact.eps(x_t[[row]], int(t[row])) for row in range(50)])
    torch.testing.assert_close(eps_hat, one_by_one + model.bias(x_t), rtol=1e-12, atol=1e-12)
    assert features.hidden.shape == (50, model.trunk.channels, 1, 1) and features.time.shape == (
        50,
        model.trunk.time_channels,
    )


def test_the_bias_has_the_size_asked_for(data):
    """sin² averages to one half over phases.

    Over the few coordinates of one field, to a factor of two.
    """
    x_t = torch.from_numpy(data.to_float(data.train))
    size = oracle.OracleModel(data.law, MADE, 0.3).bias(x_t).square().mean().sqrt()
    assert 0.15 < size < 0.6
    assert torch.equal(oracle.OracleModel(data.law, MADE).bias(x_t), torch.zeros_like(x_t))


def test_data_of_unknown_law_are_refused(tmp_path):
    raw = digits.read()
    data = dataset.Data("digits", raw.train, raw.test, 17, None, None, "")
    with pytest.raises(BenchError, match="mean.oracle: expected data whose law is known"):
        oracle.save(OracleSection(), data, tmp_path / "mean")
