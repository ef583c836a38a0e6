"""The MLflow store: one process opens it at a time, and writers try again while it is locked.

It is MLFLOW_TRACKING_URI, by default sqlite:///mlflow.db. The first-time migration of a database
must not run twice at once (hydraflow#245), from whichever folder. It takes seconds, so a run of the
workflow does it while the data are read (`prepare`). sqlite is locked while another process writes
(mlflow#6490).

MLflow waits 120 seconds for a server, and asks it 8 times. `VARIABLES` are those that it has for
this; whoever sets them is obeyed.
"""

import contextlib
import http.client
import json
import logging
import os
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.experiment.resolved import Experiment
from bench.report import address
from bench.runtime import files, filesystem, paths, records
from bench.runtime.errors import BenchError, reason

ARTIFACTS = Path("mlartifacts")  # beside the default store
CONFIGURATION_TAG, KEY_TAG = "configuration", "bench.key"  # together they identify a run
MOST = 50_000  # runs that MLflow returns at once
BATCH = 100  # metrics, parameters or tags that MLflow takes at once
SETTLING = 1.0  # seconds, longer than a server takes to create a run
SERVER_TIMEOUT = 5.0  # seconds that a tracking server has to answer
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}  # what the UI shows
RETRIES = 8
# What the error says if another writer was in the way: in sqlite, in PostgreSQL, in MySQL.
OTHERS = ("database is locked", "duplicate key value", "Duplicate entry")
VARIABLES = {
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # two lines for every run
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "8",  # seconds
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",  # a server may ask for an hour
}


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """Makes any failure (mlflow, sqlalchemy, the disk) a BenchError that names the store.

    Its message and its traceback have no secret of the tracking URI.
    """
    try:
        yield
    except BenchError:
        raise
    except Exception as error:
        _refuse(
            f"{address.named()}: cannot be read or written ({_reason(error)}); {address.expected()}"
        )


def _refuse(message):
    """Raises BenchError without the error that caused it: a traceback would print its message."""
    raise BenchError(message) from None


def _reason(error):
    text = str(error).rpartition("Caused by ")[2]  # urllib3's cause stands behind a long address
    return reason(address.without_secrets(text) or type(error).__name__)


def check() -> None:
    """Raises BenchError if the store is no file, or a server that does not answer."""
    if not address.is_server():
        address.database()
        return
    server = address.uri()
    try:
        request = urllib.request.Request(f"{server}/health")
        for name, value in address.authorization().items():
            request.add_unredirected_header(name, value)
        urllib.request.urlopen(request, timeout=SERVER_TIMEOUT).close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        _refuse(f"{address.named()} does not answer ({_reason(error)}); {address.expected()}")


def prepared(experiment: Experiment) -> bool:
    """Whether `prepare` has been called for this store and these settings."""
    return paths.STORE.is_file() and paths.STORE.read_bytes() == _prepared_for(experiment).encode()


@one_line_errors()
def prepare(experiment: Experiment) -> None:
    """Creates the store and the settings' experiments. Raises BenchError if that fails."""
    check()
    for name in experiment.settings:
        open_experiment(name)
    files.write_text(paths.STORE, _prepared_for(experiment))


def _prepared_for(experiment):
    """The content of results/.store: the store, and the settings that have an experiment there."""
    return json.dumps([address.shown(), list(experiment.settings)])


def open_experiment(name: str) -> tuple[Any, str]:
    """(MlflowClient, id of the MLflow experiment called `name`).

    The experiment is created or restored if necessary.

    Raises BenchError if the store cannot be used.
    """
    # These imports take seconds; with them done, no other process waits for the lock that long.
    import mlflow  # noqa: F401

    if not address.is_server():
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
    with alone():
        database = address.database()
        if database is not None and not database.exists():
            _make_database(database)
        client = _client(address.uri())
        return client, _experiment_id(client, name)


def alone() -> contextlib.AbstractContextManager[None]:
    """Lets one process at a time into the `with` block: of all that use a sqlite store, or of those
    in this folder.
    """
    return files.alone(address.database() or paths.STORE)


def _make_database(path):
    """A database with MLflow's tables. It gets its name when it has all of them: MLflow cannot open
    one whose making was killed.
    """
    for leftover in filesystem.leftovers(path):
        files.remove(leftover)
    partial = filesystem.beside(path, "partial")
    _client(f"sqlite:///{partial.resolve()}").search_experiments(max_results=1)
    os.replace(partial, path)


