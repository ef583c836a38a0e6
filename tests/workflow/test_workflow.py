"""The whole pipeline for real: one run of the tiny experiment, and what Snakemake does after it."""

import json
import os
import re
import shutil

import numpy as np
import pandas
import pytest
import yaml
from mlflow import MlflowClient

from bench import cli, covariance
from bench.experiment import loading, strict
from tests.helpers.runs import CONFIG, ROOT, TABLES, TINY, snakemake

VARIANTS = {
    "ddpm": [
        "beta_tilde",
        "beta",
        "analytic_scalar",
        "analytic_diagonal",
        "total_variance",
        "mle_scalar",
        "mle_diagonal",
        "mle_dct",
        "npr",
        "sn",
        "improved_ddpm",
    ],
    "ddim": [
        "zero",
        "analytic_scalar",
        "analytic_diagonal",
        "total_variance",
        "mle_scalar",
        "mle_diagonal",
        "mle_dct",
        "npr",
        "sn",
    ],
}

WRITTEN = ("write_tables", "tables")  # the rule that writes them, and the target
SHOWN = ("variances", "samples", "fidelity")  # what another variance changes beside the bound


def again(folder, *arguments, overlay=TINY):
    return snakemake(folder, "tables", *arguments, "--configfile", str(overlay))


def test_every_cell_is_measured(tiny_run):
    cells = pandas.read_csv(tiny_run / TABLES / "cells.csv")
    measured = set(cells[["process", "variant", "metric"]].itertuples(index=False, name=None))
    expected = {("ddpm", variant, "nll_bpd") for variant in VARIANTS["ddpm"]}
    expected |= {
        (process, variant, metric)
        for metric in ("fid", "kid")
        for process, names in VARIANTS.items()
        for variant in names
    }
    assert measured == expected
    assert np.isfinite(cells.value).all() and (cells.stderr > 0).all()
    assert set(cells.trajectory) == {"even", "even_ddim", "quadratic_ddim", "optimal"}
    assert cells[cells.metric == "fid"].extractor.str.startswith("bench-classifier-").all()


def test_the_papers_pattern_on_the_tiny_setting(tiny_run):
    """At K = 5 β̃ is far off, β is behind the closed form, and the imperfect-mean diagonal is ahead
    of its scalar.
    """
    cells = pandas.read_csv(tiny_run / TABLES / "cells.csv")
    nll = (
        cells[(cells.metric == "nll_bpd") & (cells.trajectory == "even") & (cells.K == 5)]
        .set_index("variant")
        .value
    )
    assert (
        nll["beta_tilde"] > 5 * nll["beta"]
        and nll["beta"] > nll["analytic_scalar"] > nll["mle_diagonal"]
    )


def test_tables_hold_the_cells(tiny_run):
    results = tiny_run / TABLES
    cells = pandas.read_csv(results / "cells.csv")
    wide = pandas.read_csv(results / "table1.csv").set_index(
        ["metric", "process", "trajectory", "variant"]
    )
    for row in cells.itertuples():
        assert (
            wide.loc[(row.metric, row.process, row.trajectory, row.variant), str(row.K)]
            == row.value
        )
    assert (
        "**" in (results / "table1.md").read_text() and "±" in (results / "table1.md").read_text()
    )
    assert len(pandas.read_csv(results / "table2.csv")) == 20
    table3 = pandas.read_csv(tiny_run / "results" / "table3.csv")
    assert len(table3) == 96 and table3.agrees.all()
    metrics = json.loads((results / "metrics.json").read_text())["tiny"]
    assert set(metrics) == {"nll_bpd", "fid", "kid"}
    for process, first in (("ddpm", "beta_tilde"), ("ddim", "zero")):
        values = cells.query(f"metric == 'fid' and process == '{process}' and K == 5")
        found = metrics["fid"][process]["K5"]
        assert found["value"] == values.value.min()
        assert found["default"] == values.query(f"variant == '{first}'").value.iloc[0]
    assert (results / "figures" / "tiny" / "nll.png").stat().st_size > 10_000


def test_bounds_are_kept_per_image(tiny_run):
    frame = pandas.read_parquet(tiny_run / "results" / "tiny" / "bound.parquet")
    parts = ["prior", "steps", "data"]
    assert list(frame.columns) == ["trajectory", "variant", "K", "image", "nll_bpd", *parts]
    assert set(frame.image) == set(range(16))
    np.testing.assert_allclose(frame[parts].sum(axis=1), frame.nll_bpd, rtol=1e-6)  # float32


