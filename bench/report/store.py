"""The MLflow store: one process opens it at a time, and writers try again while it is locked.

It is MLFLOW_TRACKING_URI, by default sqlite:///mlflow.db. The first-time migration of a database
must not run twice at once (hydraflow#245), from whichever folder. It takes seconds, so a run of the
workflow does it while the data are read (`prepare`). sqlite is locked while another process writes
(mlflow#6490).

MLflow waits 120 seconds for a server, and asks it 8 times. `WAITING` are the variables that it has
for this; whoever sets them is obeyed.
"""

import contextlib
import http.client
import json
import logging
import os
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.experiment.resolved import Experiment
from bench.report import address
from bench.runtime import files, paths, records
from bench.runtime.errors import BenchError, reason

ARTIFACTS = Path("mlartifacts")  # beside the default store
KEY_TAG, DIGEST_TAG = "bench.key", "bench.digest"
SERVER_TIMEOUT = 5.0  # seconds that a tracking server has to answer
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}  # what the UI shows
LOCK_RETRIES = 8
WAITING = {
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
    partial = path.with_name(f".{path.name}.partial")
    files.remove(partial)
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
    for variable, value in WAITING.items():
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
    """The value of `call`, which is tried again while another process has sqlite locked."""
    for attempt in range(LOCK_RETRIES):
        try:
            return call(*args, **kwargs)
        except Exception as error:
            if "database is locked" not in str(error) or attempt == LOCK_RETRIES - 1:
                raise
            time.sleep(0.1 * 2**attempt)


def find_run(client: Any, experiment_id: str, key: str) -> Any:
    """The active run that holds `key`, an mlflow.entities.Run, or None."""
    has_key = f"tags.`{KEY_TAG}` = '{key}'"
    runs = client.search_runs([experiment_id], filter_string=has_key, max_results=1)
    return runs[0] if runs else None


def is_replaced(client: Any, run_id: str) -> bool:
    """Whether the run was deleted: another folder that uses this store replaced it."""
    return client.get_run(run_id).info.lifecycle_stage == "deleted"


def has_digest(run: Any, digest: str) -> bool:
    """Whether a run of `find_run` holds the content with this digest."""
    return run is not None and run.data.tags.get(DIGEST_TAG) == digest


def create_run(
    client: Any, experiment_id: str, key: str, digest: str, parameters: dict[str, Any]
) -> str:
    """The id of a new run for `key` with these parameters. The run that held it is deleted."""
    from mlflow.entities import Param

    old = find_run(client, experiment_id, key)
    if old is not None:
        retry(client.delete_run, old.info.run_id)
    tags = {KEY_TAG: key, DIGEST_TAG: digest, **_source_tags()}
    run_id = retry(client.create_run, experiment_id, run_name=key, tags=tags).info.run_id
    texts = [Param(name, str(value)) for name, value in parameters.items()]
    retry(client.log_batch, run_id, params=texts)
    return run_id


def _source_tags():
    commit = records.commit()
    return {"mlflow.source.git.commit": commit} if commit else {}
