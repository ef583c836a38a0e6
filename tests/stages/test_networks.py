"""Trainings that were interrupted go on only as the same training."""

import copy

import pytest
import yaml
from snakemake.utils import update_config

from bench import cli, training
from bench.experiment import loading
from bench.runtime import files
from tests.helpers.experiments import RAW
from tests.helpers.runs import ROOT, TINY

OPTIONS = ["--config", "config.yaml", "--setting", "tiny"]


class Killed(Exception):
    """In place of a signal."""


def configure(**changes):
    """Writes the configuration of `tiny` with these values of {dotted key: value}."""
    raw = copy.deepcopy(RAW)
    update_config(raw, yaml.safe_load(TINY.read_text()))
    experiment = loading.resolve(raw, folder=ROOT).model_dump(mode="json")
    for key, value in changes.items():
        *outer, last = key.split("__")
        place = experiment
        for part in outer:
            place = place[part]
        place[last] = value
    files.write_text("config.yaml", yaml.safe_dump(experiment))


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """Runs a stage in a folder, up to a step of its training if one is named."""
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 4)
    draw = training.draw

    def run(name, folder, stop_at=None):
        (tmp_path / folder).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / folder)

        def interrupted(*arguments, **options):
            if arguments[3] == stop_at:
                raise Killed
            return draw(*arguments, **options)

        monkeypatch.setattr(training, "draw", interrupted)
        if stop_at is None:
            cli.main([name, *OPTIONS])
        else:
            with pytest.raises((Killed, SystemExit)):
                cli.main([name, *OPTIONS])

    return run


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"settings__tiny__schedule__name": "cosine"}], ids=["seed", "schedule"]
)
def test_a_mean_of_another_configuration_begins_anew(change, stage, tmp_path, monkeypatch):
    """Else it would be half trained on what it is not for."""
    for folder, stop_at in (("one", 6), ("fresh", None)):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        configure(**({} if stop_at else change))
        stage("data", folder)
        stage("mean", folder, stop_at)
    monkeypatch.chdir(tmp_path / "one")
    assert (tmp_path / "one" / "results" / "tiny" / "checkpoints" / "mean.pt").exists()
    configure(**change)
    stage("mean", "one")
    logs = [
        files.read_json(tmp_path / folder / "results" / "tiny" / "mean" / "mean.json")["log"]
        for folder in ("one", "fresh")
    ]
    assert logs[0] == logs[1]
