"""A learned variant with a loss of its own is one new file and one word of configuration."""

import copy

import numpy as np
import pandas
import pytest
import yaml

from bench import cli, covariance
from bench.experiment import loading
from bench.runtime.errors import BenchError
from tests.helpers.runs import ROOT

FILE = """
from bench.covariance import Head, Variant


class Absolute(Variant):
    name, source = "absolute", "nobody"
    assumes = "imperfect mean"
    conditional = True
    head = Head(outputs="pixel")

    def loss(self, batch, output):
        return (output - (batch.eps - batch.eps_hat).abs()).abs().sum(1)

    def spectrum(self, seen):
        return seen.head**2
"""
FAMILY = """
from bench.covariance import Variant


class Part(Variant):
    family, source = "part", "nobody"

    def __init__(self, number):
        self.name, self.number = f"part-{number}", number

    def spectrum(self, seen):
        return 1 / self.number
"""
RAW = yaml.safe_load((ROOT / "params.yaml").read_text())


@pytest.fixture
def plugin(tmp_path, monkeypatch, registry):
    """The configured name of a variant in a folder on the path, of which nothing else knows."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "absolutes.py").write_text(FILE)
    (folder / "parts.py").write_text(FAMILY)
    monkeypatch.syspath_prepend(folder)
    return "absolutes:Absolute"


def with_row(raw, name):
    """`raw` with one more row of ddpm."""
    raw = copy.deepcopy(raw)
    raw["processes"]["ddpm"]["variants"].append(name)
    return raw


def test_one_file_and_one_word(copy, plugin, monkeypatch):
    """Heads, bound and samples of a new row, beside those that were there."""
    monkeypatch.chdir(copy)
    before = pandas.read_parquet("results/tiny/bound.parquet")
    tiny = loading.load("results/tiny-tables/config.yaml").model_dump(mode="json")
    grid = {
        key: tiny["settings"]["tiny"][key] for key in ("moments", "bound", "samples", "fidelity")
    }
    raw = {**with_row(RAW, plugin), **grid, "settings": ["tiny"]}
    loading.write(loading.resolve(raw, folder=ROOT), "results/tiny-tables/config.yaml")
    setting = ["--setting", "tiny", "--config", "results/tiny-tables/config.yaml"]
    for stage in (["heads"], ["bound"], ["samples", "--process", "ddpm", "--needs", "heads"]):
        cli.main([stage[0], *setting, *stage[1:]])
    after = pandas.read_parquet("results/tiny/bound.parquet")
    new = after.variant == "absolute"
    assert np.isfinite(after[new].nll_bpd).all() and new.sum() > 0
    pandas.testing.assert_frame_equal(after[~new].reset_index(drop=True), before)
    assert list((copy / "results/tiny/samples/ddpm/heads/absolute").glob("even_K5/*.npz"))


def test_the_resolved_experiment_names_the_row_and_the_class(plugin, tmp_path):
    experiment = loading.resolve(with_row(RAW, plugin), folder=ROOT)
    assert experiment.plugins == [plugin]
    digits = experiment.setting("digits")
    assert digits.variants("ddpm")[-1] == "absolute" and digits.head_names[-1] == "absolute"
    loading.write(experiment, tmp_path / "config.yaml")
    del covariance.VARIANTS["absolute"]
    assert loading.load(tmp_path / "config.yaml") == experiment
    del covariance.VARIANTS["absolute"]
    with pytest.raises(BenchError, match="unknown variant 'absolute'"):
        loading.resolve(with_row(RAW, "absolute"), folder=ROOT)


def test_a_family_is_named_with_its_number(plugin, tmp_path):
    experiment = loading.resolve(with_row(RAW, "parts:Part-5"), folder=ROOT)
    assert experiment.setting("digits").variants("ddpm")[-1] == "part-5"
    loading.write(experiment, tmp_path / "config.yaml")
    del covariance.VARIANTS["part-5"], covariance.FAMILIES["part"]
    assert loading.load(tmp_path / "config.yaml") == experiment
    with pytest.raises(BenchError, match="variants: variant 'parts:Part': expected a class with a"):
        loading.resolve(with_row(RAW, "parts:Part"), folder=ROOT)


def test_a_head_of_unknown_size_is_told_before_anything_is_trained(plugin, tmp_path):
    text = FILE.replace('"absolute"', '"whole"').replace('outputs="pixel"', 'outputs="image"')
    (tmp_path / "elsewhere" / "wholes.py").write_text(text)
    message = (
        "heads.targets.whole: variant 'whole' .wholes:Absolute.: numbers: not defined; expected"
    )
    with pytest.raises(BenchError, match=message):
        loading.resolve(with_row(RAW, "wholes:Absolute"), folder=ROOT)
