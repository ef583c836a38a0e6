"""MLflow: an experiment per setting, a run per (process, variant), and one for each training and for the tables.

The store is sqlite:///mlflow.db unless MLFLOW_TRACKING_URI says otherwise. Runs are found again by a tag that
names what they hold. A run whose content is unchanged is left alone; one whose content changed is replaced, as
MLflow's parameters and metric histories cannot be rewritten. So logging again updates and never duplicates.

A process opens the store while no other does: the first-time migration of a database must not run twice at once
(hydraflow#245). As that takes seconds, a run has it done while the data are read (`prepare`). Writers retry while the file
is locked (mlflow#6490).
"""

import contextlib
import json
import os
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

from bench.runtime import digests, files, paths
from bench.runtime.errors import BenchError, one_line

DEFAULT_URI = "sqlite:///mlflow.db"
ARTIFACTS = Path("mlartifacts")  # beside the default store
KEY_TAG, DIGEST_TAG = "bench.key", "bench.digest"
SERVER_TIMEOUT = 5.0  # seconds that a tracking server has to answer
EXPERIMENT_TAGS = {
    "mlflow.experimentKind": "custom_model_development"
}  # what the UI opens an experiment as
LOCK_RETRIES = 8


def uri():
    """The tracking URI in force."""
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI


def _is_server():
    return uri().startswith(("http://", "https://"))


@contextlib.contextmanager
def _store():
    """Turns any failure of the store, be it mlflow's, sqlalchemy's or the disk's, into one line that names it."""
    with one_line(f"MLflow store {uri()}: cannot be read or written"):
        yield


def check():
    """BenchError where the store is a server that does not answer."""
    if _is_server():
        try:
            urllib.request.urlopen(f"{uri()}/health", timeout=SERVER_TIMEOUT).close()
        except (OSError, ValueError) as error:
            raise BenchError(
                f"MLFLOW_TRACKING_URI: {uri()} does not answer ({error}); expected a running MLflow server, "
                f"or unset it for {DEFAULT_URI}"
            ) from error


def prepared(experiment):
    """Whether `prepare` was there for this store and these settings."""
    return paths.STORE.exists() and paths.STORE.read_text() == _prepared_for(experiment)


@_store()
def prepare(experiment):
    """Creates the store and the settings' experiments. BenchError where that fails."""
    check()
    for name in experiment.settings:
        _open(name)
    files.write_text(paths.STORE, _prepared_for(experiment))


def _prepared_for(experiment):
    """What results/.store says: the store, and the settings that have an experiment there."""
    return json.dumps([uri(), list(experiment.settings)])


def _open(name):
    """(client, id of the experiment called `name`, which is created or restored where necessary)."""
    import mlflow  # noqa: F401 - takes seconds, in which no other process has to wait

    if not _is_server():
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401 - a database's takes as long again
    with files.alone(paths.STORE):
        client = _client()
        return client, _experiment_id(client, name)


def _client():
    import logging

    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(
        logging.CRITICAL
    )  # what it says with a traceback, `_store` says
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        return MlflowClient(tracking_uri=uri())
    except MlflowException as error:
        raise BenchError(
            f"MLFLOW_TRACKING_URI: {uri()} cannot be used ({' '.join(str(error).split())[:200]})"
        ) from error


def _experiment_id(client, name):
    """The id of the experiment called `name`, created or restored where necessary."""
    found = client.get_experiment_by_name(name)
    if found is None:
        location = (ARTIFACTS / name).resolve().as_uri() if uri() == DEFAULT_URI else None
        return client.create_experiment(name, artifact_location=location, tags=EXPERIMENT_TAGS)
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return found.experiment_id


def _retry(call, *args, **kwargs):
    """Calls, and again after a growing pause while sqlite is locked by another writer."""
    for attempt in range(LOCK_RETRIES):
        try:
            return call(*args, **kwargs)
        except Exception as error:
            if "database is locked" not in str(error) or attempt == LOCK_RETRIES - 1:
                raise
            time.sleep(0.1 * 2**attempt)


def _find(client, experiment_id, key):
    """The active run that holds `key`, or None."""
    found = client.search_runs(
        [experiment_id], filter_string=f"tags.`{KEY_TAG}` = '{key}'", max_results=1
    )
    return found[0] if found else None


def _create(client, experiment_id, key, digest, parameters):
    """A fresh run for `key`; the one that held it goes."""
    from mlflow.entities import Param

    old = _find(client, experiment_id, key)
    if old is not None:
        _retry(client.delete_run, old.info.run_id)
    tags = {KEY_TAG: key, DIGEST_TAG: digest, **_source_tags()}
    run_id = _retry(client.create_run, experiment_id, run_name=key, tags=tags).info.run_id
    _retry(
        client.log_batch,
        run_id,
        params=[Param(name, str(value)) for name, value in parameters.items()],
    )
    return run_id