def test_mlflow_store_holds_a_run_per_process_and_variant(tiny_run):
    client = MlflowClient(tracking_uri=f"sqlite:///{tiny_run}/mlflow.db")
    experiment = client.get_experiment_by_name("tiny")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    (whole,) = (name for name in runs if name.startswith("tiny "))
    cell_runs = {f"{process}/{variant}" for process, names in VARIANTS.items() for variant in names}
    assert set(runs) == cell_runs | {"mean", "heads", "extractor", whole}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    for name in cell_runs:
        assert runs[name].data.tags["mlflow.parentRunId"] == runs[whole].info.run_id
    cells = pandas.read_csv(tiny_run / TABLES / "cells.csv")
    npr = cells[
        (cells.process == "ddpm")
        & (cells.variant == "npr")
        & (cells.trajectory == "even")
        & (cells.metric == "nll_bpd")
    ]
    points = client.get_metric_history(runs["ddpm/npr"].info.run_id, "nll_bpd")
    assert {point.step: point.value for point in points} == dict(zip(npr.K, npr.value, strict=True))
    for K, value, stderr in zip(npr.K, npr.value, npr.stderr, strict=True):
        logged = runs["ddpm/npr"].data
        assert logged.metrics[f"nll_bpd_K{K}"] == pytest.approx(value, rel=1e-4)
        assert float(logged.tags[f"nll_bpd_K{K}_stderr"]) == pytest.approx(stderr, rel=1e-2)
    losses = client.get_metric_history(runs["mean"].info.run_id, "loss")
    assert losses[0].step == 20
    listed = client.list_artifacts(runs[whole].info.run_id, "tables")
    tables = {file.path for file in listed}
    assert {"tables/table1.csv", "tables/table1.md", "tables/cells.csv"} <= tables
    grids = [file.path for file in client.list_artifacts(runs["ddim/zero"].info.run_id, "samples")]
    assert grids[:3] == [
        "samples/0_real_images.png",
        "samples/even_K0005.png",
        "samples/even_K0010.png",
    ]


def test_a_second_run_has_nothing_to_do(tiny_run):
    found = again(tiny_run)
    assert found.returncode == 0 and "Nothing to be done" in found.stdout + found.stderr


def jobs_after(folder, tmp_path, change):
    """The rules that a dry run would execute after `change` of the overlay's text."""
    overlay = tmp_path / "changed.yaml"
    overlay.write_text(change(TINY.read_text()))
    found = again(folder, "--dry-run", overlay=overlay)
    assert found.returncode == 0, found.stderr
    text = found.stdout + found.stderr
    stats = text[text.index("Job stats:") :].splitlines()[3:]
    return {
        line.split()[0]
        for line in stats[: stats.index(next(row for row in stats if row.startswith("total")))]
    }


def test_more_samples_rerun_samples_and_later_only(tiny_run, tmp_path):
    found = jobs_after(tiny_run, tmp_path, lambda text: text.replace("count: 40", "count: 50"))
    # as many held-out images as samples
    assert found == {"reference", "samples", "fidelity", "cells", "figures", *WRITTEN}


def test_another_target_reruns_what_is_made_of_cells_only(tiny_run, tmp_path):
    """The least K that reaches it is a table, and stands beside a published one in
    reproduction.md.
    """
    found = jobs_after(
        tiny_run, tmp_path, lambda text: text.replace("target_fid: 100.0", "target_fid: 50.0")
    )
    assert found == {"cells", "figures", *WRITTEN}


def test_another_experiment_in_the_same_folder_runs_all_its_jobs(copy):
    """What is there is another experiment's, and so is the MLflow store that was prepared."""
    run = snakemake(copy, "--dry-run", "tables")
    jobs = set(re.findall(r"^(?:local)?rule (\w+):", run.stdout + run.stderr, re.M))
    assert jobs >= {
        "data",
        "mean",
        "extractor",
        "reference",
        "moments",
        "heads",
        "trajectories",
        "bound",
        "variances",
        "samples",
        "fidelity",
        "cells",
        "figures",
        *WRITTEN,
    }


