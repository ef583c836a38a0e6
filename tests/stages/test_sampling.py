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
