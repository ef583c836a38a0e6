"""MLflow: a real sqlite store, logged to and read back."""

import pandas
import pytest
from mlflow import MlflowClient

from bench.experiment import loading
from bench.report import address, store, tracking
from bench.runtime.errors import BenchError
from tests.helpers.experiments import RAW
from tests.helpers.runs import ROOT

CELLS = pandas.DataFrame(
    [
        {
            "process": "ddpm",
            "variant": "npr",
            "trajectory": trajectory,
            "K": K,
            "metric": metric,
            "value": value,
            "stderr": 0.1,
            "extractor": "net-1" if metric == "fid" else None,
            "reference": "train 90 abcd" if metric == "fid" else None,
            "version": f"data 1, npr 2, {metric} 1",
        }
        for trajectory, metric, values in [
            ("even", "nll_bpd", {10: 4.5, 50: 3.5}),
            ("even", "fid", {5: 200.0}),
            ("optimal", "nll_bpd", {10: 4.0}),
        ]
        for K, value in values.items()
    ]
)


@pytest.fixture
def client(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    experiment = loading.resolve(RAW, folder=ROOT)
    store.prepare(experiment)
    client = MlflowClient(tracking_uri=address.uri())
    client.bench = experiment
    client.runs = lambda: client.search_runs(
        [client.get_experiment_by_name("digits").experiment_id]
    )
    return client


def log(client, cells=CELLS):
    about = {
        "name": "digits",
        "levels": 17,
        "range": [-1, 1],
        "train": 1617,
        "test": 180,
        "sha256": "9ab629355adc0db0",
    }
    grids = {"even_K5": lambda path: path.write_bytes(b"picture")}
    tracking.log_cells(client.bench, "digits", "ddpm", "npr", cells, grids, about)


def history(client, run, metric):
    return {point.step: point.value for point in client.get_metric_history(run.info.run_id, metric)}


def test_cells_become_a_run_with_a_curve(client):
    log(client)
    (run,) = client.runs()
    assert run.info.run_name == "ddpm/npr" and run.info.status == "FINISHED"
    assert history(client, run, "nll_bpd") == {10: 4.5, 50: 3.5} and history(
        client, run, "fid"
    ) == {5: 200.0}
    assert history(client, run, "nll_bpd_optimal") == {10: 4.0} and history(
        client, run, "fid_stderr"
    ) == {5: 0.1}
    assert run.data.params["variant"] == "npr" and run.data.params["schedule.N"] == "1000"
    assert (
        run.data.params["extractor"] == "net-1" and run.data.params["reference"] == "train 90 abcd"
    )
    assert run.data.params["version"] == "data 1, npr 2, nll_bpd 1, fid 1"
    assert (
        run.data.params["config"] == client.bench.digest()
        and run.data.params["data.sha256"] == "9ab629355adc0db0"
    )
    assert run.data.params["samples.precision"] == "fp32"
    assert {
        key: run.data.params[f"data.{key}"] for key in ("name", "levels", "range", "train")
    } == {"name": "digits", "levels": "17", "range": "[-1, 1]", "train": "1617"}
    assert len(run.data.tags["mlflow.source.git.commit"].removesuffix("-dirty")) == 40
    assert [file.path for file in client.list_artifacts(run.info.run_id, "samples")] == [
        "samples/even_K5.png"
    ]


def test_logging_again_updates_and_never_duplicates(client):
    log(client)
    (first,) = client.runs()
    log(client)
    assert [run.info.run_id for run in client.runs()] == [first.info.run_id]
    log(client, CELLS.assign(value=CELLS.value + 1))
    (changed,) = client.runs()
    assert changed.info.run_id != first.info.run_id and history(client, changed, "nll_bpd") == {
        10: 5.5,
        50: 4.5,
    }


def test_a_training_is_logged_live_and_resumed(client):
    with pytest.raises(RuntimeError), tracking.live_run(client.bench, "digits", "mean") as on_loss:
        on_loss(20, {"loss": 1.0})
        (run,) = client.runs()
        assert history(client, run, "loss") == {20: 1.0} and run.info.status == "RUNNING"
        on_loss(40, {"loss": 0.5})
        raise RuntimeError
    assert client.runs()[0].info.status == "FAILED"
    with tracking.live_run(client.bench, "digits", "mean") as on_loss:
        on_loss(40, {"loss": 0.5})
        on_loss(60, {"loss": 0.25})
    (resumed,) = client.runs()
    assert resumed.info.run_id == run.info.run_id and resumed.info.status == "FINISHED"
    points = client.get_metric_history(run.info.run_id, "loss")
    assert [(point.step, point.value) for point in points] == [(20, 1.0), (40, 0.5), (60, 0.25)]


def test_a_training_whose_run_another_folder_replaces_goes_on(client):
    with tracking.live_run(client.bench, "digits", "mean") as on_loss:
        on_loss(20, {"loss": 1.0})
        changed = client.bench.model_copy(update={"seed": 7})
        with tracking.live_run(changed, "digits", "mean") as on_loss_of_other:
            on_loss_of_other(20, {"loss": 2.0})
        on_loss(40, {"loss": 0.5})
    (run,) = client.runs()
    assert run.data.params["seed"] == "7" and history(client, run, "loss") == {20: 2.0}


def test_a_deleted_experiment_is_restored(client):
    client.delete_experiment(client.get_experiment_by_name("digits").experiment_id)
    log(client)
    assert len(client.runs()) == 1


def test_a_server_that_is_not_there_is_one_line(client, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(BenchError, match="MLFLOW_TRACKING_URI: http://127.0.0.1:9 does not answer"):
        store.prepare(client.bench)


def test_another_store_is_honoured(client, monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/other.db")
    store.prepare(client.bench)
    log(client)
    assert (tmp_path / "other.db").exists() and client.runs() == []


def test_a_locked_database_is_tried_again(monkeypatch):
    monkeypatch.setattr(store.time, "sleep", lambda seconds: None)
    answers = [RuntimeError("(sqlite3.OperationalError) database is locked")] * 3 + ["done"]

    def call():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert store.retry(call) == "done"
    with pytest.raises(ZeroDivisionError):
        store.retry(lambda: 1 / 0)
