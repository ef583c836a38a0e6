"""Scores of images that others drew, by the protocol of a setting, and that protocol in words.

The extractor, the reference and the metrics are those of the setting's own cells. So equal images
have equal scores.
"""

import itertools
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from bench.data import dataset, drawn
from bench.data.dataset import Data, Images
from bench.experiment.resolved import Experiment, Setting
from bench.runtime import files, paths, records
from bench.runtime.errors import BenchError
from bench.scores import Metric, extractors, fidelity, report
from bench.scores.neighbours import NEIGHBOUR
from bench.scores.reference import CHUNK
from bench.stages import VERSIONS, metric_versions
from bench.stages.inputs import check_made_with
from bench.stages.networks import prepare_extractor
from bench.stages.preparation import prepare_data
from bench.stages.scoring import Scorer, check_widths, extract_reference, load_scorer, reference_of

LIBRARIES = ("torch", "torch-fidelity", "clean-fid", "numpy", "scipy", "pillow")


def score_images(
    experiment: Experiment, name: str, path: str | Path
) -> tuple[list[dict], dict[str, str]]:
    """(a row for each metric, as `Scorer.rows` returns it; the protocol as {what: words}).

    path: a folder of images or an npz file, see `bench.data.drawn`. The data, the extractor and the
    reference of the setting are prepared if they are not there. Raises BenchError if the experiment
    has no metric of samples, if the reference is that of another configuration, or if the images
    are not of the shape and levels of the data.
    """
    setting, place = experiment.setting(name), paths.Setting(name)
    if not experiment.sample_metrics:
        raise BenchError("metrics: expected one of samples, such as fid, found none")
    check_made_with(experiment, name, ["data", "extractor"])
    _prepare(experiment, name, place)
    data, about = dataset.load(place.data), files.read_json(place.reference, report.Reference)
    _check_reference(setting, name, place, data, about["reference"])
    if data.levels is None:
        raise BenchError(f"settings.{name}.data: has vectors, expected images with levels")
    to_bytes = fidelity.to_bytes(np.arange(data.levels), data.levels)
    images, words = drawn.read(path, data.shape, data.levels, to_bytes)
    if len(images) <= NEIGHBOUR:
        raise BenchError(f"{path}: found {len(images)} images, expected at least {NEIGHBOUR + 1}")
    scorer, absent = load_scorer(experiment, name, about)
    features = _features(scorer, images, data)
    check_widths(place, about, scorer.references, features)
    protocol = {
        "images": f"{words}, {_shape(data.shape)}, {data.levels} levels",
        "reference": _reference(data, about["reference"]),
        "extractor": _extractor(setting, place, scorer),
        "resizing": "; ".join(_resizing(setting, metric) for metric in scorer.metrics),
        "precision": f"features in float32 on {_device(scorer)}, distances in float64",
        "number of images": _counts(len(images), about["reference"]),
        "standard errors": f"from {setting.fidelity.resamples} resamples of the images",
        "versions": _versions(scorer.metrics),
    }
    if absent:
        protocol["absent"] = "; ".join(f"{metric}: {reason}" for metric, reason in absent.items())
    return scorer.rows(features), protocol


def _prepare(experiment, name, place):
    """Runs the stages whose outputs are not there."""
    stages = {
        prepare_data: place.data,
        prepare_extractor: place.extractor,
        extract_reference: place.reference,
    }
    for stage, output in stages.items():
        if not output.exists():
            print(f"{output}: missing; is made now", file=sys.stderr)
            stage(experiment, name)


def _check_reference(setting, name, place, data, found):
    """BenchError unless reference.json is of the images or statistics that the setting names."""
    expected = reference_of(setting, name, data)
    if found != expected:
        raise BenchError(
            f"{place.reference}: found the reference {found}, expected {expected}; "
            f"{files.remake(place.reference)}"
        )


def _features(scorer: Scorer, images: np.ndarray | Images, data: Data) -> dict:
    """{resizing: {layer: features}} of the images, which need not fit into memory."""
    parts = {resizing: [] for resizing in scorer.networks}
    total = len(images) * len(parts)
    with tqdm(total=total, desc="features", unit="image", mininterval=1.0) as bar:
        for chunk in _chunks(images):
            for resizing, network in scorer.networks.items():
                layers = fidelity.features(network, chunk, data.levels, bar.update)
                parts[resizing].append(layers)
    return {
        resizing: {name: np.concatenate([part[name] for part in of_one]) for name in of_one[0]}
        for resizing, of_one in parts.items()
    }


def _chunks(images: np.ndarray | Images) -> Iterator[np.ndarray]:
    """Images in chunks of whole batches of the extractor: then no feature depends on the chunks."""
    each = images.each() if isinstance(images, Images) else iter(images)
    while chunk := list(itertools.islice(each, CHUNK)):
        yield np.stack(chunk)


def _shape(shape):
    return "×".join(map(str, shape))


def _reference(data: Data, about: dict) -> str:
    """What the images are compared with."""
    if "statistics" in about:
        return f"statistics in {about['statistics']}, digest {about['sha256']}"
    return (
        f"the first {about['n']} of the {len(data.train)} training images of {data.name}; "
        f"sha256 of the data {data.sha256}…"
    )


def _extractor(setting: Setting, place: paths.Setting, scorer: Scorer) -> str:
    """The extractor, and the hash of each file of its weights."""
    names = dict.fromkeys(network.get_name() for network in scorer.networks.values())
    weights = []
    for file in sorted(place.extractor.glob("*.safetensors")):
        weights.append(f"sha256 of {file.name} {records.sha256(file)}")
    about = files.read_json(place.extractor / "extractor.json", dict)
    if "sha256" in about:
        weights.append(f"made of {about['source']}, sha256 {about['sha256']}")
    return "; ".join([f"{setting.extractor.name} ({', '.join(names)})", *weights])


def _resizing(setting: Setting, metric: Metric) -> str:
    """How the images of a metric are resized before the extractor's network."""
    own = getattr(extractors.get(setting.extractor.name), "RESIZING", "the extractor's own")
    return f"{metric.name}: {metric.resizing or own}"


def _device(scorer: Scorer) -> str:
    """Where the extractor runs; the number of threads may change the last digits."""
    parameters = (network.parameters() for network in scorer.networks.values())
    device = next((each.device.type for each in itertools.chain.from_iterable(parameters)), "cpu")
    return f"{device} with {torch.get_num_threads()} threads" if device == "cpu" else device


def _counts(count: int, about: dict) -> str:
    """What FID depends on beside the images themselves."""
    of_reference = about.get("n", "as many as the author of the statistics took")
    return (
        f"{count} here, {of_reference} in the reference; FID depends on both, so compare it with "
        "that of as many images against the same reference"
    )


def _versions(metrics: list[Metric]) -> str:
    """Versions of the code behind the numbers, and of the libraries."""
    stages = ("data", "extractor", "reference", "fidelity")
    ours = [f"{stage} {VERSIONS[stage]}" for stage in stages]
    theirs = [f"{library} {metadata.version(library)}" for library in LIBRARIES]
    return ", ".join([*ours, metric_versions(metrics), *theirs])