def test_more_draws_rerun_moments_and_later_but_not_the_mean(tiny_run, tmp_path):
    found = jobs_after(tiny_run, tmp_path, lambda text: text.replace("draws: 20", "draws: 30"))
    assert found == {
        "moments",
        "heads",
        "trajectories",
        "bound",
        "variances",
        "samples",
        "fidelity",
        "cells",
        "figures",
        *WRITTEN,
    }


@pytest.mark.parametrize(
    "change, jobs",
    [
        ("VERSIONS['bound'] = 9", {"bound"}),
        ("VERSIONS['samples'] = 9", {"samples", "fidelity"}),
        ("scores.get('fid').version = 2", {"fidelity"}),
        ("covariance.get('beta').version = 2", {"trajectories", "bound", *SHOWN}),
        ("covariance.get('sn').version = 2", {"heads", "bound", *SHOWN}),
    ],
)
def test_a_raised_version_reruns_what_it_made_and_later_only(tiny_run, tmp_path, change, jobs):
    """Of a stage, of a metric, of a variant with costs, and of one with a loss: a number does not
    outlive its formula.
    """
    code = f"from bench import covariance, scores\nfrom bench.stages import VERSIONS\n{change}\n"
    (tmp_path / "sitecustomize.py").write_text(code)  # which every Python imports as it starts
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    run = snakemake(tiny_run, "tables", "--dry-run", "--configfile", str(TINY), PYTHONPATH=path)
    assert run.returncode == 0, run.stderr
    found = set(re.findall(r"^(?:local)?rule (\w+):", run.stdout + run.stderr, re.M))
    assert found == {*jobs, "cells", "figures", *WRITTEN}


def test_a_raised_version_of_a_variant_samples_it_again(copy, monkeypatch):
    """And no other, whose images are kept to the byte."""
    folder = copy / "results" / "tiny" / "samples" / "ddpm" / "nothing"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.npz")}
    monkeypatch.chdir(copy)
    monkeypatch.setattr(covariance.get("beta"), "version", 2)
    setting = ["--setting", "tiny", "--process", "ddpm", "--needs", "nothing"]
    cli.main(["samples", "--config", CONFIG, *setting, "--threads", "1"])
    drawn = {path for path, mtime in before.items() if path.stat().st_mtime_ns != mtime}
    assert {path.parts[-3] for path in drawn} == {"beta"} and len(drawn) == 4


def test_a_variant_less_samples_only_those_that_need_the_same(tiny_run, tmp_path):
    overlay = tmp_path / "changed.yaml"
    variants = [name for name in VARIANTS["ddim"] if name != "sn"]
    overlay.write_text(f"{TINY.read_text()}\nprocesses: {{ddim: {{variants: {variants}}}}}\n")
    found = again(tiny_run, "--dry-run", overlay=overlay)
    outputs = re.findall(r"output: (results/tiny/samples/\S+)", found.stdout + found.stderr)
    assert outputs == ["results/tiny/samples/ddim/heads-0.json"]


@pytest.mark.parametrize(
    "needs, variant, absent",
    [
        ("nothing", "beta", ["moments", "heads"]),
        ("moments", "mle_scalar", ["heads"]),
        ("heads", "npr", ["moments"]),
    ],
)
def test_samples_read_only_what_their_variants_need(
    copy, monkeypatch, capsys, needs, variant, absent
):
    """The bytes are those of the whole run, and no other manifest is touched. If nothing is left
    to draw, a line says so.
    """
    tiny = copy / "results" / "tiny"
    made, manifest = (
        tiny / "samples" / "ddpm" / needs / variant / "even_K5" / "0.npz",
        tiny / "samples" / "ddpm" / f"{needs}-0.json",
    )
    before = made.read_bytes(), manifest.read_bytes()
    for path in (made, *(tiny / "samples" / "ddpm").glob("*.json")):
        path.unlink()
    for name in absent:
        (tiny / name).rename(tiny / f"{name}.away")
    monkeypatch.chdir(copy)
    arguments = ["--config", CONFIG, "--setting", "tiny", "--process", "ddpm", "--needs", needs]
    cli.main(["samples", *arguments])
    assert (made.read_bytes(), manifest.read_bytes()) == before
    assert list((tiny / "samples" / "ddpm").glob("*.json")) == [manifest]
    assert capsys.readouterr().out.endswith(f"wrote {manifest.relative_to(copy)}\n")
    cli.main(["samples", *arguments])
    assert re.match(rf"samples tiny ddpm {needs}: all \d+ cells are", capsys.readouterr().out)


