"""The last two stages that read images: features of the reference, and scores of the samples.

A metric names a resizing of the images, or takes the extractor's own. So each
resizing has an extractor, a reference and features of its own.
"""

import itertools
import sys
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from bench.data import dataset
from bench.data.dataset import Data
from bench.experiment.resolved import Experiment, Setting
from bench.runtime import devices, digests, files, paths, stopwatch
from bench.runtime.errors import BenchError
from bench.scores import Metric, extractors, fidelity, frechet, reference, report
from bench.scores.samples import Samples
from bench.shards import cut
from bench.stages import VERSIONS, metric_versions, parts
from bench.stages.inputs import one_at_a_time, place_of, read_samples

REFERENCE = f"reference {VERSIONS['reference']}"  # the version of the features
OWN = "own"  # what reference.json calls the extractor's own resizing


def _reference(experiment, name, shard=None):
    """What a job of the stage writes."""
    place = place_of(experiment, name)
    return place.reference if shard is None else place.shard("reference", shard)


@one_at_a_time(_reference)
def extract_reference(experiment: Experiment, name: str, shard: int | None = None) -> None:
    """Features of the training images and of held-out ones: results/<setting>/reference.json.

    All settings of the same data share them. There are at most as many held-out images as samples
    in a cell, so that their scores can be compared: FID depends on the number of images. One shard
    extracts some of the chunks of images that are put together here. BenchError if there is no such
    shard.
    """
    setting, place = experiment.setting(name), paths.Setting(name)
    data, statistics = dataset.load(place.data), setting.fidelity.reference
    about, counts = reference_of(setting, name, data), {}
    if not statistics:
        counts["train"] = about["n"]
    counts["test"] = min(setting.samples.count, len(data.test))
    networks = load_extractors(experiment, setting, place)
    if statistics:  # an error here comes before hours of extraction
        for network in networks.values():
            one = fidelity.features(network, data.test[:1], data.levels)
            reference.statistics(statistics, one["features"].shape[1])
    if shard is not None:
        share = _share(networks, counts, setting.shards, shard)
        for (resizing, split), firsts in share.items():
            network = networks[resizing]
            reference.extract(network, data, split, counts[split], REFERENCE, firsts)
        chunks = sum(map(len, share.values()))
        files.write_json(_reference(experiment, name, shard), {"chunks": chunks})
        return
    views = {}
    for resizing, network in networks.items():
        view = {"extractor": network.get_name()}
        for split, count in counts.items():
            view[split] = str(reference.features(network, data, split, count, REFERENCE))
        views[resizing or OWN] = view
    files.write_json(
        place.reference, {"reference": about, "test_images": counts["test"], "views": views}
    )


def _share(networks, counts, shards, shard):
    """{(resizing, split): the first images of chunks} that a shard extracts.

    A shard has none if there are fewer chunks than shards: how many there are is known here, and
    not before the data are read.
    """
    parts.check_number(shard, shards)
    units = [
        ((resizing, split), first)
        for resizing in networks
        for split, count in counts.items()
        for first in range(0, count, reference.CHUNK)
    ]
    share, cuts = {}, cut(len(units), shards)
    for key, first in units[slice(*cuts[shard])] if shard < len(cuts) else []:
        share.setdefault(key, []).append(first)
    return share


def reference_of(setting: Setting, name: str, data: Data) -> dict[str, object]:
    """What reference.json says that samples of a setting are compared with."""
    path = setting.fidelity.reference
    if path:
        return {"statistics": path, "sha256": digests.digest_of(path)}
    return {"split": "train", "n": _reference_images(setting, name, data), "sha256": data.sha256}


def _reference_images(setting, name, data):
    """How many training images samples are compared with."""
    count = setting.fidelity.reference_images or len(data.train)
    if count > len(data.train):
        raise BenchError(
            f"fidelity.reference_images: expected at most the {len(data.train)} training images of "
            f"{name}, found {count}"
        )
    return count


def load_extractors(
    experiment: Experiment, setting: Setting, place: paths.Setting
) -> dict[str | None, torch.nn.Module]:
    """{resizing: extractor} of the metrics' resizings. None is the extractor's own resizing."""
    module, device = extractors.get(setting.extractor.name), devices.choose(experiment.device)
    networks = {}
    for resizing in experiment.resizings:
        options = [resizing] if resizing else []
        network = module.load(place.extractor, *options)
        networks[resizing] = stopwatch.watched(network.to(device))
    return networks


