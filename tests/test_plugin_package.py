"""examples/plugin: an installed package adds a reader, a metric and a learned variant to tables,
figures and MLflow, and no file of the tree changes.
"""

import re
import shutil
import site
import subprocess
import sys

import numpy as np
import pandas
import pytest
import yaml

from tests.helpers.runs import ROOT, environment

pytestmark = pytest.mark.slow  # a minute: an environment, a run of the workflow
PLUGIN = "examples/plugin"


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """The workflow and the package in a folder of their own, which git watches."""
    folder = tmp_path_factory.mktemp("plugin") / "clone"
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    wanted = ("Snakefile", "params.yaml", ".gitignore", "workflows/", PLUGIN)
    for name in subprocess.check_output(listed, cwd=ROOT, text=True).splitlines():
        if name.startswith(wanted) and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    person = ["-c", "user.name=bench", "-c", "user.email=bench@example.org"]
    commit = [*person, "commit", "--quiet", "--message", "start"]
    for words in (["init", "--quiet"], ["add", "."], commit):
        subprocess.run(["git", *words], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def run(clone, tmp_path_factory):
    """A function that runs a command in the clone, in a fresh environment with the package.

    The environment sees the packages of this one, so that torch is not installed again.
    """
    place = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    (fresh,) = place.glob("lib/python*/site-packages")
    (fresh / "outer.pth").write_text("\n".join(site.getsitepackages()))
    variables = environment(PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1")
    variables["PATH"] = f"{place / 'bin'}:{variables['PATH']}"

    def run(*command):
        words = [place / "bin" / "python", "-m", *command]
        found = subprocess.run(words, cwd=clone, env=variables, capture_output=True, text=True)
        assert found.returncode == 0, found.stdout[-2000:] + found.stderr[-4000:]
        return found.stdout

    run("pip", "install", "--quiet", "--no-deps", "--no-build-isolation", f"./{PLUGIN}")
    assert list(fresh.glob("bench_plugin-*.dist-info"))
    return run


def test_its_readme_names_the_commands_that_are_run_here():
    text = (ROOT / PLUGIN / "README.md").read_text()
    (block,) = re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert block.splitlines() == [
        f"pip install ./{PLUGIN}",
        "bench check variant log_median",
        f"snakemake --cores all tables --configfile {PLUGIN}/plugin.yaml",
    ]


def test_the_installed_variant_keeps_the_contract(run):
    table = run("bench", "check", "variant", "log_median")
    assert "log_median: loss less that of an untrained head" in table and "False" not in table


def test_a_run_has_them_in_tables_figures_and_mlflow(run, clone):
    overlay = f"{PLUGIN}/plugin.yaml"
    run("snakemake", "--cores", "2", "tables", "--configfile", overlay)
    tables = clone / "results/plugin-tables"
    cells = pandas.read_csv(tables / "cells.csv")
    row = cells[cells.variant == "log_median"]
    assert set(row.metric) == {"nll_bpd", "nll_tail", "fid"}
    assert set(row.process) == {"ddpm", "ddim"}
    assert np.isfinite(row.value).all() and set(cells.setting) == {"patches"}
    one = row[row.K == 10].set_index(["process", "metric"]).value
    assert one["ddpm", "nll_tail"] > one["ddpm", "nll_bpd"]
    table1 = pandas.read_csv(tables / "table1.csv")
    assert set(table1[table1.variant == "log_median"].metric) == set(row.metric)
    for metric in ("nll", "nll_tail", "fid"):
        drawing = (tables / "figures/patches" / f"{metric}.svg").read_text()
        assert "log_median" in drawing, metric
    resolved = yaml.safe_load((tables / "config.yaml").read_text())["settings"]["patches"]
    assert resolved["data"] == {"name": "photo_patches", "side": 8}
    assert resolved["heads"]["targets"]["log_median"] == "simple"
    _is_in_mlflow(clone, one["ddpm", "nll_tail"])
    status = ["git", "status", "--porcelain", "--untracked-files=all"]
    assert subprocess.check_output(status, cwd=clone, text=True) == ""


def _is_in_mlflow(clone, value):
    """The row is a run for each process, with its metrics; the data set has its reader's name."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{clone}/mlflow.db")
    experiments = [each.experiment_id for each in client.search_experiments()]
    found = client.search_runs(experiments, "tags.variant = 'log_median'")
    runs = {each.data.tags["process"]: each for each in found}
    assert set(runs) == {"ddpm", "ddim"}
    assert runs["ddpm"].data.metrics["nll_tail_K10"] == pytest.approx(value, rel=1e-4)
    (dataset,) = runs["ddpm"].inputs.dataset_inputs
    assert dataset.dataset.name == "photo_patches"