def test_a_new_K_samples_only_what_is_new(copy, monkeypatch):
    """Images that are there and right are kept to the byte; a damaged one is made again, equal."""
    folder = copy / "results" / "tiny" / "samples" / "ddim"
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*.npz")}
    damaged = folder / "heads" / "npr" / "even_K5" / "0.npz"
    os.truncate(damaged, 100)
    config = copy / CONFIG
    samples = "    samples:\n      K:\n      - 5\n"
    config.write_text(config.read_text().replace(samples, f"{samples}      - 7\n"))
    monkeypatch.chdir(copy)
    setting = ["--config", str(config), "--setting", "tiny"]
    with pytest.raises(SystemExit, match="trajectories/even.json: holds no trajectory with K = 7"):
        cli.main(["samples", *setting, "--process", "ddim"])
    cli.main(["trajectories", *setting])
    cli.main(["samples", *setting, "--process", "ddim"])
    for path, (mtime, content) in before.items():
        assert path.read_bytes() == content and (
            path == damaged or path.stat().st_mtime_ns == mtime
        )
    assert (folder / "nothing" / "zero" / "even_K7" / "0.npz").exists()


def test_a_filter_runs_its_rows_and_leaves_the_others_alone(copy):
    """Its tables have these rows with the same numbers, and the run of all rows has nothing to do
    afterwards. Of a new row of the filter only that one is measured.
    """

    def files():
        measured = (copy / "results/tiny").rglob("*")
        tables = (copy / TABLES).rglob("*")
        return {
            path: path.stat().st_mtime_ns
            for path in (*measured, *tables)
            if path.is_file() and "only" not in path.parts
        }

    before = files()
    run = again(copy, "--config", "only=[ddpm/beta_tilde/K5,*_scalar/ddim]")
    assert run.returncode == 1 and "*_scalar/ddim" in run.stderr.splitlines()[-1]
    run = again(copy, "--config", "only=[ddpm/beta_tilde/K5,ddim/*_scalar]")
    assert run.returncode == 0, run.stderr[-4000:]
    assert "beta_tilde" in run.stdout and "tiny-only-tables/table1.md" in run.stdout
    assert files() == before
    assert run.stderr.count("cells are there already") == 2  # no image is drawn again
    whole = pandas.read_csv(copy / TABLES / "cells.csv")
    picked = (whole.variant == "beta_tilde") & (whole.process == "ddpm") & (whole.K == 5)
    picked |= (whole.process == "ddim") & whole.variant.str.endswith("_scalar")
    found = pandas.read_csv(copy / "results/tiny-only-tables/cells.csv")
    pandas.testing.assert_frame_equal(found, whole[picked].reset_index(drop=True))
    found = again(copy, "--dry-run")
    assert "Nothing to be done" in found.stdout + found.stderr
    run = again(copy, "--config", "only=[ddpm/beta_tilde/K5]", "--dry-run")
    assert "rule bound:" not in run.stdout and "rule samples:" not in run.stdout


def test_a_filter_makes_only_what_its_rows_need(tmp_path):
    """β̃ takes neither moments nor heads."""
    run = again(tmp_path, "--config", "only=[ddpm/beta_tilde]", "--dry-run")
    jobs = set(re.findall(r"^(\w+) +\d+$", run.stdout, flags=re.MULTILINE))
    assert {"mean", "bound", "samples"} <= jobs and not {"moments", "heads"} & jobs


def test_tables_of_all_rows_are_no_target_of_a_filter(tmp_path):
    run = snakemake(tmp_path, "results/table1.csv", "--config", "only=[npr]")
    assert run.returncode == 1
    line = run.stderr.splitlines()[-1]
    assert "a table of all rows" in line and "results/default-only-tables/" in line


def test_a_mistake_in_the_configuration_is_one_line(tmp_path):
    overlay = tmp_path / "bad.yaml"
    overlay.write_text("name: bad\nsettings: [tiny]\nmoments: {draws: -3}\n")
    found = again(tmp_path, overlay=overlay)
    assert found.returncode == 1 and "Traceback" not in found.stderr
    (told,) = [line for line in found.stderr.splitlines() if "error" in line.lower()]
    assert told.startswith("error: ") and "params.yaml" in told
    assert told.endswith(
        "bad.yaml: moments.draws: input should be greater than or equal to 1, found -3"
    )
    assert not (tmp_path / "results").exists()


