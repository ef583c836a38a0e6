"""DVC on the finished tiny run: stages ask Snakemake; metrics and plots can be compared."""

import json
import os
import re
import shutil
import subprocess
import sys

import pandas
import pytest
import yaml
from snakemake.utils import update_config

from tests.helpers.runs import ROOT, TINY, bench, environment

NAMES = {"name": "default", "settings": ["tiny"]}


def run(folder, *command):
    """Standard output of a command in `folder`, which must succeed."""
    found = subprocess.run(
        command,
        cwd=folder,
        env=environment(DVC_NO_ANALYTICS="1", PYTHONPATH=str(folder)),
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stdout[-2000:] + found.stderr[-2000:]
    return found.stdout


def dvc(folder, *arguments):
    return run(folder, sys.executable, "-m", "dvc", *arguments)


@pytest.fixture
def clone(tiny_run, tmp_path):
    """A git repository of this tree whose default experiment is the tiny one, measured."""
    folder = tmp_path / "clone"
    listed = run(ROOT, "git", "ls-files", "--cached", "--others", "--exclude-standard")
    for name in listed.splitlines():
        if (ROOT / name).is_file() and not name.startswith((".dvc/reference/", "dvc.lock")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    for name in (
        "results/tiny",
        "results/.features",
        "results/.store",
        ".snakemake",
        "mlflow.db",
        "mlartifacts",
    ):
        copy = shutil.copytree if (tiny_run / name).is_dir() else shutil.copy2
        copy(tiny_run / name, folder / name)
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    update_config(raw, yaml.safe_load(TINY.read_text()) | NAMES)
    (folder / "params.yaml").write_text(yaml.safe_dump(raw))
    run(folder, "git", "init", "-q")
    run(folder, "git", "config", "user.email", "bench@example.org")
    run(folder, "git", "config", "user.name", "bench")
    run(folder, "git", "add", ".")
    run(folder, "git", "commit", "-qm", "start")
    return folder


@pytest.mark.slow
def test_repro_is_up_to_date_and_metrics_plots_and_parameters_differ(clone):
    dvc(clone, "repro")
    assert "up to date" in dvc(clone, "repro")
    lock = yaml.safe_load((clone / "dvc.lock").read_text())
    assert set(lock["stages"]) == {"measure@tiny", "tables"}
    run(clone, "git", "add", ".")
    run(clone, "git", "commit", "-qm", "run")
    dvc(clone, "push")
    reference = json.loads((clone / "results" / "metrics.json").read_text())

    # a table that is lost comes back from the remote that is part of the repository
    shutil.rmtree(clone / ".dvc" / "cache")
    os.unlink(clone / "results" / "metrics.json")
    dvc(clone, "pull")
    assert json.loads((clone / "results" / "metrics.json").read_text()) == reference

    raw = yaml.safe_load((clone / "params.yaml").read_text())
    raw["processes"]["ddim"]["variants"] = ["zero"]
    raw["processes"]["ddpm"]["variants"] = ["beta"]
    raw["metrics"] = ["fid"]
    (clone / "params.yaml").write_text(yaml.safe_dump(raw))
    dvc(clone, "repro")
    (changed,) = json.loads(dvc(clone, "metrics", "diff", "--json")).values()
    best = reference["tiny"]["fid"]["ddpm"]["K5"]
    assert changed["tiny.fid.ddpm.K5.best"]["new"].startswith("beta/")
    assert changed["tiny.fid.ddpm.K5.default"]["old"] == best["default"]
    assert "tiny.nll_bpd.ddpm.K5.value" in changed  # that is gone
    assert "tiny.fid.ddpm.K5.value" in dvc(clone, "exp", "show", "--csv")
    assert "tiny.fid.ddpm.K5.default" in dvc(clone, "exp", "diff", "HEAD")
    page = dvc(clone, "plots", "diff", "HEAD", "--out", "page")
    assert "index.html" in page
    html = (clone / "page" / "index.html").read_text()
    assert '"rev": "workspace"' in html and "improved_ddpm" in html
    assert needs_no_network(html)


def needs_no_network(html):
    """Whether a page loads nothing: its scripts are in it."""
    tags = re.sub(r"(<script[^>]*>).*?</script>", r"\1", html, flags=re.DOTALL)
    loads = re.findall(r"<(?:script|link|img)[^>]*\b(?:src|href)\s*=", tags)
    return not loads and "vegaEmbed(" in html


def test_the_reference_run_can_be_pulled(tmp_path):
    """A clone has the tables of the default experiment without a run, with all of its rows."""
    listed = run(ROOT, "git", "ls-files", ".dvc", "dvc.*", "params.yaml", ".dvcignore")
    for name in listed.splitlines():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tmp_path / name)
    run(tmp_path, "git", "init", "-q")
    dvc(tmp_path, "pull")
    cells = pandas.read_csv(tmp_path / "results" / "cells.csv")
    processes = yaml.safe_load((ROOT / "params.yaml").read_text())["processes"]
    for process, section in processes.items():
        assert set(cells[cells.process == process].variant) == set(section["variants"])
    assert bench(tmp_path, "plots-page").returncode == 0
    dvc(tmp_path, "plots", "show")
    assert needs_no_network((tmp_path / "dvc_plots" / "index.html").read_text())
    # README's table
    cells = cells.query("process == 'ddpm' and trajectory == 'even' and metric == 'nll_bpd'")
    found = cells.set_index(["variant", "K"]).value.round(2)
    readme = (ROOT / "README.md").read_text()
    for variant in ("beta_tilde", "beta", "mle_diagonal"):
        numbers = " | ".join(f"{found[variant, K]:.2f}" for K in (10, 50, 200, 1000))
        assert f"| `{variant}` | {numbers} |" in readme
