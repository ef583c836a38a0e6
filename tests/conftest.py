"""Fixtures: a small data set, a network with a known answer, a real run of the tiny experiment."""

import os
import shutil

import pytest
import threadpoolctl
import torch
from filelock import FileLock

from bench import covariance
from tests.helpers.models import LinearModel, make_data
from tests.helpers.runs import TABLES, TINY, snakemake

# The files that take longest, the longest first. A worker takes a test, or a group, in this order.
LONGEST = (
    "test_slurm",
    "test_commands",
    "test_plugin_package",
    "test_authoring",
    "test_dvc",
    "test_recovery",
    "test_contract",
    "test_plan",
    "test_benchmark",
    "test_invariance",
    "test_places",
    "test_workflow",
    "test_snakemake",
    "test_artifacts",
    "test_checkpoints",
    "test_structures",
)


def pytest_collection_modifyitems(items):
    """The longest files first: if workers share the tests, the others fit in beside them."""

    def place(item):
        name = item.path.stem
        return LONGEST.index(name) if name in LONGEST else len(LONGEST)

    items.sort(key=place)


@pytest.fixture
def registry():
    """Variants that a test defines are forgotten after it."""
    before = [(names, dict(names)) for names in (covariance.VARIANTS, covariance.FAMILIES)]
    yield
    for names, members in before:
        names.clear()
        names.update(members)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Several tests run at once, so a stage that a test calls takes one thread, not all."""
    monkeypatch.setenv("BENCH_THREADS", "1")
    torch.set_num_threads(1)
    threadpoolctl.threadpool_limits(1)


@pytest.fixture
def data():
    return make_data()


@pytest.fixture
def linear_model():
    return LinearModel()


@pytest.fixture
def copy(tiny_run, tmp_path):
    """A copy of the finished run that a test may break, timestamps kept."""
    return shutil.copytree(tiny_run, tmp_path / "run")


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """A folder with a finished run of the tiny experiment: every stage and variant, and MLflow's
    sqlite store.

    The workers of pytest-xdist share it: the first that needs it makes it, the others wait.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "tiny"
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / TABLES / "table1.csv").exists():
            folder.mkdir(exist_ok=True)
            run = snakemake(folder, "all", "--configfile", str(TINY))
            assert run.returncode == 0, run.stderr[-4000:]
    return folder
