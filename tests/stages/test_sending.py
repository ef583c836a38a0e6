"""bench log: a finished folder of tables, and folders that are none."""

import json
import re

import mlflow
import numpy as np
import pytest
import torch
import yaml
from mlflow import MlflowClient

from bench import cli
from bench.runtime import imports
from tests.helpers.runs import CONFIG, TABLES


@pytest.fixture
def store(tmp_path, monkeypatch):
    """The client of a store in a folder of its own, the working folder."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    uri = f"sqlite:///{folder}/mlflow.db"  # MLflow keeps a connection for each address
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return MlflowClient(tracking_uri=uri)


def everything(client):
    """All that a store says of its runs and models."""
    runs = client.search_runs([one.experiment_id for one in client.search_experiments()])
    versions = [dict(one) for one in client.search_model_versions()]
    return sorted((run.to_dictionary() for run in runs), key=str), versions


def test_a_folder_elsewhere_is_sent_once(tiny_run, store, capsys):
    cli.main(["log", str(tiny_run / TABLES)])
    said = capsys.readouterr().out
    cells = (tiny_run / TABLES / "cells.csv").read_text().splitlines()[1:]
    rows = {tuple(line.split(",")[1:4:2]) for line in cells}
    assert f"{store.tracking_uri}: runs added or changed: {len(rows) + 1}\n" in said
    before = everything(store)
    assert len(before[0]) == len(rows) + 1
    cli.main(["log", str(tiny_run / TABLES)])
    assert "runs added or changed: 0\n" in capsys.readouterr().out
    assert everything(store) == before


def test_the_page_that_it_names_is_one_of_variants(tiny_run, store, capsys):
    cli.main(["log", str(tiny_run / TABLES)])
    page = capsys.readouterr().out.split()[-1]
    experiment_id, key = re.search(
        r"experiments/(\d+)/runs.*viewStateShareKey=(\w+)", page
    ).groups()
    experiment = store.get_experiment(experiment_id)
    view = json.loads(experiment.tags[f"mlflow.sharedViewState.{key}"])
    assert experiment.name == "tiny" and view["name"] == "Variants by fid_K10"


def test_the_mean_is_a_registered_model(tiny_run, store):
    """It predicts what diffusers' network in the same folder does."""
    cli.main(["log", str(tiny_run / TABLES)])
    (version,) = store.search_model_versions("name = 'tiny'")
    mlflow.set_tracking_uri(store.tracking_uri)
    model = mlflow.pyfunc.load_model(f"models:/tiny/{version.version}")
    assert [one.name for one in model.metadata.signature.inputs] == ["x_t", "timestep"]
    x_t = np.random.default_rng(0).normal(size=(2, 1, 8, 8)).astype(np.float32)
    timestep = np.array([3, 700])
    unet = imports.unet_2d().from_pretrained(tiny_run / "results" / "tiny" / "mean" / "unet").eval()
    with torch.no_grad():
        expected = unet(torch.from_numpy(x_t), torch.from_numpy(timestep)).sample.numpy()
    predicted = model.predict({"x_t": x_t, "timestep": timestep})
    np.testing.assert_allclose(predicted, expected, atol=1e-5)


def error_of(arguments):
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    line = str(stopped.value.code)
    assert line.startswith("bench log: error: ") and "\n" not in line
    return line


def test_what_is_no_folder_of_tables(copy, store):
    for folder in (copy, copy / "results", copy / "nowhere"):
        expected = "expected results/ or results/NAME-tables/ of a finished run"
        assert error_of(["log", str(folder)]).endswith(expected)
    (copy / TABLES).rename(copy / "results" / "renamed-tables")
    line = error_of(["log", str(copy / "results" / "renamed-tables")])
    assert "experiment tiny, whose tables are in results/tiny-tables/" in line


def test_a_configuration_that_the_tables_were_not_made_with(copy, store):
    """A run with another one began, and did not reach the tables."""
    raw = yaml.safe_load((copy / CONFIG).read_text())
    raw["settings"]["tiny"]["samples"]["count"] = 41
    (copy / CONFIG).write_text(yaml.safe_dump(raw))
    line = error_of(["log", str(copy / TABLES)])
    assert "is not the configuration of the tables beside it; make it again with: snakemake" in line


def test_damaged_tables_are_not_sent(copy, store):
    path = copy / TABLES / "table1.md"
    path.write_text(path.read_text() + " ")
    assert "table1.md: corrupt or truncated" in error_of(["log", str(copy / TABLES)])
    assert store.get_experiment_by_name("tiny") is None
