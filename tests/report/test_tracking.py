"""MLflow: a real sqlite store, logged to and read back."""

import shutil
import time
from pathlib import Path

import pandas
import pytest
from mlflow import MlflowClient

from bench.experiment import loading
from bench.report import address, configuration, store, tracking
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


DATA = {
    "name": "digits",
    "levels": 17,
    "range": [-1, 1],
    "shape": [1, 8, 8],
    "train": 1617,
    "test": 180,
    "sha256": "9ab629355adc0db0",
}


@pytest.fixture(scope="module")
def new_store(tmp_path_factory):
    """The file of a store without runs: MLflow takes seconds to make one."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path.parent)  # in which the artifacts are going to lie
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
        store.open_experiment("digits")
    return path


@pytest.fixture
def client(new_store, tmp_path, monkeypatch):
    shutil.copy(new_store, tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    experiment = loading.resolve(RAW, folder=ROOT)
    client = MlflowClient(tracking_uri=address.uri())
    client.bench = experiment
    client.runs = lambda where="": client.search_runs(
        [client.get_experiment_by_name("digits").experiment_id], where
    )
    return client


def log(client, cells=CELLS, experiment=None, variants=("npr",), commit="abc"):
    """Logs variants of ddpm, which have the same cells, and returns how many runs that wrote."""
    experiment = experiment or client.bench
    picture = Path("even_K0005.png")
    picture.write_bytes(b"picture")
    parameters = configuration.parameters(experiment, "digits", DATA, {})
    whole = tracking.configuration_content(
        experiment, "digits", cells, parameters, {"extractor_test_accuracy": 0.9}, {}
    )
    contents = [
        tracking.variant_content(
            experiment, "digits", "ddpm", name, cells, parameters, {"samples": [picture]}
        )
        for name in variants
    ]
    return tracking.log("digits", whole, contents, DATA, commit)[0]


def another(client, **changes):
    """The experiment with other keys in digits, or in its section `samples`."""
    digits = client.bench.setting("digits")
    if "shards" not in changes:
        changes = {"samples": digits.samples.model_copy(update=changes)}
    settings = {"digits": digits.model_copy(update=changes)}
    return client.bench.model_copy(update={"settings": settings})


def history(client, run, metric):
    return {point.step: point.value for point in client.get_metric_history(run.info.run_id, metric)}


def test_a_row_becomes_a_run_with_curves_and_columns(client):
    log(client)
    (run,) = client.runs("tags.kind = 'variant'")
    assert run.info.run_name == "ddpm/npr" and run.info.status == "FINISHED"
    assert history(client, run, "nll_bpd") == {10: 4.5, 50: 3.5}
    assert history(client, run, "nll_bpd_optimal") == {10: 4.0}
    columns = {"nll_bpd_K10": 4.5, "nll_bpd_K50": 3.5, "fid_K5": 200.0, "nll_bpd_optimal_K10": 4.0}
    curves = {"nll_bpd": 3.5, "nll_bpd_optimal": 4.0, "fid": 200.0}
    assert run.data.metrics == columns | curves
    tags = {
        "setting": "digits",
        "process": "ddpm",
        "variant": "npr",
        "assumes": "imperfect mean",
        "frame": "pixel",
        "conditional": "true",
        "trajectory": "even, optimal",
        "extractor": "net-1",
        "reference": "train 90 abcd",
        "version": "data 1, npr 2, nll_bpd 1, fid 1",
        "fid_K5_stderr": "0.1",
        "nll_bpd_optimal_K10_stderr": "0.1",
        "mlflow.source.git.commit": "abc",
    }
    assert tags.items() <= run.data.tags.items()
    first, second = run.data.tags["mlflow.note.content"].splitlines()
    assert "npr" in first and "Bao 2022b" in first and "fid: 200 (K = 5)" in second
    files = client.list_artifacts(run.info.run_id, "samples")
    assert [file.path for file in files] == ["samples/even_K0005.png"]


def test_a_configuration_carries_its_parameters(client):
    log(client)
    (whole,) = client.runs("tags.kind = 'configuration'")
    (below,) = client.runs(f"tags.mlflow.parentRunId = '{whole.info.run_id}'")
    expected = {
        "samples.count": "500",
        "samples.K": "[5, 10, 25, 50]",
        "samples.precision": "fp32",
        "bound.images": "180",
        "moments.draws": "100",
        "fidelity.resamples": "50",
        "schedule.N": "1000",
        "seed": "0",
        "data.sha256": "9ab629355adc0db0",
        "data.train": "1617",
        "data.range": "[-1, 1]",
    }
    for run in (whole, below):
        assert expected.items() <= run.data.params.items()
        (entry,) = run.inputs.dataset_inputs
        assert (entry.dataset.name, entry.dataset.digest) == ("digits", "9ab629355adc0db0")
    assert below.info.run_name == "ddpm/npr" and below.data.params["variant"] == "npr"
    assert whole.info.run_name.startswith("default ")
    assert whole.data.metrics == {"extractor_test_accuracy": 0.9}


def everything(client):
    """All that the store says of its runs."""
    return sorted((run.to_dictionary() for run in client.runs()), key=str)


def test_logging_the_same_again_changes_nothing(client):
    assert log(client) == 2
    before = everything(client)
    assert log(client, commit="def") == 0 and everything(client) == before


def test_other_numbers_of_a_configuration_go_into_its_runs(client):
    log(client)
    (first,) = client.runs("tags.kind = 'variant'")
    changed = CELLS.assign(value=CELLS.value.where(CELLS.K != 10, 9.0))
    log(client, changed)
    (again,) = client.runs("tags.kind = 'variant'")
    assert again.info.run_id == first.info.run_id
    assert history(client, again, "nll_bpd") == {10: 9.0, 50: 3.5}
    assert again.data.metrics["nll_bpd_K10"] == 9.0 and again.data.metrics["fid"] == 200.0
    points = client.get_metric_history(again.info.run_id, "nll_bpd")
    assert sorted(point.value for point in points) == [3.5, 4.5, 9.0]  # 3.5 is there once


def test_another_configuration_adds_runs(client):
    log(client)
    before = {run.info.run_id for run in client.runs()}
    assert log(client, experiment=another(client, count=64)) == 2
    runs = client.runs()
    assert before < {run.info.run_id for run in runs} and len(runs) == 4
    counts = [run.data.params["samples.count"] for run in client.runs("tags.kind = 'variant'")]
    assert sorted(counts) == ["500", "64"]
    parents = {run.data.tags["mlflow.parentRunId"] for run in client.runs("tags.variant = 'npr'")}
    assert len(parents) == 2


@pytest.mark.parametrize("change", [{"batch": 7}, {"shards": 3}])
def test_what_changes_no_number_is_the_same_configuration(client, change):
    log(client)
    log(client, experiment=another(client, **change))
    assert len(client.runs()) == 2


def test_one_more_variant_adds_a_run_to_its_configuration(client):
    log(client)
    log(client, variants=["npr", "sn"])
    (whole,) = client.runs("tags.kind = 'configuration'")
    below = client.runs(f"tags.mlflow.parentRunId = '{whole.info.run_id}'")
    assert sorted(run.info.run_name for run in below) == ["ddpm/npr", "ddpm/sn"]


def test_an_interrupted_logging_is_completed(client, monkeypatch):
    def fail(*arguments, **options):
        raise RuntimeError("killed")

    with monkeypatch.context() as patch, pytest.raises(BenchError, match="killed"):
        patch.setattr(MlflowClient, "set_terminated", fail)
        log(client)
    assert {run.info.status for run in client.runs()} == {"RUNNING"}
    log(client)
    assert {run.info.status for run in client.runs()} == {"FINISHED"} and len(client.runs()) == 2


def test_two_clients_of_a_server_create_a_run_once(client, monkeypatch):
    """The second one creates its runs between the first one's look and the end of its wait."""
    _, experiment_id = store.open_experiment("digits")
    claims = []

    def other(seconds):
        monkeypatch.setattr(store.time, "sleep", lambda seconds: None)
        client.create_run(
            experiment_id, tags={store.CONFIGURATION_TAG: "c", store.KEY_TAG: "key"}, run_name="a"
        )

    monkeypatch.setattr(store.address, "database", lambda: None)
    monkeypatch.setattr(store.time, "sleep", other)
    for _ in range(2):
        claims.append(store.claim(client, experiment_id, "c", {"key": "a"})["key"].info.run_id)
    assert claims[0] == claims[1] == min(run.info.run_id for run in client.runs())


