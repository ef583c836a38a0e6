"""The account of a job: what is counted, against modules whose time and passes are known, and the
plan of a whole run.
"""

import json
import time

import pytest
import torch
from torch import nn

from bench.data import dataset
from bench.experiment import loading
from bench.plan import passes, speed
from bench.runtime import paths, stopwatch

PAUSE = 0.02  # seconds that a pass of `Slow` takes at least


class Slow(nn.Module):
    def forward(self, images):
        time.sleep(PAUSE)
        return images


def test_passes_images_and_seconds_of_a_watched_network():
    network = stopwatch.watched(Slow())
    with stopwatch.fresh() as account:
        assert account.first is None
        begun = time.time()
        for images in (3, 5):
            network(torch.zeros(images, 1))
        time.sleep(PAUSE)  # outside
        taken = time.time() - begun
    assert (account.passes, account.images) == (2, 8)
    assert 2 * PAUSE <= account.seconds <= taken - PAUSE
    assert begun <= account.first <= begun + taken


def test_a_backward_pass_is_time_but_no_pass():
    with stopwatch.fresh() as account, stopwatch.inside(torch.device("cpu")):
        time.sleep(PAUSE)
    assert (account.passes, account.images) == (0, 0) and account.seconds >= PAUSE


def test_accounts_do_not_mix():
    network = stopwatch.watched(Slow())
    with stopwatch.fresh() as outer:
        network(torch.zeros(1, 1))
        with stopwatch.fresh() as inner:
            network(torch.zeros(2, 1))
        network(torch.zeros(4, 1))
    assert (outer.images, inner.images) == (5, 2)


def test_the_account_of_a_job_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with stopwatch.fresh() as account:
        stopwatch.watched(Slow())(torch.zeros(7, 1))
    stopwatch.write(account, "samples", "digits", 1, process="ddim", shard=3)
    found = json.loads(
        (tmp_path / "results" / ".jobs" / "digits" / "samples-ddim-3.json").read_text()
    )
    assert (found["stage"], found["process"], found["shard"], found["passes"], found["images"]) == (
        "samples",
        "ddim",
        3,
        1,
        7,
    )
    assert (
        PAUSE <= found["network"] < found["seconds"]
        and 0 < found["start_up"] < found["seconds"]
        and found["peak_mb"] > 1
    )


@pytest.mark.parametrize(
    "stage", ["mean", "moments", "heads", "bound", "samples ddpm", "samples ddim"]
)
def test_a_run_makes_the_passes_that_are_needed_and_no_more(tiny_run, monkeypatch, stage):
    monkeypatch.chdir(tiny_run)
    experiment = loading.load(paths.Tables("tiny").config)
    setting = experiment.setting("tiny")
    size = dataset.size(setting.data.name, setting.data.options, paths.Setting("tiny").data)
    mean = speed.mean_network("tiny", setting, size.shape)
    rows = {row.stage: row for row in passes.rows_of(experiment, "tiny", size, mean, None)}
    jobs = [
        json.loads(path.read_text())
        for path in (tiny_run / "results" / ".jobs" / "tiny").glob("*.json")
    ]
    mine = [job for job in jobs if stage in (job["stage"], f"{job['stage']} {job.get('process')}")]
    passed = sum(job["images"] for job in mine)
    assert mine and (
        0.5 * rows[stage].passes < passed <= rows[stage].passes
        if rows[stage].at_most
        else passed == rows[stage].passes
    )
