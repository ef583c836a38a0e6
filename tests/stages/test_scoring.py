"""The stages of the scores: what they read, what they write, and how often the network passes."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from bench import cli
from bench.experiment import loading
from bench.runtime import digests, files, paths
from bench.scores.extractors import classifier
from tests.experiment.test_loading import RAW

METRICS = ["fid", "kid", "precision", "recall", "isc"]


def write(change=lambda setting: None, metrics=METRICS, overlay=None):
    """c.yaml: the digits with two cells of 20 samples, and `change` made to the setting; the command line that names it."""
    raw = loading.resolve({**RAW, "metrics": metrics, **(overlay or {})}).model_dump(mode="json")
    (name,) = raw["settings"]
    setting = raw["settings"][name]
    setting["processes"] = {"ddpm": {"variants": ["beta"]}}
    setting["samples"] |= {"K": [5, 10], "count": 20}
    setting["fidelity"] |= {"resamples": 3, "reference_images": 60}
    change(setting)
    files.write_text("c.yaml", yaml.safe_dump(raw))
    return ["--config", "c.yaml", "--setting", name, "--threads", "1"]


def run(stage, *options):
    cli.main([stage, *options, *(["--process", "ddpm"] if stage == "fidelity" else [])])


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with the digits, an untrained classifier, and training images in place of samples."""
    monkeypatch.chdir(tmp_path)
    place, options = paths.Setting("digits"), write()
    cli.main(["data", *options[:4]])
    train = np.load(place.data / "train.npy")
    # weights of its own for every test: a network is registered under its weights' name, with the first test's counter
    torch.manual_seed(int(digests.digest(tmp_path.name), 16))
    weights = classifier.Classifier(1, 10).state_dict()
    files.write_safetensors(place.extractor / "classifier.safetensors", weights)
    files.write_json(place.extractor / "extractor.json", {"channels": 1, "classes": 10})
    for K in (5, 10):
        files.write_npz(
            place.samples("ddpm", "nothing", "beta", "even", K, 0),
            images=train[K * 20 :][:20] // (1 + (K == 5)),
        )
    return place


@pytest.fixture
def passed(monkeypatch):
    """The number of images in each pass of the network."""
    passed, extract = [], classifier._extract
    monkeypatch.setattr(
        classifier,
        "_extract",
        lambda network, images: passed.append(len(images)) or extract(network, images),
    )
    return passed


def values(place):
    report = files.read_json(place.fidelity("ddpm"))
    return {(row["metric"], row["K"]): row["value"] for row in report["cells"]}, report


def test_every_image_passes_once(place, passed):
    """For all metrics and layers; the reference and the held-out images not again, nor for a setting of the same data."""
    run("reference", *write())
    assert passed == [60, 20]
    run("fidelity", *write())
    assert passed == [60, 20, 20, 20]
    found, report = values(place)
    assert (
        found.keys() == {(metric, K) for metric in METRICS for K in (5, 10)}
        and report["absent"] == {}
    )
    assert report["reference"] == {
        "split": "train",
        "n": 60,
        "sha256": files.read_json(place.data / "data.json")["sha256"],
    }
    assert [row["metric"] for row in report["test_images"]] == METRICS and {
        row["n"] for row in report["test_images"]
    } == {20}
    run("reference", *write())
    place.folder.rename(place.folder.with_name("twin"))
    text = Path("c.yaml").read_text().replace("digits:\n    bound", "twin:\n    bound")
    files.write_text("twin.yaml", text)
    cli.main(["reference", "--config", "twin.yaml", "--setting", "twin"])
    assert passed == [60, 20, 20, 20]


def test_statistics_in_place_of_features(place, passed):
    """The FID against the mean and covariance that a file holds is that against the features themselves."""
    run("reference", *write())
    run("fidelity", *write())
    expected, _ = values(place)
    about = files.read_json(place.reference)
    features = np.load(f"{about['views']['own']['train']}/features.npy").astype(np.float64)
    np.savez("stats.npz", mu=features.mean(0), sigma=np.cov(features, rowvar=False))
    changed = write(
        lambda setting: setting["fidelity"].update(reference="stats.npz", reference_images=None),
        ["fid", "isc"],
    )
    del passed[:]
    run("reference", *changed)
    run("fidelity", *changed)
    assert passed == [1, 20, 20]  # one image tells the number of features
    found, report = values(place)
    expected = {cell: value for cell, value in expected.items() if cell[0] in ("fid", "isc")}
    assert found == pytest.approx(
        expected, rel=1e-9, abs=1e-9
    )  # a FID near 0 is a difference of traces near 1
    assert report["reference"] == {
        "statistics": "stats.npz",
        "sha256": digests.digest_of("stats.npz"),
    }

    np.savez("stats.npz", mu=features.mean(0) + 1, sigma=np.eye(64))
    with pytest.raises(
        SystemExit,
        match="stats.npz: has changed; make it again with: .* results/digits/reference.json",
    ):
        run("fidelity", *changed)
    np.savez("stats.npz", mu=np.zeros(3), sigma=np.eye(3))
    with pytest.raises(
        SystemExit, match="found statistics of 3 features, expected the extractor's 64"
    ):
        run("reference", *changed)


def test_what_an_extractor_without_logits_lacks(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    place, options = paths.Setting("mixture_2d"), write(overlay={"settings": ["mixture_2d"]})
    cli.main(["data", *options[:4]])
    files.write_json(place.extractor / "extractor.json", {"name": "coordinates", "dim": 2})
    for K in (5, 10):
        files.write_npz(
            place.samples("ddpm", "nothing", "beta", "even", K, 0),
            images=np.load(place.data / "train.npy")[K : K + 20],
        )
    run("reference", *options)
    capsys.readouterr()
    run("fidelity", *options)
    told = [line for line in capsys.readouterr().err.splitlines() if "isc" in line]
    assert told == ["isc: absent: bench-coordinates has no last layer; expected weights with it"]
    found, report = values(place)
    assert {metric for metric, _ in found} == set(METRICS) - {"isc"} and list(report["absent"]) == [
        "isc"
    ]


def test_more_reference_images_than_there_are(place):
    with pytest.raises(
        SystemExit,
        match="reference_images: expected at most the 1617 training images of digits, found 9999",
    ):
        run("reference", *write(lambda setting: setting["fidelity"].update(reference_images=9999)))


def test_features_that_are_gone(place):
    run("reference", *write())
    files.remove(paths.FEATURES)
    with pytest.raises(
        SystemExit, match="missing; make it again with: .*--forcerun results/digits/reference.json"
    ):
        run("fidelity", *write())