def test_a_training_is_logged_live_and_resumed(client):
    training = (client.bench, "digits", "mean", DATA)
    with pytest.raises(RuntimeError), tracking.live_run(*training) as on_loss:
        on_loss(20, {"loss": 1.0})
        (run,) = client.runs()
        assert history(client, run, "loss") == {20: 1.0} and run.info.status == "RUNNING"
        on_loss(40, {"loss": 0.5})
        raise RuntimeError
    assert client.runs()[0].info.status == "FAILED"
    with tracking.live_run(*training) as on_loss:
        on_loss(40, {"loss": 0.5})
        on_loss(60, {"loss": 0.25})
    (resumed,) = client.runs()
    assert resumed.info.run_id == run.info.run_id and resumed.info.status == "FINISHED"
    assert resumed.data.params["mean.train.steps"] == "1000"
    points = client.get_metric_history(run.info.run_id, "loss")
    assert [(point.step, point.value) for point in points] == [(20, 1.0), (40, 0.5), (60, 0.25)]


def test_trainings_of_two_configurations_at_once(client):
    """Neither takes the other's place."""
    with tracking.live_run(client.bench, "digits", "mean", DATA) as on_loss:
        on_loss(20, {"loss": 1.0})
        changed = client.bench.model_copy(update={"seed": 7})
        with tracking.live_run(changed, "digits", "mean", DATA) as on_loss_of_other:
            on_loss_of_other(20, {"loss": 2.0})
        on_loss(40, {"loss": 0.5})
    losses = {run.data.params["seed"]: history(client, run, "loss") for run in client.runs()}
    assert losses == {"0": {20: 1.0, 40: 0.5}, "7": {20: 2.0}}


