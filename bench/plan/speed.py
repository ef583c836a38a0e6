"""How many images a second pass the networks of a setting: measured here, or known of a device.

The time of a pass depends on the architecture and the size of images, not on what was learned: it
is measured with random weights, before anything is trained or downloaded. On a CPU a job of the
workflow has one thread, and other jobs run beside it: the measure is CPU time of one thread.
"""

import math
import platform
import re
import statistics
import sys
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from bench.mean.train import make_unet
from bench.runtime import devices, files, paths
from bench.runtime.errors import BenchError, unknown
from bench.scores.extractors import classifier, inception

SECONDS = 10.0  # of measurement, shared by the networks
REPEATS = 20  # passes after which the time of one is known well enough
PUBLISHED = Path(__file__).with_name("networks.yaml")  # architectures of published checkpoints
DEVICES = Path(__file__).with_name("devices.yaml")  # measured speeds
GIVEN = ("sample_size", "in_channels", "out_channels")  # of a UNet2DModel, by the data


@dataclass(frozen=True)
class Network:
    """A network before it has weights.

    name: the setting's for its mean model, `inception`, or `SETTING/classifier`; parameters: how
    many; outputs: numbers an image; batch: images that the stages pass together; make: given a
    device, a function that passes n images.
    """

    name: str
    parameters: int
    outputs: int
    batch: int
    make: Callable


def mean_network(name: str, setting: Any, shape: tuple[int, int, int]) -> Network | None:
    """The mean model of a setting for images of `shape`, None if its architecture is not known."""
    batch, dim = setting.samples.batch, math.prod(shape)
    if setting.mean.oracle:
        return Network(name, 0, dim, batch, lambda device: _oracle(setting, dim))
    options = architecture(name, setting.mean)
    if options is None:
        return None

    def make(device):
        layout = devices.layout(device)
        unet = make_unet(options, shape).eval().to(device, memory_format=layout)

        def step(n):
            images = torch.randn(n, *shape, device=device).contiguous(memory_format=layout)
            t = torch.zeros(n, dtype=torch.int64, device=device)
            return unet(images, t, return_dict=False)[0]

        return step

    with torch.device("meta"):
        parameters = count(make_unet(options, shape))
    return Network(name, parameters, dim, batch, make)


def _oracle(setting, dim):
    """A function that passes n vectors through the closed form of the mean."""
    from bench.data.readers.mixture import law_of
    from bench.mean.oracle import OracleModel

    law = law_of(setting.data.options["components"], setting.data.options["dim"])
    N = setting.schedule.N
    model = OracleModel(law, setting.schedule.make(), setting.mean.oracle.imperfection)
    return lambda n: model(torch.randn(n, dim, dtype=torch.float64), torch.full((n,), N))[0]


def architecture(name: str, section: Any) -> dict | None:
    """The options of UNet2DModel of a `sections.MeanSection`, None if they are not known.

    They are `mean.unet`, or those of the checkpoint if the mean stage has imported it or it is a
    folder in diffusers' layout, or those of networks.yaml for the settings of the papers.
    """
    if section.unet:
        return section.unet
    folders = [paths.Setting(name).mean / "unet"]
    if section.checkpoint:
        folders += [Path(section.checkpoint) / "unet", Path(section.checkpoint)]
    for path in (folder / "config.json" for folder in folders):
        if path.exists():
            options = files.read_json(path, dict[str, Any])
            return {k: v for k, v in options.items() if k[:1] != "_" and k not in GIVEN}
    return yaml.safe_load(PUBLISHED.read_text(encoding="utf-8")).get(name)


def feature_network(name: str, setting: Any, shape: tuple[int, int, int]) -> Network | None:
    """The network of a setting's feature extractor, None if features take no network."""
    kind = setting.extractor and setting.extractor.name
    if kind == "inception":

        def make(device):
            extract = inception.untrained(device)
            return lambda n: extract(torch.zeros(n, *shape, dtype=torch.uint8, device=device))

        return Network("inception", inception.parameters(), 2048, inception.BATCH, make)
    if kind == "classifier":
        network = classifier.Classifier(shape[0], 10).eval()  # of 10 classes; any number does

        def make(device):
            body = network.body.to(device)
            return lambda n: body(torch.randn(n, *shape, device=device))

        batch, name = setting.samples.batch, f"{name}/classifier"
        return Network(name, count(network), classifier.FEATURES, batch, make)
    return None


def count(network: torch.nn.Module) -> int:
    """How many numbers the weights of a network are."""
    return sum(tensor.numel() for tensor in network.state_dict().values())


def measure(networks: Collection[Network], device: torch.device | str = "cpu") -> dict:
    """{name: {images_per_second, batch, parameters}}, in about SECONDS; one thread on a CPU."""
    threads, rates = torch.get_num_threads(), {}
    torch.set_num_threads(1)
    for network in networks:
        step = network.make(device)
        rate, batch = images_per_second(step, network.batch, SECONDS / len(networks), device)
        rates[network.name] = {
            "images_per_second": float(f"{rate:.3g}"),
            "batch": batch,
            "parameters": network.parameters,
        }
    torch.set_num_threads(threads)
    return rates


def images_per_second(
    step: Callable[[int], object], batch: int, seconds: float, device: torch.device | str = "cpu"
) -> tuple[float, int]:
    """(images a second, images a pass) of `step`, a function that passes n images.

    A pass has `batch` images, or as many as take a quarter of `seconds`; the median pass counts.
    """
    on_gpu = torch.device(device).type == "cuda"
    clock = time.perf_counter if on_gpu else time.process_time

    def timed(n):
        begun = clock()
        with torch.inference_mode():
            step(n)
        if on_gpu:
            torch.cuda.synchronize(device)
        return clock() - begun

    end = clock() + seconds
    timed(1)  # not counted, as it prepares what later passes reuse
    n = max(1, min(batch, int(seconds / 4 / timed(1))))
    times = [timed(n)]
    while len(times) < REPEATS and clock() + times[-1] < end:
        times.append(timed(n))
    return n / statistics.median(times), n


def of_device(device: str, networks: dict) -> dict:
    """{name: entry} of the `networks` that devices.yaml has; BenchError for an unknown device."""
    table = yaml.safe_load(DEVICES.read_text(encoding="utf-8"))
    if device not in table:
        raise BenchError(f"--device: {unknown('device', device, table)}")
    entries = table[device]["networks"]
    return {
        name: entries[name]
        for name, network in networks.items()
        if name in entries and entries[name]["parameters"] == network.parameters
    }


def given(texts: Iterable[str], means: Collection[str], names: Collection[str]) -> dict:
    """{name: {images_per_second}} of --images-per-second, texts `N` or `NAME=N`.

    means: the networks that a plain N is for; names: all networks. BenchError for another text.
    """
    rates, names_given = {}, set()
    for text in texts:
        name, _, number = text.rpartition("=")
        if name in names_given:
            raise BenchError(f"--images-per-second: found {text} after another for the same")
        names_given.add(name)
        if not re.fullmatch(r"\d*\.?\d+", number) or not float(number):
            raise BenchError(f"--images-per-second: expected N or NAME=N with N > 0, found {text}")
        if name and name not in names:
            raise BenchError(f"--images-per-second: {unknown('network', name, names)}")
        for each in [name] if name else sorted(means):
            rates[each] = {"images_per_second": float(number)}
    return rates


def processor() -> str:
    """The name of the CPU."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if sys.platform == "linux" else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
