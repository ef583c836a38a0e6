"""All studies by one command, beside the experiment of params.yaml."""

import shutil
import subprocess
import sys

import pandas
import pytest
import yaml

from tests.helpers.runs import ROOT, environment

STUDY = """
name: trial
metrics: [nll]
settings:
  trial-own-0: {like: tiny}
  trial-own-1:
    like: tiny
    mean: {unet: null, train: null, checkpoint: results/trial-own-0/mean}
processes: {ddpm: {variants: [beta, mle_scalar]}}
moments: {draws: 20}
bound: {K: [5], trajectories: [even], images: 16}
"""


@pytest.fixture
def clone(tmp_path):
    """The workflow with one small study."""
    for name in ("Snakefile", "params.yaml"):
        shutil.copy2(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "workflows", tmp_path / "workflows")
    for path in (tmp_path / "workflows" / "studies").iterdir():
        path.unlink()
    (tmp_path / "workflows" / "studies" / "trial.yaml").write_text(STUDY)
    return tmp_path


def run(folder, *arguments):
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)


@pytest.mark.slow
def test_all_studies(clone):
    """Repeats share a mean model and no draws. Without a change there is nothing to do, and the
    tables of the study are made by its name too.
    """
    finished = run(clone, "studies")
    assert finished.returncode == 0, finished.stderr[-3000:]
    study = pandas.read_csv(clone / "results" / "trial-tables" / "study.csv")
    of_mle = study[study.variant == "mle_scalar"].iloc[0]
    bounds = [
        pandas.read_parquet(clone / "results" / f"trial-own-{number}" / "bound.parquet")
        for number in (0, 1)
    ]
    means = [frame[frame.variant == "mle_scalar"].nll_bpd.mean() for frame in bounds]
    assert means[0] != means[1]
    assert of_mle.value == pytest.approx(sum(means) / 2, rel=1e-12)
    assert of_mle.stderr == pytest.approx(abs(means[0] - means[1]) / 2, rel=1e-9)
    unets = [clone / "results" / f"trial-own-{number}" / "mean" / "unet" for number in (0, 1)]
    weights = [(unet / "diffusion_pytorch_model.safetensors").read_bytes() for unet in unets]
    assert weights[0] == weights[1]
    assert not (clone / "results" / "digits").exists()
    again = run(clone, "results/trial-tables/study.csv", "--dry-run")
    assert "Nothing to be done" in again.stdout + again.stderr
    table = run(clone, "results/trial-tables/table1.csv", "--dry-run")
    assert "tables --configfile workflows/studies/trial.yaml" in table.stderr
    shared = yaml.safe_load((clone / "results" / "trial-tables" / "config.yaml").read_text())
    assert list(shared["settings"]) == ["trial-own-0", "trial-own-1"]


def test_a_study_that_cannot_be_read(clone):
    (clone / "workflows" / "studies" / "trial.yaml").write_text(STUDY.replace("tiny", "tinny"))
    finished = run(clone, "studies", "--dry-run")
    assert finished.returncode == 1 and "Traceback" not in finished.stderr
    (line,) = [line for line in finished.stderr.splitlines() if line.startswith("error:")]
    assert "trial.yaml: settings.trial-own-0: like: unknown setting 'tinny'" in line


def test_a_study_that_there_is_not(clone):
    finished = run(clone, "results/trail-tables/study.csv", "--dry-run")
    (line,) = [line for line in finished.stderr.splitlines() if line.startswith("error:")]
    assert "unknown study 'trail'; did you mean 'trial'" in line
