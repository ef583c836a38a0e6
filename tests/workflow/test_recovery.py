"""What a run survives: jobs killed in the middle, a full disk, a folder in the way, a second run in
the same folder.
"""

import contextlib
import io
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml
from safetensors.torch import load_file

from bench import cli
from bench.mean import storage
from bench.training import CHECKPOINT_EVERY
from tests.helpers.runs import CONFIG, ROOT, TABLES, TINY, environment, snakemake

PATIENCE = 400  # seconds until a job that a test waits for is taken to have hung


def start(folder, log, *arguments):
    """The real Snakefile in `folder` in the background, its output going to `log`."""
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(ROOT / "Snakefile"),
        *arguments,
    ]
    with open(log, "w") as file:
        return subprocess.Popen(
            command, cwd=folder, env=environment(), stdout=file, stderr=file, process_group=0
        )


def wait_for(condition, process):
    """Until `condition()` is true, while `process` is at work."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)


def kill_stage(process, stage):
    """SIGKILL to the `bench` process of a stage, among the descendants of `process`."""
    found = [
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if stage in child.cmdline()
    ]
    assert len(found) == 1
    found[0].send_signal(signal.SIGKILL)


def kill_in_the_middle(folder, log, stage, begun, *arguments):
    """Runs the workflow, kills the job of `stage` as soon as `begun(text of the log)`.

    The run must fail for it.
    """
    process = start(folder, log, *arguments)
    wait_for(lambda: begun(log.read_text()), process)
    kill_stage(process, stage)
    assert process.wait(PATIENCE) == 1


def kill_all_in_the_middle(folder, log, begun, *arguments):
    """The same with Snakemake and all its jobs."""
    process = start(folder, log, *arguments)
    wait_for(lambda: begun(log.read_text()), process)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait(PATIENCE) == -signal.SIGKILL


def partials(folder):
    return [path for path in (folder / "results").rglob(".*.partial")]


def test_a_run_whose_jobs_are_killed_ends_in_the_same_bytes(copy, tiny_run, tmp_path):
    """SIGKILL to the job of the bound, and to Snakemake and its job in the middle of sampling.

    The same command, typed again, goes on, and all tables are as undisturbed. Training is the next
    test.
    """
    arguments = ["all", "--cores", "1", "--configfile", str(TINY)]
    tiny, log = copy / "results" / "tiny", tmp_path / "log"
    manifest = tiny / "samples" / "ddpm" / "nothing-0.json"
    first_cell = tiny / "samples" / "ddpm" / "nothing" / "beta_tilde" / "even_K5" / "0.npz"
    for path in (tiny / "bound.parquet", manifest, tiny / "fidelity" / "ddpm.json"):
        path.unlink()
    shutil.rmtree(manifest.with_name("nothing"))
    shutil.rmtree(copy / TABLES)
    kill_in_the_middle(copy, log, "bound", lambda text: "bound tiny:" in text, *arguments)
    assert not (tiny / "bound.parquet").exists()
    kill_all_in_the_middle(copy, log, lambda text: first_cell.exists(), *arguments)
    assert not manifest.exists() and list((copy / ".snakemake" / "incomplete").iterdir())
    kept = first_cell.stat().st_mtime_ns
    run = start(copy, log, *arguments)
    assert run.wait(PATIENCE) == 0, log.read_text()[-4000:]
    assert first_cell.stat().st_mtime_ns == kept and not partials(copy)
    tables = sorted(path.relative_to(tiny_run) for path in (tiny_run / "results").rglob("*.csv"))
    assert len(tables) >= 8
    for table in [
        *tables,
        f"{TABLES}/table1.md",
        f"{TABLES}/metrics.json",
        "results/tiny/bound.parquet",
        first_cell.relative_to(copy),
    ]:
        assert (copy / table).read_bytes() == (tiny_run / table).read_bytes(), table


def test_training_killed_goes_on_from_its_checkpoint(tiny_run, tmp_path, monkeypatch, capsys):
    """The weights are those of an undisturbed training, and the first steps are not made again."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    raw = yaml.safe_load((tiny_run / CONFIG).read_text())
    raw["settings"]["tiny"]["mean"]["train"] |= {"steps": CHECKPOINT_EVERY + 60, "batch": 8}
    weights, logs = {}, {}
    for name in ("undisturbed", "killed"):
        folder = tmp_path / name
        (folder / "results" / "tiny").mkdir(parents=True)
        (folder / "results" / "tiny" / "data").symlink_to(tiny_run / "results" / "tiny" / "data")
        (folder / "c.yaml").write_text(yaml.safe_dump(raw))
        command = ["mean", "--config", "c.yaml", "--setting", "tiny", "--threads", "1"]
        if name == "killed":
            checkpoint = folder / "results" / "tiny" / "checkpoints" / "mean.pt"
            process = subprocess.Popen(
                [sys.executable, "-m", "bench", *command],
                cwd=folder,
                env=environment(),
                stderr=subprocess.DEVNULL,
            )
            wait_for(checkpoint.exists, process)
            process.send_signal(signal.SIGKILL)
            assert (
                process.wait() == -signal.SIGKILL
                and not (folder / "results" / "tiny" / "mean").exists()
            )
        monkeypatch.chdir(folder)
        capsys.readouterr()
        cli.main(command)
        logs[name] = capsys.readouterr().err
        weights[name] = load_file(
            folder / "results" / "tiny" / "mean" / "unet" / "diffusion_pytorch_model.safetensors"
        )
    assert (
        f" {CHECKPOINT_EVERY}/{CHECKPOINT_EVERY + 60} " in logs["killed"]
        and " 0/" not in logs["killed"]
    )
    for name, tensor in weights["undisturbed"].items():
        assert (weights["killed"][name] == tensor).all(), name


