"""How many images a second this machine passes through the networks of a setting.

The time of a pass depends on a network's architecture and on the size of its images, not on what it has learned: it is
measured with random weights, before anything is trained or downloaded. The architecture is the setting's own `unet`;
that of a checkpoint, where the mean stage has imported it or it is a folder in diffusers' layout; or for the settings of
the papers what is known of their checkpoints (networks.yaml).
"""

import json
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml

from bench import heads
from bench.mean.model import MeanModel
from bench.mean.train import make_unet
from bench.runtime import devices, files, paths
from bench.scores.extractors import classifier, inception

SECONDS = 10.0  # of measurement, shared by the networks
REPEATS = 20  # passes after which the time of one is known well enough
GIVEN = ("sample_size", "in_channels", "out_channels")  # of a UNet2DModel, by the data
INCEPTION = 2048  # features
CLASSES = 10  # of the classifier; they make no difference


@dataclass(frozen=True)
class Network:
    """A network before it has weights.

    name: for a person; key: equal for networks that are equal; origin: where the architecture is from; parameters: how many
    numbers its weights are; features: outputs an image; make: device → a function that passes n images and returns what comes
    out; batch: as many as the stages pass together; heads: how many numbers the weights of the heads on its trunk are.
    """

    name: str
    key: str
    origin: str
    parameters: int
    features: int
    make: Callable
    batch: int
    heads: int = 0


def mean_network(name, setting, shape):
    """The `Network` of a setting's mean model for images of `shape`, None where its architecture is not known."""
    batch, dim = setting.samples.batch, math.prod(shape)
    if setting.mean.oracle:
        model = _oracle(setting)

        def closed_form(device):
            return lambda n: model(
                torch.randn(n, dim, dtype=torch.float64), torch.full((n,), setting.schedule.N)
            )[0]

        key = files.digest([setting.data.model_dump(), setting.schedule.N])
        return Network(
            f"oracle of {name}",
            key,
            "closed form",
            0,
            dim,
            closed_form,
            batch,
            _heads(setting, model),
        )
    options, origin = architecture(name, setting.mean)
    if options is None:
        return None
    with torch.device("meta"):
        unet = make_unet(options, shape)
        of_heads = _heads(
            setting, MeanModel(unet, "epsilon", setting.schedule.make(), shape, device="meta")
        )

    def passes(device):
        layout = devices.layout(device)
        made = make_unet(options, shape).eval().to(device, memory_format=layout)

        def step(n):
            images = torch.randn(n, *shape, device=device).contiguous(memory_format=layout)
            return made(
                images, torch.zeros(n, dtype=torch.int64, device=device), return_dict=False
            )[0]

        return step

    return Network(
        f"U-Net of {name}",
        files.digest([options, shape]),
        origin,
        _size(unet),
        dim,
        passes,
        batch,
        of_heads,
    )


def _heads(setting, model):
    """How many numbers the weights of a setting's heads on `model` are; one that is imported counts as the smallest."""
    targets = setting.heads.targets if setting.heads else {}
    return _size(
        heads.make(
            {name: "simple" if mode == "imported" else mode for name, mode in targets.items()},
            model,
        )
    )


def architecture(name, section):
    """(options of UNet2DModel, where they are from) of a `sections.MeanSection`; (None, None) where they are not known."""
    if section.unet:
        return section.unet, "mean.unet"
    folders = [paths.Setting(name).mean / "unet"]
    if section.checkpoint:
        folders += [Path(section.checkpoint) / "unet", Path(section.checkpoint)]
    for path in (folder / "config.json" for folder in folders):
        if path.exists():
            with files.reading(path):
                found = json.loads(path.read_text())
                return {
                    key: value for key, value in found.items() if key[0] != "_" and key not in GIVEN
                }, str(path)
    path = Path(__file__).with_name("networks.yaml")
    with files.reading(path, "expected a file of this package"):
        known = yaml.safe_load(path.read_text())
    return (known[name], "published") if name in known else (None, None)


def feature_network(name, setting, shape):
    """The `Network` of a setting's feature extractor, None where features take no network."""
    if setting.extractor.name == "inception":

        def passes(device):
            extract = inception.untrained(device)
            return lambda n: extract(torch.zeros(n, *shape, dtype=torch.uint8, device=device))

        return Network(
            "Inception",
            "inception",
            "torch-fidelity",
            inception.parameters(),
            INCEPTION,
            passes,
            inception.BATCH,
        )
    if setting.extractor.name == "classifier":
        network = classifier.Classifier(shape[0], CLASSES).eval()

        def classify(device):
            body = network.body.to(device)
            return lambda n: body(torch.randn(n, *shape, device=device))

        return Network(
            f"classifier of {name}",
            f"classifier {shape}",
            "extractor.name",
            _size(network),
            classifier.FEATURES,
            classify,
            setting.samples.batch,
        )
    return None


def _oracle(setting):
    """The closed form of the noise prediction, for data whose law follows from the configuration."""
    from bench.data.readers.mixture import law_of
    from bench.mean.oracle import OracleModel

    options = setting.data.options
    return OracleModel(
        law_of(options["components"], options["dim"]),
        setting.schedule.make(),
        setting.mean.oracle.imperfection,
    )


def _size(network):
    return sum(tensor.numel() for tensor in network.state_dict().values())


def measure(networks, seconds=SECONDS, device="cpu"):
    """{key: (images a second, images a pass)} of every `Network`, in about `seconds` altogether."""
    return {
        network.key: images_per_second(
            network.make(device), network.batch, seconds / len(networks), device
        )
        for network in networks
    }


def images_per_second(step, batch, seconds, device="cpu"):
    """(images a second, images a pass) of `step`, a function that passes n images through a network.

    Passes grow up to `batch` images, as long as the next one fits into the time left; the median of those of the last
    size counts. A network of which one pass takes longer than `seconds` is passed two images, one after the other.
    """

    def timed(n):
        begun = time.perf_counter()
        with torch.inference_mode():
            step(n)
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - begun

    end, n = time.perf_counter() + seconds, 1
    timed(1)  # what a first pass prepares is not counted
    times = [timed(1)]
    while n < batch and time.perf_counter() + 2 * times[-1] < end:
        n = min(2 * n, batch)
        times = [timed(n)]
    while len(times) < REPEATS and time.perf_counter() + times[-1] < end:
        times.append(timed(n))
    return n / statistics.median(times), n