def load_reference(place: paths.Setting, about: dict, resizing: str | None) -> reference.Reference:
    """The reference of a resizing. about: the content of reference.json.

    BenchError if a file of statistics has changed since that was written.
    """
    path = about["reference"].get("statistics")
    if not path:
        features = _read_features(place, about, resizing, "train")["features"]
        return reference.Reference(frechet.fitted(features), features)
    if digests.digest_of(path) != about["reference"]["sha256"]:
        raise BenchError(
            f"fidelity.reference: {path}: has changed; {files.remake(place.reference)}"
        )
    return reference.Reference(reference.statistics(path))


def _read_features(place, about, resizing, split):
    """{layer: features} of the reference's or the held-out images, from the reference stage."""
    remedy, view = files.remake(place.reference), about["views"].get(resizing or OWN)
    if view is None:
        raise BenchError(f"{place.reference}: views: found none of {resizing or OWN}; {remedy}")
    layers = reference.read(view[split], remedy)
    count = about["test_images"] if split == "test" else about["reference"]["n"]
    for layer, rows in layers.items():
        if len(rows) != count:
            raise BenchError(
                f"{view[split]}/{layer}.npy: found {len(rows)} rows, expected {count}; {remedy}"
            )
    return layers


def check_widths(place: paths.Setting, about: dict, references: dict, features: dict) -> None:
    """BenchError unless the features of images are as many as those of the reference.

    references, features: {resizing: …}.
    """
    for resizing, layers in features.items():
        found, expected = len(references[resizing].gaussian.mean), layers["features"].shape[1]
        if found != expected:
            view = about["views"][resizing or OWN]
            kept = " ".join(view[split] for split in ("train", "test") if split in view)
            again = files.remake(place.reference).replace("with: ", f"with: rm -r {kept} && ")
            raise BenchError(
                f"{place.reference}: the reference has {found} features, but the images have "
                f"{expected}; {again}"
            )


def _scores(experiment, name, process_name, shard=None):
    """What a job writes. BenchError for an unknown setting or process."""
    experiment.setting(name).variants(process_name)
    place = experiment.place(name)
    if shard is None:
        return place.fidelity(process_name)
    return place.shard("fidelity", shard, process_name)


@one_at_a_time(_scores)
def score_samples(
    experiment: Experiment, name: str, process_name: str, shard: int | None = None
) -> None:
    """Scores of cells and of held-out images: results/<setting>/fidelity/<process>.json.

    A metric is absent if the extractor lacks a layer that it needs; a line on stderr says so. If
    the stage is cut into shards, one shard scores some cells, and without `shard` what all of them
    wrote is put together. BenchError if there is no such shard, or one is missing.
    """
    setting, place = experiment.selection(name), experiment.place(name)
    cells = setting.cells("samples", process_name)
    all_parts = setting.parts("fidelity", process_name)
    about = files.read_json(place.reference, report.Reference)
    scorer, absent = load_scorer(experiment, name, about)
    if shard is not None:
        part = parts.find(all_parts, shard)
        made_by = _digest(experiment, name, process_name, part)
        rows = _score_cells(setting, place, process_name, cells[slice(*part)], scorer, about)
        written = _scores(experiment, name, process_name, shard)
        files.write_json(written, {"made_by": made_by, "cells": rows})
        return
    if len(all_parts) > 1:
        rows = _rows_of_shards(experiment, name, process_name, all_parts)
    else:
        rows = _score_cells(setting, place, process_name, cells, scorer, about)
    networks, metrics = scorer.networks, scorer.metrics
    held_out = {resizing: _read_features(place, about, resizing, "test") for resizing in networks}
    check_widths(place, about, scorer.references, held_out)
    files.write_json(
        place.fidelity(process_name),
        {
            "dtype": setting.samples.precision,
            "reference": about["reference"],
            "versions": {metric.name: metric.version for metric in metrics},
            "absent": absent,
            "test_images": scorer.rows(held_out),
            "cells": rows,
        },
    )


