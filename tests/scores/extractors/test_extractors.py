"""The classifier extractor as torch-fidelity calls it, and data that extractors are not for."""

import numpy as np
import pytest
import torch

from bench.data import dataset
from bench.experiment import sections
from bench.runtime import files
from bench.runtime.errors import BenchError
from bench.scores import extractors, fidelity
from tests.helpers.models import make_data


def test_classifier_learns_the_digits_and_extracts(tmp_path):
    dataset.prepare("digits", tmp_path / "data")
    data = dataset.load(tmp_path / "data")
    section = sections.ExtractorSection(
        name="classifier",
        train=sections.TrainSection(steps=120, batch=128, learning_rate=5e-3, warmup=10, ema=0.9),
    )
    module = extractors.get("classifier")
    module.prepare(data, section, (0, "test"), tmp_path / "extractor", tmp_path / "c.pt")
    about = files.read_json(tmp_path / "extractor" / "extractor.json")
    assert about["test_accuracy"] >= 0.95  # the default run trains five times as long for its 0.97

    module.load(tmp_path / "extractor")
    network = module.load(tmp_path / "extractor")  # a second time in one process
    found = fidelity.features(network, data.test, data.levels)
    assert found["features"].shape == (180, 64)
    logits = network.network.logits(torch.from_numpy(found["features"])).detach().numpy()
    np.testing.assert_allclose(found["logits"], logits, rtol=1e-5, atol=1e-5)
    predicted = found["logits"].argmax(1)  # of the recorded classifier, with its accuracy
    assert np.isclose((predicted == data.test_labels).mean(), about["test_accuracy"], atol=1 / 180)


@pytest.mark.parametrize(
    "name, message",
    [
        (
            "classifier",
            "classifier needs labels; data set 'random' has none; for images expected `ext",
        ),
        ("coordinates", "coordinates needs vectors; data set 'random' has images; expected `extra"),
    ],
)
def test_data_that_an_extractor_is_not_for(name, message, tmp_path):
    section = sections.ExtractorSection(name=name)
    with pytest.raises(BenchError, match=f"extractor.name: {message}") as caught:
        extractors.get(name).prepare(make_data(), section, (0, "test"), tmp_path / "made", None)
    assert "{name: inception}" in str(caught.value) and not (tmp_path / "made").exists()
