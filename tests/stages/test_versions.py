"""Versions: a number that a stage, a variant or a metric made says so, and does not outlive it."""

import re

from bench import scores
from bench.cli import stages as commands
from bench.experiment import loading
from bench.stages import VERSIONS, versions_of
from tests.helpers.experiments import RAW
from tests.helpers.runs import ROOT

DIGITS = loading.resolve(RAW, folder=ROOT).setting("digits")


def test_every_stage_has_a_version_that_its_rule_compares():
    assert set(VERSIONS) == {stage.name for stage in commands.STAGES}
    rules = "".join(path.read_text() for path in (ROOT / "workflows" / "rules").glob("*.smk"))
    compared = re.findall(r'version=VERSIONS\["(\w+)"\]', rules)
    assert sorted(compared) == sorted(VERSIONS)


def parts(variant, trajectory, metric):
    """What the versions of a cell are of."""
    text = versions_of(DIGITS, "ddpm", variant, trajectory, scores.get(metric))
    return [part.split()[0] for part in text.split(", ")]


def test_a_cell_names_all_that_it_goes_through():
    assert parts("beta", "even", "nll_bpd") == [
        *("data", "mean", "trajectories", "bound", "beta", "nll_bpd")
    ]
    assert "moments" in parts("beta", "optimal", "nll_bpd")
    assert "moments" in parts("mle_scalar", "even", "nll_bpd")
    assert parts("npr", "even", "fid") == [
        *("data", "mean", "moments", "heads", "trajectories"),
        *("samples", "extractor", "reference", "fidelity", "npr", "fid"),
    ]


def test_a_raised_version_is_in_the_cell(monkeypatch):
    monkeypatch.setitem(VERSIONS, "bound", 7)
    text = versions_of(DIGITS, "ddpm", "beta", "even", scores.get("nll_bpd"))
    assert text == "data 1, mean 1, trajectories 2, bound 7, beta 1, nll_bpd 1"
