"""Features of a small convolutional classifier trained on the data set's own labels.

It is for data on which an ImageNet network has nothing to say. The features are the 64 of the
penultimate layer; the logits follow. The accuracy on the test split is recorded with it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float32
from torch import Tensor, nn

from bench import noise, training
from bench.data.dataset import Data
from bench.runtime import digests, files, stopwatch
from bench.runtime.errors import BenchError
from bench.runtime.fields import Count
from bench.scores import extractors
from bench.scores.extractors import register

FEATURES = 64
RESIZING = "none"  # as `bench fid` says it
LAYERS = ("penultimate", "logits")


class About(extractors.About):
    """What is read of the extractor.json of a classifier."""

    channels: Count
    classes: Count


class Classifier(nn.Module):
    """Logits of images in [−1, 1]; `body` gives the `FEATURES` features below them."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, 32, 3, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(64, 64, 3, padding=1),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(256, FEATURES),
            nn.ReLU(),
        )
        self.logits = nn.Linear(FEATURES, classes)

    def forward(
        self, images: Float32[Tensor, "batch channels height width"]
    ) -> Float32[Tensor, "batch classes"]:
        """The logits of a batch."""
        return self.logits(self.body(images))


def prepare(
    data: Data,
    section: Any,
    names: tuple,
    folder: Path,
    checkpoint: Path | None,
    on_loss: Callable[[int, dict], object] | None = None,
) -> None:
    """Trains the classifier and writes it to `folder` with its accuracy on the test split.

    section: the section `extractor` of the configuration; names: the stream of the random numbers;
    checkpoint: where an interrupted training goes on; on_loss: see `bench.training.train`. Raises
    BenchError for unlabelled data, or if the section has no training.
    """
    if data.train_labels is None:
        raise BenchError(
            f"extractor.name: classifier needs labels; data set {data.name!r} has none; for images "
            "expected `extractor: {name: inception}`, for vectors `extractor: {name: coordinates}`"
        )
    if section.train is None:
        raise BenchError(
            "extractor.train: missing; the classifier is trained on the data set's labels"
        )
    torch.manual_seed(noise.generator(*names, "extractor", "weights").integers(2**63))
    classes = int(data.train_labels.max()) + 1
    network = stopwatch.watched(Classifier(data.shape[0], classes))

    def loss_of_step(step):
        rows = noise.generator(*names, "extractor", "batch", step).integers(
            len(data.train), size=section.train.batch
        )
        images, labels = _images(data, data.train[rows]), torch.from_numpy(data.train_labels[rows])
        return nn.functional.cross_entropy(network(images), labels)

    network, log = training.train(
        network,
        loss_of_step,
        section.train,
        checkpoint,
        f"classifier {names[-1]}",
        on_loss,
        digests.digest([*names, data.sha256]),
    )
    accuracy = (network(_images(data, data.test)).argmax(1).numpy() == data.test_labels).mean()
    with files.writing(folder) as partial:
        partial.mkdir(parents=True)
        files.write_safetensors(partial / "classifier.safetensors", network.state_dict())
        files.write_json(
            partial / "extractor.json",
            {
                "name": "classifier",
                "channels": data.shape[0],
                "classes": classes,
                "levels": data.levels,
                "test_accuracy": float(accuracy),
                "log": log,
            },
        )


def _images(data, levels):
    return torch.from_numpy(data.to_float(levels)).float().reshape(-1, *data.shape)


def load(folder: Path) -> nn.Module:
    """The classifier as a torch-fidelity extractor, whose name has a digest of the weights."""
    about = files.read_json(folder / "extractor.json", About)
    state = files.read_safetensors(folder / "classifier.safetensors")
    classifier = Classifier(about["channels"], about["classes"])
    with files.reading(folder / "classifier.safetensors"):
        classifier.load_state_dict(state)
    weights = digests.digest(b"".join(tensor.numpy().tobytes() for tensor in state.values()))
    return register(f"bench-classifier-{weights}", LAYERS, classifier, _extract)


def _extract(network, images):
    features = network.body(images.float() / 127.5 - 1)
    return features, network.logits(features)
