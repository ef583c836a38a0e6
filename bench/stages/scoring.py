"""The last two stages that touch images: features of the reference, and scores of the samples against it.

A score is of one way to see images: the extractor's own, or one of clean-fid's resizings, whose FID goes by its own name.
"""

import sys

from tqdm import tqdm

from bench.data import dataset
from bench.runtime import devices, digests, files, paths, stopwatch
from bench.runtime.errors import BenchError
from bench.scores import extractors, fidelity, frechet, reference
from bench.stages.inputs import read_samples


def extract_reference(experiment, name):
    """Features of the training images and of held-out ones, kept for all settings: results/<setting>/reference.json.

    As many held-out images as a cell has, at most, so that their scores compare with its: FID depends on the number.
    """
    setting, place = experiment.setting(name), paths.Setting(name)
    section, data = setting.fidelity, dataset.load(place.data)
    wanted = section.reference_images or len(data.train)
    if wanted > len(data.train):
        raise BenchError(
            f"fidelity.reference_images: expected at most the {len(data.train)} training images of {name}, "
            f"found {wanted}"
        )
    test = min(setting.samples.count, len(data.test))
    counts, views = {"test": test} if section.reference else {"train": wanted, "test": test}, {}
    for resizing, network in load_extractors(experiment, setting, place).items():
        if section.reference:  # refused before hours of extraction
            one = fidelity.features(network, data.test[:1], data.levels)
            reference.statistics(section.reference, one["features"].shape[1])
        views[resizing or "own"] = {
            "extractor": network.get_name(),
            **{
                split: str(reference.features(network, data, split, count))
                for split, count in counts.items()
            },
        }
    found = (
        {"statistics": section.reference, "sha256": digests.digest_of(section.reference)}
        if section.reference
        else {"split": "train", "n": wanted, "sha256": data.sha256}
    )
    files.write_json(place.reference, {"reference": found, "test_images": test, "views": views})


def load_extractors(experiment, setting, place):
    """{resizing: extractor}: under None as it is, and with each of clean-fid's resizings that is asked for."""

    module, chosen = extractors.get(setting.extractor.name), devices.choose(experiment.device)
    networks = {None: module.load(place.extractor)} | {
        resizing: module.load(place.extractor, resizing) for resizing in setting.fidelity.resizings
    }
    return {
        resizing: stopwatch.watched(network.to(chosen)) for resizing, network in networks.items()
    }


def score_samples(experiment, name, process_name):
    """Scores of every cell of a process, and of the held-out test images: results/<setting>/fidelity/<process>.json."""
    setting, place = experiment.setting(name), paths.Setting(name)
    cells = setting.cells("samples", process_name)
    levels, about = dataset.load(place.data).levels, files.read_json(place.reference)
    networks = load_extractors(experiment, setting, place)
    known = {resizing: load_reference(place, about, resizing) for resizing in networks}
    metrics, absent = _metrics(experiment.fidelity_metrics, networks[None])

    def rows(features, **cell):
        measured = []
        for resizing, found in features.items():
            scored = fidelity.score(
                found,
                known[resizing],
                ["fid"] if resizing else metrics,
                setting.fidelity.resamples,
                (experiment.seed, name, "fidelity"),
            )
            of_view = {"extractor": networks[resizing].get_name(), "n": len(found["features"])}
            measured += [
                {
                    **cell,
                    "metric": f"{metric}_{resizing}" if resizing else metric,
                    "value": value,
                    "stderr": stderr,
                    **of_view,
                }
                for metric, (value, stderr) in scored.items()
            ]
        return measured

    held_out = {resizing: _kept(place, about, resizing, "test") for resizing in networks}
    result = {
        "dtype": setting.samples.precision,
        "reference": about["reference"],
        "absent": absent,
        "test_images": rows(held_out),
        "cells": [],
    }
    with tqdm(
        total=len(cells) * len(networks) * setting.samples.count,
        desc=f"fidelity {name} {process_name}",
        unit="image",
        mininterval=1.0,
    ) as bar:
        for variant, kind, K in cells:
            images = read_samples(setting, place, process_name, variant, kind, K)
            found = {
                resizing: fidelity.features(network, images, levels, bar.update)
                for resizing, network in networks.items()
            }
            result["cells"] += rows(found, variant=variant, trajectory=kind, K=K)
    files.write_json(place.fidelity(process_name), result)


def _kept(place, about, resizing, split):
    """{layer: features} of the reference's or the held-out images, which the reference stage has kept."""

    return reference.read(about["views"][resizing or "own"][split], files.remake(place.reference))


def load_reference(place, about, resizing):
    """The `bench.scores.reference.Reference` of a way to see images."""

    path = about["reference"].get("statistics")
    if not path:
        features = _kept(place, about, resizing, "train")["features"]
        return reference.Reference(frechet.fitted(features), features)
    if digests.digest_of(path) != about["reference"]["sha256"]:
        raise BenchError(
            f"fidelity.reference: {path}: has changed; {files.remake(place.reference)}"
        )
    return reference.Reference(reference.statistics(path))


def _metrics(asked, network):
    """(metrics, {metric: why it is absent}) of those asked for, which the extractor has the layers for."""
    if "isc" not in asked or len(network.get_requested_features_list()) > 1:
        return asked, {}
    absent = {"isc": f"{network.get_name()} has no last layer; expected weights with it"}
    print(f"isc: absent: {absent['isc']}", file=sys.stderr)
    return [metric for metric in asked if metric != "isc"], absent