def test_a_second_run_in_the_folder_touches_nothing(copy, tmp_path):
    """Whether it asks for files that the first is making or for others."""
    arguments = ["--configfile", str(TINY)]
    target = "results/tiny/bound.parquet"
    before = (copy / CONFIG).read_bytes()
    log = tmp_path / "log"
    first = start(copy, log, target, "--cores", "1", "--forcerun", target, *arguments)
    try:
        wait_for(lambda: "rule bound:" in log.read_text(), first)
        other = "results/tiny/extractor"
        overlapping = snakemake(copy, target, "--forcerun", target, *arguments)
        disjoint = snakemake(
            copy, other, "--forcerun", other, "--config", "metrics=[fid]", *arguments
        )
        assert first.poll() is None
    finally:
        first.wait(PATIENCE)
    for second in (overlapping, disjoint):
        assert second.returncode == 1
        assert second.stderr.splitlines()[-1] == (
            f"error: {copy}: another snakemake is running in this folder; wait for "
            f"it to finish, or stop it first"
        )
    assert first.returncode == 0 and (copy / CONFIG).read_bytes() == before


@contextlib.contextmanager
def full_disk(limit=0):
    """No file of this process may grow beyond `limit` bytes: a write fails like that to a full disk
    does.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


SETTING = ["--setting", "tiny", "--config", CONFIG]
ALL = ["--config", CONFIG]
STAGES = {
    "data": (SETTING, "results/tiny/data"),
    "mean": (SETTING, "MLflow store sqlite:///mlflow.db"),
    "moments": (SETTING, "results/tiny/moments"),
    "trajectories": (SETTING, "results/tiny/trajectories/even.json"),
    "bound": (SETTING, "results/tiny/bound.parquet"),
    "samples": (
        [*SETTING, "--process", "ddpm"],
        "results/tiny/samples/ddpm/nothing/beta_tilde/even_K5/0.npz",
    ),
    "reference": (SETTING, "results/tiny/reference.json"),
    "fidelity": ([*SETTING, "--process", "ddpm"], "results/tiny/fidelity/ddpm.json"),
    "figures": (SETTING, f"{TABLES}/figures/tiny/nll.svg"),
    "cells": (ALL, f"{TABLES}/cells.csv"),
    "tables": (ALL, f"{TABLES}/plots/nll.csv"),
    "thresholds": ([], "results/table3.csv"),
    "config": ([*ALL, "--output", CONFIG], CONFIG),
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_full_disk_is_one_line_and_leaves_what_was_there(copy, monkeypatch, stage):
    monkeypatch.chdir(copy)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(sys, "stderr", io.StringIO())  # pytest's is a file, which is as full
    options, named = STAGES[stage]
    if stage == "samples":
        (copy / named).unlink()
    before = {path: path.read_bytes() for path in (copy / "results").rglob("*") if path.is_file()}
    with full_disk(), pytest.raises(SystemExit) as caught:
        cli.main([stage, *options])
    assert (
        caught.value.code.startswith(f"bench {stage}: error: {named}: cannot be ")
        and "\n" not in caught.value.code
    )
    assert {
        path: path.read_bytes() for path in (copy / "results").rglob("*") if path.is_file()
    } == before


def test_networks_on_a_full_disk(tmp_path, monkeypatch):
    """Weights and the checkpoint of a training are written by other libraries, each with an error
    of its own.
    """
    import torch

    from bench import training
    from bench.experiment.sections import TrainSection
    from bench.mean.train import make_unet
    from bench.runtime import files
    from bench.runtime.errors import BenchError
    from tests.helpers.models import OPTIONS, SHAPE

    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 1)
    section = TrainSection(steps=2, batch=1, learning_rate=1e-3, ema=0.9)
    network, unet = torch.nn.Linear(50, 50), make_unet(OPTIONS, SHAPE)

    def loss(step):
        return network(torch.ones(1, 50)).sum()

    writers = {
        "mean.pt": lambda path: training.train(network, loss, section, path, "any"),
        "head.safetensors": lambda path: files.write_safetensors(path, network.state_dict()),
        "mean": lambda path: storage.save(unet, "epsilon", path),
    }
    for name, write in writers.items():
        with full_disk(1000), pytest.raises(BenchError, match=f"{name}: cannot be written"):
            write(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_results_should_be(tmp_path):
    (tmp_path / "results").write_text("in the way")
    found = snakemake(tmp_path, "tables", "--configfile", str(TINY))
    assert found.returncode == 1 and "Traceback" not in found.stderr
    assert found.stderr.splitlines()[-1] == (
        f"error: {tmp_path / 'results'}: expected a folder that can be written to, for the results"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(copy, monkeypatch):
    monkeypatch.chdir(copy)
    Path("results/tiny/trajectories").chmod(0o500)
    try:
        with pytest.raises(
            SystemExit, match="results/tiny/trajectories/even.json: cannot be written"
        ):
            cli.main(["trajectories", *SETTING])
    finally:
        Path("results/tiny/trajectories").chmod(0o700)


def test_a_failed_job_fails_again(copy):
    """Snakemake deletes its outputs. It would then find the table that is made of them, not miss
    what is between, and end well.
    """
    arguments = ["tables", "--configfile", str(TINY)]
    bound = copy / "results" / "tiny" / "bound.parquet"
    with open(bound, "ab") as file:
        file.write(b"x")
    for _ in range(2):
        run = snakemake(copy, *arguments)
        assert run.returncode == 1
        assert "results/tiny/bound.parquet: corrupt or truncated" in run.stderr