def test_a_training_has_metrics_of_the_machine(client, monkeypatch):
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    with tracking.live_run(client.bench, "digits", "mean", DATA):
        time.sleep(1)
    (run,) = client.runs()
    assert 0 < run.data.metrics["system/system_memory_usage_percentage"] <= 100


def test_a_deleted_experiment_is_restored(client):
    client.delete_experiment(client.get_experiment_by_name("digits").experiment_id)
    log(client)
    assert len(client.runs()) == 2


def test_a_server_that_is_not_there_is_one_line(client, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(BenchError, match="MLFLOW_TRACKING_URI: http://127.0.0.1:9 does not answer"):
        store.prepare(client.bench)


def test_another_store_is_honoured(client, monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/other.db")
    store.prepare(client.bench)
    log(client)
    assert (tmp_path / "other.db").exists() and client.runs() == []


@pytest.mark.parametrize(
    "message",
    [
        "(sqlite3.OperationalError) database is locked",
        'BAD_REQUEST: (psycopg2.errors.UniqueViolation) duplicate key value violates "param_pk"',
    ],
)
def test_what_another_writer_hinders_is_tried_again(message, monkeypatch):
    monkeypatch.setattr(store.time, "sleep", lambda seconds: None)
    answers = [RuntimeError(message)] * 3 + ["done"]

    def call():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert store.retry(call) == "done"
    with pytest.raises(ZeroDivisionError):
        store.retry(lambda: 1 / 0)