def _rows_of_shards(experiment, name, process_name, all_parts):
    """The rows of cells that the shards have scored."""
    rows, whole = [], _scores(experiment, name, process_name)
    for shard, part in enumerate(all_parts):
        path = _scores(experiment, name, process_name, shard)
        remedy = parts.remake(path, whole)
        found = files.read_json(path, report.Shard, remedy)
        parts.check(path, found["made_by"], _digest(experiment, name, process_name, part), remedy)
        rows += found["cells"]
    return rows


def _digest(experiment, name, process_name, part):
    """The digest of what the scores of some cells follow from."""
    setting, place = experiment.selection(name), experiment.place(name)
    cells = setting.cells("samples", process_name)[slice(*part)]
    needs = {setting.row(process_name, variant).needs for variant, *_ in cells}
    inputs = [place.reference, place.extractor]
    for shard, need in itertools.product(range(len(setting.parts("samples"))), sorted(needs)):
        inputs.append(place.manifest(process_name, need, shard))
    return parts.digest(
        experiment,
        name,
        "fidelity",
        part,
        inputs,
        cells=cells,
        metrics=metric_versions(experiment.sample_metrics),
        resamples=setting.fidelity.resamples,
    )


def _score_cells(setting, place, process_name, cells, scorer, about):
    """The rows of cells of a process, [(variant, trajectory, K), …]."""
    data, networks = dataset.load(place.data), scorer.networks
    rows = []
    with tqdm(
        total=len(cells) * len(networks) * setting.samples.count,
        desc=f"fidelity {place.folder.name} {process_name}",
        unit="image",
        mininterval=1.0,
    ) as bar:
        for variant, trajectory, K in cells:
            images = read_samples(setting, place, data, process_name, variant, trajectory, K)
            features = {
                resizing: fidelity.features(network, images, data.levels, bar.update)
                for resizing, network in networks.items()
            }
            check_widths(place, about, scorer.references, features)
            rows += scorer.rows(features, variant=variant, trajectory=trajectory, K=K)
    return rows


@dataclass(frozen=True)
class Scorer:
    """Computes metrics of sets of images.

    networks, references: {resizing: …}. law: see `bench.scores.samples.Samples`.
    """

    metrics: list[Metric]
    networks: dict[str | None, torch.nn.Module]
    references: dict[str | None, reference.Reference]
    resamples: int
    stream: tuple
    law: object = None

    def rows(
        self, features: dict[str | None, dict[str, np.ndarray]], **cell: object
    ) -> list[dict[str, object]]:
        """A row for each metric.

        features: {resizing: {layer: features}} of the images; cell: what every row begins with.
        """
        samples = {
            resizing: Samples(
                layers["features"],
                layers.get("logits"),
                self.references[resizing],
                self.resamples,
                self.stream,
                self.law,
            )
            for resizing, layers in features.items()
        }
        rows = []
        for metric in self.metrics:
            seen = samples[metric.resizing]
            value, stderr = metric.value(seen)
            replicates = metric.replicates(seen)
            rows.append(
                {
                    **cell,
                    "metric": metric.name,
                    "value": value,
                    "stderr": stderr,
                    **({"replicates": replicates} if replicates else {}),
                    "extractor": self.networks[metric.resizing].get_name(),
                    "n": len(seen.features),
                }
            )
        return rows


def load_scorer(experiment: Experiment, name: str, about: dict) -> tuple[Scorer, dict[str, str]]:
    """The `Scorer` of a setting, and {metric: why it is absent}.

    about: the content of reference.json.
    """
    setting, place = experiment.setting(name), paths.Setting(name)
    networks = load_extractors(experiment, setting, place)
    metrics, absent = _computable(experiment.sample_metrics, networks)
    scorer = Scorer(
        metrics,
        networks,
        {resizing: load_reference(place, about, resizing) for resizing in networks},
        setting.fidelity.resamples,
        (experiment.seed, name, "fidelity"),
        dataset.load(place.data).law,
    )
    return scorer, absent


def _computable(metrics, networks):
    """(metrics whose layers the extractor has, {name: why it is absent} of the others)."""
    computable, absent = [], {}
    for metric in metrics:
        network = networks[metric.resizing]
        if "logits" in metric.needs and len(network.get_requested_features_list()) < 2:
            reason = f"{network.get_name()} has no last layer; expected weights with it"
            print(f"{metric.name}: absent: {reason}", file=sys.stderr)
            absent[metric.name] = reason
        else:
            computable.append(metric)
    return computable, absent
