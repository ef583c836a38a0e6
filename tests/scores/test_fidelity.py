"""Features of images: what an extractor is shown, and what comes back."""

import numpy as np
import torch

from bench.scores import fidelity


class Pair(torch.nn.Module):
    """Two layers, on a device of its own; keeps what it is shown."""

    def __init__(self):
        super().__init__()
        self.weight, self.seen = torch.nn.Parameter(torch.ones(1)), []

    def forward(self, images):
        self.seen.append(images)
        flat = images.flatten(1).float()
        return flat, -flat


def test_levels_are_shown_as_bytes_once(monkeypatch):
    monkeypatch.setattr(fidelity, "BATCH", 2)
    network, counted = Pair(), []
    found = fidelity.features(
        network, np.array([0, 8, 16], dtype=np.uint8).reshape(3, 1, 1, 1), 17, counted.append
    )
    assert (
        torch.cat(network.seen).flatten().tolist() == [0, 128, 255]
        and network.seen[0].dtype == torch.uint8
    )
    assert counted == [2, 1] and found["features"].tolist() == [[0], [128], [255]]
    assert (found["logits"] == -found["features"]).all()
    vectors = np.array([[0.25], [-3.0]]).reshape(2, 1, 1, 1)
    assert fidelity.features(network, vectors, None)["features"].tolist() == [[0.25], [-3.0]]