def _source_tags():
    """The git commit of the code that ran, with '-dirty' where the tree has uncommitted changes."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {"mlflow.source.git.commit": described.stdout.strip()}


@contextlib.contextmanager
def live_run(experiment, name, stage):
    """Yields a function (step, {name: value}) that logs a training's loss as it falls.

    An interrupted training of the same configuration goes on in its run; steps it logged already are skipped.
    """
    section = experiment.setting(name).model_dump(mode="json")[stage]
    digest = digests.digest([experiment.seed, name, section])
    with _store():
        client, experiment_id = _open(name)
        run = _find(client, experiment_id, stage)
        resumed = (
            run is not None
            and run.data.tags.get(DIGEST_TAG) == digest
            and run.info.status != "FINISHED"
        )
        run_id = (
            run.info.run_id
            if resumed
            else _create(
                client,
                experiment_id,
                stage,
                digest,
                {"seed": experiment.seed, **_flat(section), "config": experiment.digest()},
            )
        )
    logged = {}

    @_store()
    def log(step, values):
        from mlflow.entities import Metric

        for key in values:
            if key not in logged:
                logged[key] = max(
                    (metric.step for metric in client.get_metric_history(run_id, key)), default=-1
                )
        fresh = [
            Metric(key, value, _now(), step) for key, value in values.items() if step > logged[key]
        ]
        if fresh:
            _retry(client.log_batch, run_id, metrics=fresh)

    try:
        yield log
    except BaseException:
        with contextlib.suppress(Exception):  # the store may be what failed
            _retry(client.set_terminated, run_id, "FAILED")
        raise
    with _store():
        _retry(client.set_terminated, run_id, "FINISHED")


def _now():
    return int(time.time() * 1000)


def _flat(section, prefix=""):
    """A nested mapping as {dotted key: value}, without what is None."""
    flat = {}
    for key, value in section.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        elif value is not None:
            flat[prefix + key] = value
    return flat


@_store()
def log_cells(experiment, name, process, variant, cells, grids, about):
    """Logs one (process, variant) of a setting: every metric with step = K, and a picture of samples per cell.

    cells: its rows of cells.csv; grids: {artifact name: function that writes a png to a path}; about: what data.json says.
    Metrics are called after the grid's first trajectory as they are, `<metric>_<trajectory>` for any other.
    """
    setting = experiment.setting(name)
    main = setting.samples.trajectories[0]
    metrics = []
    for row in cells.itertuples():
        label = row.metric if row.trajectory == main else f"{row.metric}_{row.trajectory}"
        metrics.append((label, row.value, row.K))
        if row.stderr == row.stderr:  # some scores have none
            metrics.append((f"{label}_stderr", row.stderr, row.K))
    section = setting.model_dump(
        mode="json",
        include={
            "data": True,
            "schedule": True,
            "moments": True,
            "clip_levels": True,
            "samples": {"precision"},
        },
    )
    parameters = {
        "setting": name,
        "process": process,
        "variant": variant,
        "seed": experiment.seed,
        **_flat({"data": about}),
        **_flat(section),
        "eta": setting.processes.eta(process),
        "config": experiment.digest(),
    }
    for key in (
        "extractor",
        "reference",
    ):  # of the scores; what samples are compared with decides them
        if cells[key].notna().any():
            parameters[key] = ", ".join(cells[key].dropna().unique())
    with tempfile.TemporaryDirectory() as folder:
        pictures = [_picture(Path(folder) / f"{label}.png", draw) for label, draw in grids.items()]
        _log_once(name, f"{process}/{variant}", parameters, metrics, {"samples": pictures})


def _picture(path, draw):
    draw(path)
    return path


@_store()
def log_tables(experiment, name, tables, numbers):
    """Logs the table files, and {metric: value} that belong to the setting as a whole, to the run `tables`."""
    parameters = {"config": experiment.digest()}
    _log_once(
        name,
        "tables",
        parameters,
        [(key, value, 0) for key, value in numbers.items()],
        {"tables": tables},
    )


def _log_once(name, key, parameters, metrics, artifacts):
    """Logs a finished run, unless the run that holds `key` has the same content."""
    from mlflow.entities import Metric

    client, experiment_id = _open(name)
    digest = digests.digest(
        [
            parameters,
            metrics,
            {
                folder: [[path.name, digests.digest(path.read_bytes())] for path in members]
                for folder, members in artifacts.items()
            },
        ]
    )
    run = _find(client, experiment_id, key)
    if (
        run is not None
        and run.data.tags.get(DIGEST_TAG) == digest
        and run.info.status == "FINISHED"
    ):
        return
    run_id = _create(client, experiment_id, key, digest, parameters)
    _retry(
        client.log_batch,
        run_id,
        metrics=[Metric(label, value, _now(), int(step)) for label, value, step in metrics],
    )
    for folder, members in artifacts.items():
        for path in members:
            client.log_artifact(run_id, str(path), folder)
    _retry(client.set_terminated, run_id, "FINISHED")
