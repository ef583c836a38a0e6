"""Where a run stands: states and times of hand-made logs and outputs, and a run that is killed."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import cli
from bench.experiment import loading
from bench.plan import status
from bench.runtime import files, paths
from tests.helpers.runs import CONFIG, ROOT, TINY, environment

NOW = 1_800_000_000.0
WROTE = "bench bound: wrote results/tiny/bound.parquet\n"
ERROR = "bench bound: error: bound of tiny: not finite; look for the cause\n"
BAR = (
    "\rbound tiny:   0%|          | 0/100 [00:00<?, ?pass/s]"
    "\rbound tiny:  25%|██▌       | 25/100 [20:10<1:01:30, 0.10pass/s, loss=0.2]"
)


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """The tiny experiment, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return loading.load(ROOT / "params.yaml", [TINY])


@pytest.fixture
def bound(tiny):
    """The job of its bound."""
    (job,) = status.jobs_of(tiny, "tiny")["bound"]
    return job


def write(path, text="", ago=0.0):
    """Writes a file that is `ago` seconds old at NOW."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (NOW - ago, NOW - ago))


def make(job, ago=0.0):
    """Makes all outputs of a job."""
    for path in (job.target, *job.others):
        write(path, ago=ago)


def seen(job):
    return status.look(job, NOW)


@pytest.mark.parametrize(
    "log, outputs, state",
    [
        (None, None, "waiting"),
        (None, 5, "done"),  # results of another machine, without their logs
        ((WROTE, 9), 10, "done"),
        ((WROTE, 9), None, "waiting"),  # what it made was deleted
        (("", 9), None, "running"),  # Python starts
        ((BAR, 9), None, "running"),
        ((BAR, 900), None, "stopped"),
        ((BAR + "\nbench bound: interrupted\n", 9), None, "stopped"),
        ((BAR + "\n" + ERROR, 9), None, "failed"),
        ((BAR + "\nbench bound: unexpected error: KeyError: 't'\n", 9), None, "failed"),
        (("Traceback …\nModuleNotFoundError: No module named 'torch'\n", 9), None, "failed"),
        ((ERROR, 900), 60, "done"),  # made by hand after it
        ((WROTE + "bench log: error: the store is locked\n", 9), 10, "failed"),
        ((WROTE + "To see them: …\n", 9), 10, "done"),
        ((WROTE + "To see them: …\n", 900), None, "waiting"),
    ],
)
def test_the_state_of_a_job_follows_from_its_log_and_outputs(bound, log, outputs, state):
    if log:
        write(bound.log, *log)
    if outputs:
        make(bound, outputs)
    assert seen(bound).state == state


def test_a_part_of_the_outputs_is_not_done(bound):
    make(bound)
    bound.others[0].unlink()
    assert seen(bound).state == "waiting"


def test_a_silent_job_that_holds_its_lock_runs(bound):
    """A job waits for a GPU or is at a long step; the lock is that of the stages themselves."""
    write(bound.log, "device: every GPU (1) is taken by another job; waiting\n", 900)
    assert seen(bound).state == "stopped"
    with files.alone(bound.target):
        assert seen(bound).state == "running"
    assert seen(bound).state == "stopped"


def test_asking_for_a_lock_does_not_take_it(bound):
    write(bound.log, BAR, 900)
    with files.alone(bound.target):
        pass  # makes the lock file
    seen(bound)
    with open(bound.target.with_name(".bound.parquet.lock"), "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_time_left_is_that_of_the_last_bar_less_the_silence(bound):
    write(bound.log, BAR, 30)
    assert seen(bound).left == 3600 + 90 - 30
    write(bound.log, "\rmean tiny:   0%|          | 0/60 [00:00<?, ?step/s]")
    assert seen(bound).left is None


def test_only_the_end_of_a_log_is_read(bound):
    write(bound.log, ERROR + "\n" * status.TAIL + BAR)
    assert seen(bound).state == "running"
    write(bound.log, "█" * status.TAIL + "\n" + ERROR)  # cut within a letter
    assert seen(bound).state == "failed"


def test_the_clock_is_that_of_the_file_system(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert status.clock()[1] is False  # nothing there: nothing is made
    assert list(tmp_path.iterdir()) == []
    paths.RESULTS.mkdir()
    beside = tmp_path / "beside"
    beside.touch()
    now, of_files = status.clock()
    assert of_files and abs(now - beside.stat().st_mtime) < 60
    assert list(paths.RESULTS.iterdir()) == []


def table(text):
    """{(setting, stage): {column: text}} of the report."""
    lines = text.splitlines()
    spans, start = [], 0
    for rule in lines[1].split("  "):
        spans.append(slice(start, start + len(rule)))
        start += len(rule) + 2
    rows = {}
    for line in lines[2 : lines.index("")]:
        cells = [line[span].strip() for span in spans]
        rows[cells[0], cells[1]] = dict(zip(lines[0].split()[2:], cells[2:], strict=True))
    return rows


def test_where_nothing_ran_everything_waits(tiny, tmp_path):
    rows = table(status.report(tiny))
    assert rows["tiny", "samples ddpm"]["waiting"] == "3"
    assert rows["tiny", "trajectories"]["done"] == "0/4"
    total = rows["total", ""]
    assert total["done"] == f"0/{total['waiting']}" and total["left"] == "?"
    assert list(tmp_path.iterdir()) == []


def account(stage, images, seconds, **which):
    """Writes the account of a finished job that took 3 seconds before its first pass."""
    job = paths.job("tiny", stage, *which.values())
    numbers = {"start_up": 3.0, "seconds": 3.0 + seconds, "images": images}
    job.parent.mkdir(parents=True, exist_ok=True)
    job.write_text(json.dumps({"stage": stage, "setting": "tiny", **which, **numbers}))


def minutes(seconds):
    """To two digits, as the plan shows times."""
    return f"{float(f'{seconds / 60:.2g}'):g} min"


def test_time_left_of_waiting_jobs_is_passes_by_the_speed_of_the_network(tiny):
    """10 images a second; a training step is three passes."""
    account("moments", 200, 20.0)
    rows = table(status.report(tiny))
    setting = tiny.setting("tiny")
    moments = setting.schedule.N * setting.moments.draws
    assert rows["tiny", "moments"]["left"] == minutes(3 + moments / 10)
    train = setting.mean.train
    training = 3 * train.steps * train.batch / 10
    assert rows["tiny", "mean"]["left"] == minutes(3 + training)
    assert rows["tiny", "fidelity ddpm"]["left"] == "?"  # another network
    assert rows["total", ""]["left"].startswith("≥ ")
    account("mean", train.steps * train.batch, training)  # as fast
    assert table(status.report(tiny))["tiny", "moments"] == rows["tiny", "moments"]


def test_the_jobs_of_samples_share_the_time_by_their_steps(tiny):
    account("moments", 200, 20.0)
    before = table(status.report(tiny))["tiny", "samples ddim"]["left"]
    jobs = status.jobs_of(tiny, "tiny")["samples ddim"]
    K = 2 * (5 + 10)  # of two trajectories
    weights = {job.log.stem: job.weight for job in jobs}
    assert weights == {
        "samples-ddim-nothing-0": K,  # zero
        "samples-ddim-moments-0": 6 * K,
        "samples-ddim-heads-0": 2 * K,  # npr, sn
    }
    for job in jobs[:2]:
        make(job)
    left = table(status.report(tiny))["tiny", "samples ddim"]["left"]
    images = 2320  # as the bar of this job counts; a quadratic trajectory of 10 has 9 steps
    assert before != left == minutes(3 + images / 10)


def test_failed_and_stopped_jobs_are_named_with_their_last_words(tiny, monkeypatch):
    jobs = status.jobs_of(tiny, "tiny")
    monkeypatch.setattr(status, "clock", lambda: (NOW, True))
    write(jobs["bound"][0].log, ERROR)
    write(jobs["heads"][0].log, BAR, 720)
    write(jobs["mean"][0].log, BAR, 30)
    write(jobs["data"][0].log, "digits: 12 files\n", 10)
    text = status.report(tiny)
    assert f"failed: results/.logs/tiny/bound.log: {ERROR}" in text
    assert "stopped: results/.logs/tiny/heads.log: silent for 12 min\n" in text
    assert "With 2 jobs side by side, as now: ≥ 1 h left." in text
    rows = table(text)
    assert rows["tiny", "mean"] == dict(
        done="0/1", running="1", stopped="", failed="", waiting="", left="1 h"
    )
    assert (rows["tiny", "bound"]["failed"], rows["tiny", "heads"]["stopped"]) == ("1", "1")
    assert "clock of this" not in text
    monkeypatch.setattr(status, "clock", lambda: (NOW, False))
    assert "by the clock of this\nmachine" in status.report(tiny)


def test_a_run_of_another_configuration_is_named(tiny):
    place = paths.Tables("tiny").config
    loading.write(tiny, place)
    assert "another configuration" not in status.report(tiny)
    settings = {"tiny": tiny.setting("tiny").model_copy(update={"shards": 3})}
    loading.write(tiny.model_copy(update={"settings": settings}), place)
    text = status.report(tiny)
    assert "bench status --config results/tiny-tables/config.yaml" in text
    assert max(map(len, text.splitlines())) <= 80


def test_shards_are_done_when_the_stage_has_put_them_together(tiny):
    """And what they made is gone."""
    settings = {"tiny": tiny.setting("tiny").model_copy(update={"shards": 3})}
    sharded = tiny.model_copy(update={"settings": settings})
    *shards, whole = status.jobs_of(sharded, "tiny")["moments"]
    assert [job.target.name for job in shards] == ["moments-0", "moments-1", "moments-2"]
    assert [job.log.name for job in shards] == ["moments-0.log", "moments-1.log", "moments-2.log"]
    wrote = "bench moments: wrote results/tiny/shards/moments-0\n"
    write(shards[0].log, wrote, 60)
    make(shards[0], 61)
    write(shards[1].log, BAR, 5)
    assert [seen(job).state for job in shards] == ["done", "running", "waiting"]
    for job in shards:
        write(job.log, wrote, 60)
    shards[0].target.unlink()
    assert seen(shards[0]).state == "waiting"  # nobody has taken it in
    make(whole, 30)
    write(whole.log, "bench moments: wrote results/tiny/moments\n", 30)
    assert {seen(job).state for job in (*shards, whole)} == {"done"}
    write(shards[1].log, BAR, 10)  # the next run, which has still to put together anew
    assert seen(shards[1]).state == "running"
    whole_made, killed = 900, 600
    make(whole, whole_made)
    write(shards[1].log, BAR, killed)
    assert seen(shards[1]).state == "stopped"


def test_rows_of_a_filter_have_their_own_files(tiny):
    raw = ROOT / "params.yaml"
    Path("only.yaml").write_text("only: [tiny/ddim/zero/K10]\n")
    chosen = loading.load(raw, [TINY, "only.yaml"])
    jobs = status.jobs_of(chosen, "tiny")
    assert [job.target for job in jobs["samples ddim"]] == [
        Path("results/tiny/only/samples/ddim/nothing-0.json")
    ]
    assert "bound" not in jobs and "heads" not in jobs


@pytest.mark.slow
def test_every_job_of_a_run_is_counted_and_done(tiny_run, monkeypatch, capsys):
    """Whoever adds a rule adds it here: logs are named by the rules alone."""
    monkeypatch.chdir(tiny_run)
    cli.main(["status", "--config", CONFIG])
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    total = table(text)["total", ""]
    logs = len(list((tiny_run / "results" / ".logs").rglob("*.log")))
    assert total == dict(
        done=f"{logs}/{logs}", running="", stopped="", failed="", waiting="", left=""
    )


@pytest.mark.slow
def test_a_run_killed_in_the_middle(copy, tmp_path, monkeypatch, capsys):
    """The job of the bound: while it is at work, right after SIGKILL, and minutes later."""
    monkeypatch.chdir(copy)
    for name in ("bound", "terms", "calibration"):
        (copy / f"results/tiny/{name}.parquet").unlink()
    log = copy / "results/.logs/tiny/bound.log"
    with open(log, "wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench", "bound", "--setting", "tiny", "--config", CONFIG],
            env=environment(),
            stdout=file,
            stderr=file,
        )
    deadline = time.monotonic() + 400
    while "%|" not in log.read_text():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)

    def row():
        cli.main(["status", "--config", CONFIG])
        return table(capsys.readouterr().out)["tiny", "bound"]

    process.send_signal(signal.SIGSTOP)  # so that it stays in the middle
    long_ago = time.time() - 2 * status.PATIENCE
    assert row()["running"] == "1"
    os.utime(log, (long_ago, long_ago))
    assert row()["running"] == "1"  # silent, but it holds its lock
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert row()["stopped"] == "1"
    assert row()["left"] not in ("", "?")  # by the speed of the run before