def test_stages_run_again_give_the_same_bytes(copy, monkeypatch):
    """In another process, on files that are gone, in another order: nothing but names determines a
    number.
    """
    monkeypatch.chdir(copy)
    tiny = copy / "results" / "tiny"
    made = [
        tiny / "data" / "train.npy",
        tiny / "trajectories" / "optimal.json",
        tiny / "moments" / "eps_sq.npy",
        tiny / "fidelity" / "ddpm.json",
        tiny / "bound.parquet",
        copy / TABLES / "cells.csv",
        copy / TABLES / "table1.csv",
    ]
    before = [path.read_bytes() for path in made]
    for path in made[1:]:
        path.unlink()
    setting = ["--config", CONFIG, "--setting", "tiny"]
    threads = ["--threads", "1"]
    for stage in (
        ["data", *setting],
        ["moments", *setting, *threads],
        ["fidelity", "--process", "ddpm", *setting, *threads],
        ["trajectories", *setting],
        ["bound", *setting, *threads],
        ["cells", *setting[:2]],
        ["tables", *setting[:2]],
    ):
        cli.main(stage)
    for path, content in zip(made, before, strict=True):
        assert path.read_bytes() == content, path


def test_the_mixture_runs_through_the_same_stages(tmp_path, monkeypatch):
    """Vectors in nats beside −E log p(x), on a small grid; nothing is trained but the heads."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    raw = strict.read(ROOT / "params.yaml") | {
        "settings": ["mixture_2d"],
        "metrics": ["nll", "fid"],
    }
    raw["moments"], raw["fidelity"] = {"draws": 200}, {"target_fid": 1.0, "resamples": 5}
    raw["bound"] = {"K": [5, 40], "trajectories": ["even", "optimal"], "images": 400}
    raw["samples"] = {"K": [5, 40], "trajectories": ["even"], "count": 200}
    small = loading.resolve(raw, folder=ROOT).model_dump(mode="json")
    small["settings"]["mixture_2d"]["schedule"]["N"] = 40
    small["settings"]["mixture_2d"]["heads"]["train"] |= {"steps": 300, "batch": 256, "warmup": 10}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(small))
    (tmp_path / "results").mkdir()
    shutil.copy("c.yaml", "results/config.yaml")  # as a run of Snakemake leaves it
    whole, setting = ["--config", "c.yaml"], ["--config", "c.yaml", "--setting", "mixture_2d"]
    for stage in ("data", "mean", "extractor", "moments", "heads", "trajectories", "bound"):
        cli.main([stage, *setting])
    cli.main(["variances", *setting])
    cli.main(["reference", *setting])
    for process in ("ddpm", "ddim"):
        cli.main(["samples", *setting, "--process", process])
        cli.main(["fidelity", *setting, "--process", process])
    for command in (
        ["cells", *whole],
        ["figures", *setting],
        ["tables", *whole],
        ["log", "results"],
    ):
        cli.main(command)

    cells = pandas.read_csv("results/cells.csv")
    nats = cells[cells.metric == "nll_nats"]
    assert set(cells.metric) == {"nll_nats", "fid"} and set(nats.variant) == set(VARIANTS["ddpm"])
    assert (nats.value > nats.exact - 4 * nats.stderr).all() and nats.exact.nunique() == 1
    close = nats[(nats.K == 40) & nats.variant.isin(["analytic_scalar", "mle_diagonal"])]
    assert (close.value < close.exact + 0.5).all()
    fid = (
        cells[(cells.metric == "fid") & (cells.process == "ddpm")].set_index(["variant", "K"]).value
    )
    assert (
        fid["analytic_scalar", 5] < fid["beta_tilde", 5]
        and fid["analytic_scalar", 40] < fid["analytic_scalar", 5]
    )
    assert "mixture_2d: NLL bound (nats" in (tmp_path / "results" / "table1.md").read_text()
    client = MlflowClient(tracking_uri="sqlite:///mlflow.db")
    experiment = client.get_experiment_by_name("mixture_2d").experiment_id
    (run,) = client.search_runs([experiment], "tags.mlflow.runName = 'ddpm/npr'")
    grids = [file.path for file in client.list_artifacts(run.info.run_id, "samples")]
    assert grids == ["samples/even_K0005.png", "samples/even_K0040.png"]
