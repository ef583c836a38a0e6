"""Shared pieces: a small data set, networks with closed-form answers, and one real run of the tiny experiment."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl
import torch
from filelock import FileLock

from bench import cli
from bench.data.dataset import Data, pieces

ROOT = Path(__file__).parent.parent
TINY = ROOT / "workflows" / "experiments" / "tiny.yaml"


def pytest_collection_modifyitems(items):
    """The longest file first: where files are shared out to workers, the others fit in beside it."""
    items.sort(key=lambda item: item.path.stem != "test_recovery")


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Several tests run at once; a stage called in this process takes one thread where it would take all."""
    monkeypatch.setitem(cli.OPTIONS["threads"], "default", 1)
    torch.set_num_threads(1)
    threadpoolctl.threadpool_limits(1)


def make_data(shape=(1, 4, 4), levels=17, train=50, test=20):
    """Random images with every level, for which nothing needs training."""
    random = np.random.default_rng(0)
    images = random.integers(0, levels, size=(train + test, *shape)).astype(np.uint8)
    return Data("random", images[:train], images[train:], levels, None, None, "0" * 16)


def whole(images):
    """All of what a reader returns as one array, whether it is one or is made piece by piece."""
    return np.concatenate(list(pieces(images)))


@pytest.fixture
def data():
    return make_data()


class LinearModel:
    """ε̂ = k x_t: moments over q(x_t) are closed forms of E[x_0] and E[x_0²]. Counts its passes."""

    device = torch.device("cpu")

    def __init__(self, k=0.5):
        self.k, self.rows = k, 0

    def __call__(self, x_t, t):
        self.rows += len(x_t)
        return self.k * x_t, None


@pytest.fixture
def linear_model():
    return LinearModel()


def environment(**extra):
    """The environment of a command run by a test: this Python's commands, a store of its own, one thread a job."""
    return {**{key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"},
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **extra}


def snakemake(folder, *arguments, **extra):
    """Runs the real Snakefile in `folder`; returns the finished process with its output."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "2", *arguments]
    return subprocess.run(command, cwd=folder, env=environment(**extra), capture_output=True, text=True)


def bench(folder, *arguments, **extra):
    """Runs the `bench` command in `folder`."""
    return subprocess.run([sys.executable, "-m", "bench", *arguments], cwd=folder, env=environment(**extra),
                          capture_output=True, text=True)


@pytest.fixture
def copy(tiny_run, tmp_path):
    """A copy of the finished run that a test may break, timestamps kept."""
    return shutil.copytree(tiny_run, tmp_path / "run")


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """A folder with a finished run of the tiny experiment: every stage and variant, and MLflow's sqlite store.

    The workers of pytest-xdist share it: the first that needs it makes it, the others wait.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "tiny"
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "results" / "table1.csv").exists():
            folder.mkdir(exist_ok=True)
            run = snakemake(folder, "all", "--configfile", str(TINY))
            assert run.returncode == 0, run.stderr[-4000:]
    return folder
