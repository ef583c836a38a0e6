"""The stage that draws samples: what it writes, and what it refuses."""

import re
from pathlib import Path

import numpy as np
import pytest

from bench import cli
from bench.experiment import loading
from bench.runtime import files, paths
from tests.helpers.experiments import RAW
from tests.helpers.runs import ROOT

PLUGIN = """
import numpy as np
from bench.covariance import Variant

class Lost(Variant):
    name = "lost"

    def spectrum(self, seen):
        return np.nan
"""


@pytest.fixture
def draw(tmp_path, monkeypatch, registry):
    """A function (variant) that draws samples of vectors with this variant."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nans.py").write_text(PLUGIN)
    options = ["--config", "config.yaml", "--setting", "mixture_2d"]

    def run(variant):
        raw = {**RAW, "settings": ["mixture_2d"], "processes": {"ddpm": {"variants": [variant]}}}
        raw["samples"] = {"count": 20, "K": [5], "trajectories": ["even"]}
        raw["bound"] = {"images": 10, "K": [5], "trajectories": ["even"]}
        loading.write(loading.resolve(raw, folder=ROOT), "config.yaml")
        for stage in ("data", "mean", "trajectories"):
            cli.main([stage, *options])
        cli.main(["samples", *options, "--process", "ddpm"])

    return run


def test_samples_that_are_not_finite_end_the_job(draw):
    message = (
        "samples of mixture_2d, ddpm, lost, even, K = 5: found NaN or infinity in 20 of 20 images, "
        "expected finite numbers; look for the cause with: bench check variant nans:Lost"
    )
    with pytest.raises(SystemExit, match=f"^bench samples: error: {re.escape(message)}$"):
        draw("nans:Lost")
    assert not list(Path("results/mixture_2d/samples").rglob("*.npz"))


def test_a_bound_that_is_not_finite_ends_the_job(draw):
    """Else tables would have empty cells and figures would fail."""
    draw("beta")
    raw = {**RAW, "settings": ["mixture_2d"], "metrics": ["nll"]}
    raw["processes"] = {"ddpm": {"variants": ["beta", "nans:Lost"]}}
    raw["bound"] = {"images": 10, "K": [5], "trajectories": ["even"]}
    loading.write(loading.resolve(raw, folder=ROOT), "config.yaml")
    message = "bound of lost, even, K = 5: found NaN or infinity for 10 of 10 images, expected"
    with pytest.raises(SystemExit, match=f"^bench bound: error: {message}"):
        cli.main(["bound", "--config", "config.yaml", "--setting", "mixture_2d"])


def test_samples_of_an_earlier_version_that_are_not_finite_are_drawn_again(draw, capsys):
    draw("beta")
    path = paths.Setting("mixture_2d").samples("ddpm", "nothing", "beta", "even", 5, 0)
    whole = files.read_npz(path)
    files.write_npz(path, images=np.full_like(whole["images"], np.nan), digest=whole["digest"])
    capsys.readouterr()
    draw("beta")
    assert "found NaN or infinity, expected finite numbers; drawn again" in capsys.readouterr().err
    assert np.array_equal(files.read_npz(path)["images"], whole["images"])


SOLVERS = {
    "spacings": ["linspace", "karras"],
    "solvers": {
        "heun": {"scheduler": "HeunDiscreteScheduler"},
        "ancestral": {"scheduler": "EulerAncestralDiscreteScheduler"},
    },
}


def test_solvers_and_second_order_are_rows_of_the_tables(tmp_path, monkeypatch):
    """From data to table1. Their evaluations are those that were made; solvers have no bound."""
    monkeypatch.chdir(tmp_path)
    options = ["--config", "config.yaml", "--setting", "mixture_2d"]
    raw = {**RAW, "settings": ["mixture_2d"], "metrics": ["nll", "fid"]}
    raw["processes"] = {
        "ddpm": {"variants": ["beta_tilde"]},
        "ddpm_2m": {"variants": ["beta_tilde"]},
        "ddim_2m": {"variants": ["zero"]},
        "solver": SOLVERS,
    }
    raw["samples"] = {"count": 20, "K": [5, 10], "trajectories": ["even"]}
    raw["bound"] = {"images": 10, "K": [5], "trajectories": ["even"]}
    experiment = loading.resolve(raw, folder=ROOT)
    loading.write(experiment, "config.yaml")
    assert loading.load("config.yaml") == experiment
    stages = ("data", "mean", "trajectories", "bound", "bound_2m", "extractor", "reference")
    for stage in stages:
        cli.main([stage, *options])
    for process in raw["processes"]:
        cli.main(["samples", *options, "--process", process])
        cli.main(["fidelity", *options, "--process", process])
    for stage in ("cells", "tables"):
        cli.main([stage, "--config", "config.yaml"])
    cells = files.read_csv(paths.Tables().cells, ["process", "variant", "trajectory", "K"])
    assert set(cells[cells.metric == "nll_nats"].process) == {"ddpm", "ddpm_2m"}
    solvers = cells[cells.process == "solver"]
    found = solvers[["variant", "trajectory", "K", "network_evaluations"]].values.tolist()
    assert found == [
        *(["heun", "linspace", 5, 9], ["heun", "linspace", 10, 19]),
        *(["heun", "karras", 5, 9], ["heun", "karras", 10, 19]),
        *(["ancestral", "linspace", 5, 5], ["ancestral", "linspace", 10, 10]),
    ]
    assert solvers.version.str.contains(", ancestral diffusers |, heun diffusers ").all()
    assert not solvers.version.str.contains("trajectories").any()
    table = paths.Tables().table1.read_text()
    assert "mixture_2d,fid,solver,karras,heun," in table and ",ddim_2m,even,zero," in table


def test_samples_of_solvers_are_kept_until_an_option_changes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = ["--config", "config.yaml", "--setting", "mixture_2d"]
    raw = {**RAW, "settings": ["mixture_2d"], "processes": {"solver": SOLVERS}}
    raw["samples"] = {"count": 20, "K": [5], "trajectories": ["even"]}
    loading.write(loading.resolve(raw, folder=ROOT), "config.yaml")
    for stage in ("data", "mean"):
        cli.main([stage, *options])
    for _ in range(2):
        cli.main(["samples", *options, "--process", "solver"])
    assert (
        "samples mixture_2d solver nothing: all 3 cells are there already"
        in capsys.readouterr().out
    )
    path = paths.Setting("mixture_2d").samples("solver", "nothing", "heun", "karras", 5, 0)
    before = files.read_npz(path)["digest"]
    raw["processes"]["solver"]["solvers"]["heun"] = {
        "scheduler": "HeunDiscreteScheduler",
        "steps_offset": 1,
    }
    loading.write(loading.resolve(raw, folder=ROOT), "config.yaml")
    cli.main(["samples", *options, "--process", "solver"])
    assert files.read_npz(path)["digest"] != before