def _client(uri):
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    # It shows a traceback of what `one_line_errors` says in a line.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    # It tells of every request that it makes again.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    os.environ.update(address.credentials())
    for variable, value in VARIABLES.items():
        os.environ.setdefault(variable, value)
    try:
        return MlflowClient(tracking_uri=uri)
    except MlflowException as error:
        _refuse(f"{address.named()} cannot be used ({_reason(error)}); {address.expected()}")


def _experiment_id(client, name):
    """The id of the experiment called `name`, created or restored if necessary."""
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        location = (ARTIFACTS / name).resolve().as_uri() if address.is_default() else None
        return client.create_experiment(name, artifact_location=location, tags=EXPERIMENT_TAGS)
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return experiment.experiment_id


def retry(call: Callable, *args: Any, **kwargs: Any) -> Any:
    """The value of `call`, which is tried again while another process has sqlite locked, or if
    another client wrote the same at the same time.
    """
    for attempt in range(RETRIES):
        try:
            return call(*args, **kwargs)
        except Exception as error:
            if not any(text in str(error) for text in OTHERS) or attempt == RETRIES - 1:
                raise
            time.sleep(0.1 * 2**attempt)


def find_runs(client: Any, experiment_id: str, configuration: str) -> dict[str, list]:
    """{key: its active runs, mlflow.entities.Run, in the order of their ids} of a configuration."""
    of_configuration = f"tags.{CONFIGURATION_TAG} = '{configuration}'"
    runs = client.search_runs([experiment_id], of_configuration, max_results=MOST)
    found = {}
    for run in sorted(runs, key=lambda run: run.info.run_id):
        found.setdefault(run.data.tags.get(KEY_TAG), []).append(run)
    return found


def claim(
    client: Any, experiment_id: str, configuration: str, names: Mapping[str, str]
) -> dict[str, Any]:
    """{key: the run that holds it, an mlflow.entities.Run}; runs that are missing are created.

    names: {key: name of a new run}. Only the processes of one machine can exclude one another, so
    two clients of a server may create the same run at once. Each waits until the other's run is
    there to be seen, both take the one with the lower id, and the other one, still empty, goes.
    """
    found = find_runs(client, experiment_id, configuration)
    created = set()
    for key, name in names.items():
        if key not in found:
            tags = {CONFIGURATION_TAG: configuration, KEY_TAG: key}
            run = retry(client.create_run, experiment_id, run_name=name, tags=tags)
            found[key] = [run]
            created.add(run.info.run_id)
    is_settled = all(found[key][0].info.status == "FINISHED" for key in names)
    if not is_settled and address.database() is None:
        time.sleep(SETTLING)
        found = find_runs(client, experiment_id, configuration)
    for key in names:
        for run in found[key][1:]:
            if run.info.run_id in created:
                retry(client.delete_run, run.info.run_id)
    return {key: found[key][0] for key in names}


def log_batch(
    client: Any,
    run_id: str,
    metrics: Sequence[tuple[str, float, int]] = (),
    parameters: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    timestamp: int = 0,
) -> None:
    """Logs [(metric, value, step), …], parameters and tags in as few requests as MLflow takes.

    timestamp: of the metrics, in milliseconds since 1970.
    """
    from mlflow.entities import Metric, Param, RunTag

    points = [Metric(key, value, timestamp, int(step)) for key, value, step in metrics]
    texts = [Param(key, str(value)) for key, value in (parameters or {}).items()]
    marks = [RunTag(key, value) for key, value in (tags or {}).items()]
    while points or texts or marks:
        batch = points[:BATCH], texts[:BATCH], marks[:BATCH]
        retry(client.log_batch, run_id, *batch)
        points, texts, marks = points[BATCH:], texts[BATCH:], marks[BATCH:]


def history(client: Any, run_id: str, metric: str) -> dict[int, float]:
    """{step: value} of a metric of a run; the last value of a step that has several."""
    points = client.get_metric_history(run_id, metric)
    return {point.step: point.value for point in sorted(points, key=lambda one: one.timestamp)}


@contextlib.contextmanager
def system_metrics(run_id: str) -> Iterator[None]:
    """Logs what MLflow measures of the machine while the `with` block runs, every 10 seconds."""
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    # It says with a traceback that the store fails, which the block finds out as well.
    logging.getLogger("mlflow.system_metrics").setLevel(logging.CRITICAL)
    with one_line_errors():
        monitor = SystemMetricsMonitor(run_id, resume_logging=True, tracking_uri=address.uri())
        monitor.start()
    try:
        yield
    finally:
        monitor.finish()


def source_tags() -> dict[str, str]:
    """The tag of the code's commit, if it has one."""
    commit = records.commit()
    return {"mlflow.source.git.commit": commit} if commit else {}
