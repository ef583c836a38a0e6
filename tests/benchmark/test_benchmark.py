"""The benchmark on a tiny run: every figure is there, and no pass too many is made.

What it says of seconds is not looked at.
"""

import json
import os
import shutil

import pytest

from bench.benchmark import estimates, grid, levers, report, trained, trajectories, whole

pytestmark = [
    pytest.mark.xdist_group("benchmark"),  # they share what takes a minute to make
    pytest.mark.slow,
]


@pytest.fixture(scope="module")
def measured(tiny_run, tmp_path_factory):
    """(benchmark.json, benchmark.md) of the tiny run in place of the default one."""
    folder = tmp_path_factory.mktemp("benchmark")

    def copied(into):
        shutil.copytree(tiny_run, into)
        # What is measured is a default run, whose configuration has another place.
        shutil.copy(into / "results" / "tiny-tables" / "config.yaml", into / "results")
        return 100.0, 0.0

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(whole, "run", copied)
        patch.setattr(levers, "ROUNDS", 2)
        patch.setattr(levers.shutil, "which", lambda name: None)
        patch.setattr(trained, "STEPS", 3)
        patch.setattr(
            grid,
            "CASES",
            {"one": (20, (2,), 1), "more steps": (40, (2,), 1), "more variants": (20, (2,), 8)},
        )
        patch.setattr(trajectories, "LIMITS", {50: 600})
        patch.setattr(estimates, "TARGETS", (0.05,))
        report.benchmark()
    found = json.loads((folder / "results" / "benchmark.json").read_text())
    return found, (folder / "results" / "benchmark.md").read_text()


def test_every_part_has_figures(measured):
    found, text = measured
    assert {figure["part"] for figure in found["figures"]} == {
        "whole",
        "bound",
        "moments",
        "heads",
        "samples",
        "scores",
        "trajectories",
        "levers",
    }
    for figure in found["figures"]:
        assert figure["value"] and f"| {figure['name']}" in text
        assert (figure["met"] is None) == (figure["target"] == "")
    assert {job["stage"] for job in found["jobs"]} >= {
        "mean",
        "moments",
        "heads",
        "bound",
        "samples",
    }


def test_as_many_passes_as_are_needed(measured):
    ratios = [
        figure for figure in measured[0]["figures"] if "passes made / needed" in figure["name"]
    ]
    assert len(ratios) == 6 and all(
        figure["value"] == "1.00" and figure["met"] for figure in ratios
    )
    of_heads = next(
        figure
        for figure in measured[0]["figures"]
        if figure["name"] == "trunk passes a training step"
    )
    assert of_heads["value"] == "1.00 an image"


def test_cell_by_cell_takes_the_passes_of_every_cell(measured, tiny_run):
    """8 variants · Σ K passes an image, against one for each step that a trajectory visits."""
    figure = next(
        figure for figure in measured[0]["figures"] if figure["name"].startswith("times faster")
    )
    steps = json.loads((tiny_run / "results" / "tiny" / "trajectories" / "even.json").read_text())[
        "*"
    ]
    Ks = [int(K) for K in figure["name"].partition("K = ")[2].split(", ")]
    visited = {t for K in Ks for t in steps[str(K)]}
    assert figure["limit"].startswith(f"{8 * sum(Ks) / len(visited):.1f} times fewer passes")


def test_core_seconds():
    """A run of 60 s on all cores, half of it inside the networks of one job: a ratio of 2."""
    job = {
        "stage": "mean",
        "threads": os.cpu_count(),
        "seconds": 50.0,
        "start_up": 3.0,
        "network": 30.0,
        "peak_mb": 1.0,
    }
    figures = {figure.name: figure for figure in whole.figures(60.0, 12.0 * os.cpu_count(), [job])}
    ratio = figures["core-seconds of the run over those inside networks"]
    assert ratio.value == "2.00" and ratio.met is False
    assert (
        figures["start-up of a job with a network"].met
        and figures["wall time of the default run"].met
    )
    assert "20% of whose time" in figures["wall time of the default run"].limit
    assert whole.table([job]) == [["mean", os.cpu_count(), "50.0", "3.0", "30.0", "17.0", "1"]]


def test_a_run_that_fails_names_its_log(tmp_path, monkeypatch):
    monkeypatch.setattr(whole, "TARGET", "results/no_such_table.csv")
    with pytest.raises(whole.BenchError, match=r"run\.log: the default run failed"):
        whole.run(tmp_path / "run")
