"""The stages of the scores: what they read, what they write, and how often the network passes."""

import sys
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
import yaml

from bench import cli, scores, variances
from bench.experiment import loading
from bench.report import tables
from bench.runtime import digests, files, paths
from bench.runtime.errors import BenchError
from bench.scores.extractors import classifier
from bench.stages import drawing
from tests.helpers.experiments import RAW
from tests.helpers.runs import ROOT

METRICS = ["fid", "kid", "precision", "recall", "isc"]


def write(change=lambda setting: None, metrics=METRICS, overlay=None):
    """Writes c.yaml, the digits with two cells of 20 samples; returns the options that name it.

    change: made to the setting.
    """
    raw = loading.resolve({**RAW, "metrics": metrics, **(overlay or {})}, folder=ROOT).model_dump(
        mode="json"
    )
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
    """The digits, an untrained classifier, and training images in place of samples."""
    monkeypatch.chdir(tmp_path)
    place, options = paths.Setting("digits"), write()
    cli.main(["data", *options[:4]])
    train = np.load(place.data / "train.npy")
    # Weights of its own for every test: a network is registered under its weights' name, with the
    # first test's counter.
    torch.manual_seed(int(digests.digest(tmp_path.name), 16))
    weights = classifier.Classifier(1, 10).state_dict()
    files.write_safetensors(place.extractor / "classifier.safetensors", weights)
    files.write_json(place.extractor / "extractor.json", {"channels": 1, "classes": 10})
    write_samples(place, {K: train[K * 20 :][:20] // (1 + (K == 5)) for K in (5, 10)})
    return place


def write_samples(place, images):
    """Samples of `beta` as if they were drawn. images: {K: array}."""
    manifest = {}
    for K, of_cell in images.items():
        path = place.samples("ddpm", "nothing", "beta", "even", K, 0)
        files.write_npz(path, images=of_cell, digest=np.array(f"drawn {K}"))
        manifest[str(path)] = f"drawn {K}"
    files.write_json(place.manifest("ddpm", "nothing", 0), manifest)


@pytest.fixture
def passed():
    """The number of images in each pass of the network."""
    passed = []

    def count(module, inputs):
        if isinstance(module, torch.nn.Sequential):  # the body of the classifier
            passed.append(len(inputs[0]))

    hook = torch.nn.modules.module.register_module_forward_pre_hook(count)
    yield passed
    hook.remove()


def values(place):
    report = files.read_json(place.fidelity("ddpm"))
    return {(row["metric"], row["K"]): row["value"] for row in report["cells"]}, report


def test_every_image_passes_once(place, passed):
    """For all metrics and layers.

    The reference and the held-out images do not pass again, nor for a setting of the same data.
    """
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
    """FID against the mean and covariance in a file is FID against the features themselves."""
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
    train = np.load(place.data / "train.npy")
    write_samples(place, {K: train[K : K + 20] for K in (5, 10)})
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


SHIFT = """
import numpy as np

from bench.scores import Metric


class Shift(Metric):
    name = "mean_shift"
    title, label = "Shift of the mean", "|μ − ν|"
    digits = 5

    def compute(self, samples):
        shift = samples.features.mean(0) - samples.reference.gaussian.mean
        return float(np.linalg.norm(shift)), None
"""
WORST = """
from bench.scores import Metric


class Worst(Metric):
    name, needs, column = "worst_bound", ("bound",), "nll_bpd"
    title, label, unit = "Largest bound", "largest bound (bits/dim)", "bits/dim"

    def compute(self, bounds):
        return bounds.values.max(), None
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A function that writes a package's module into a folder on the path."""
    monkeypatch.setattr(scores, "METRICS", dict(scores.METRICS))
    monkeypatch.syspath_prepend(tmp_path)

    def write_module(name, source):
        for module in ("my_scores", f"my_scores.{name}"):
            monkeypatch.delitem(sys.modules, module, raising=False)
        files.write_text(tmp_path / "my_scores" / f"{name}.py", source)

    return write_module


def in_all_tables(name, heading):
    """The rows of a metric in cells.csv, once it has been found in every table and in a figure."""
    cells = files.read_csv(paths.Tables().cells)
    rows = cells[cells.metric == name]
    table1 = files.read_csv(paths.RESULTS / "table1.csv")
    assert list(table1[table1.metric == name].variant) == ["beta"]
    assert f"## digits: {heading}, n = " in (paths.RESULTS / "table1.md").read_text()
    assert name in files.read_json(paths.RESULTS / "metrics.json")["digits"]
    assert sorted(set(files.read_csv(paths.Tables().plot(name)).K)) == [5, 10]
    assert paths.Tables().figure("digits", name).stat().st_size > 10_000
    return rows


@pytest.mark.parametrize("entry", ["my_scores.shift:Shift", "mean_shift"])
def test_a_metric_of_samples_is_one_file_and_one_word(place, package, entry):
    """Named by its class, or by an entry point as an installed package has it."""
    package("shift", SHIFT)
    if ":" not in entry:
        about = Path("my_scores-1.0.dist-info")
        files.write_text(about / "METADATA", "Name: my_scores\nVersion: 1.0\n")
        files.write_text(
            about / "entry_points.txt", "[bench.metrics]\nmean_shift = my_scores.shift:Shift\n"
        )
    options = write(metrics=["fid", entry])
    run("reference", *options)
    run("fidelity", *options)
    report = files.read_json(place.fidelity("ddpm"))
    assert [row["metric"] for row in report["cells"]] == ["fid", "mean_shift"] * 2
    assert report["versions"] == {"fid": 1, "mean_shift": 1}
    run("cells", *options[:2])
    run("figures", *options[:4])
    run("tables", *options[:2])
    rows = in_all_tables("mean_shift", "Shift of the mean (lower is better)")
    assert list(rows.K) == [5, 10] and (rows.value > 0).all() and rows.stderr.isna().all()
    assert f"{rows.value.iloc[0]:.5f}" in (paths.RESULTS / "table1.md").read_text()


def test_a_metric_of_the_bound_is_one_file_and_one_word(place, package):
    package("worst", WORST)
    options = write(metrics=["nll", "my_scores.worst:Worst"])
    frame = pandas.DataFrame(
        [
            {"trajectory": "even", "variant": "beta", "K": K, "image": image, "nll_bpd": image / K}
            for K in (5, 10)
            for image in range(3)
        ]
    )
    files.write_parquet(place.bound, frame)
    files.write_parquet(place.calibration, pandas.DataFrame(columns=tables.CALIBRATION[1:]))
    files.write_parquet(place.terms, pandas.DataFrame(columns=drawing.OF_TERMS))
    files.write_parquet(place.variances, pandas.DataFrame(columns=variances.ROW))
    files.write_npz(place.variance_maps)
    run("cells", *options[:2])
    run("figures", *options[:4])
    run("tables", *options[:2])
    rows = in_all_tables("worst_bound", "Largest bound (bits/dim, lower is better)")
    assert list(rows.value) == [2 / 5, 2 / 10] and set(rows.n) == {3}


def test_two_metrics_of_one_name_are_refused(package):
    package("shift", SHIFT.replace("mean_shift", "fid"))
    with pytest.raises(
        BenchError,
        match="metric 'fid' is defined twice, by bench.scores.fid:Fid and my_scores.shift:Shift",
    ):
        scores.find("my_scores.shift:Shift")


@pytest.mark.parametrize(
    "changes, message",
    [
        (('("bound",)', '("bounds",)'), "needs: unknown need 'bounds'; did you mean 'bound'"),
        (('"nll_bpd"', "None"), "column: expected a column of bound.parquet"),
    ],
)
def test_what_a_metric_says_of_itself_is_checked(package, changes, message):
    package("worst", WORST.replace(*changes))
    with pytest.raises(BenchError, match=message):
        scores.find("my_scores.worst:Worst")


def test_a_reference_made_for_other_metrics(place):
    """Behind a resizing that nobody asked for then."""
    run("reference", *write())
    about = files.read_json(place.reference)
    files.write_json(place.reference, {**about, "views": {}})
    with pytest.raises(SystemExit, match="views: found none of own; make it again with: "):
        run("fidelity", *write())


def test_samples_of_another_configuration_are_no_result(place):
    """A run of other options may have drawn a cell again: cells are shared, manifests are not."""
    options = write(metrics=["fid"])
    run("reference", *options)
    path = place.samples("ddpm", "nothing", "beta", "even", 5, 0)
    images = files.read_npz(path)["images"]
    files.write_npz(path, images=images, digest=np.array("drawn with another η"))
    with pytest.raises(SystemExit) as caught:
        run("fidelity", *options)
    assert "5/0.npz: found samples of another configuration (drawn with another η), " in str(
        caught.value
    )
    assert "nothing-0.json; make it again with: snakemake" in str(caught.value)
