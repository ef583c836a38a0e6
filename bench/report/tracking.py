"""MLflow: an experiment per setting, a run per (process, variant), per training and for the tables.

A run is found again by a tag that names what it holds. A run whose content is unchanged is left
alone. One whose content changed is replaced, as MLflow's parameters and metric histories cannot be
rewritten. So logging again updates and never duplicates. The store itself: `bench.report.store`.
"""

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas

from bench.experiment.resolved import Experiment
from bench.report import store
from bench.runtime import digests, paths
from bench.solver import SOLVER


@contextlib.contextmanager
def live_run(experiment: Experiment, name: str, stage: str) -> Iterator[Callable]:
    """Yields a function (step, {metric: value}) that logs a training of setting `name`.

    An interrupted training of the same configuration continues its run. Steps that are logged
    already are skipped. stage: the setting's section, and the name of the run.
    """
    section = experiment.setting(name).model_dump(mode="json")[stage]
    digest = digests.digest([experiment.seed, name, section])
    with store.one_line_errors():
        client, experiment_id = store.open_experiment(name)
        with store.alone():
            run = store.find_run(client, experiment_id, stage)
            if store.has_digest(run, digest) and run.info.status != "FINISHED":
                run_id = run.info.run_id
            else:
                parameters = {"seed": experiment.seed, **_flat(section)}
                parameters["config"] = experiment.digest()
                run_id = store.create_run(client, experiment_id, stage, digest, parameters)
    try:
        yield _step_logger(client, run_id)
    except BaseException:
        with contextlib.suppress(Exception):  # the store may be what failed
            store.retry(client.set_terminated, run_id, "FAILED")
        raise
    with store.one_line_errors():
        if not store.is_replaced(client, run_id):
            store.retry(client.set_terminated, run_id, "FINISHED")


def _step_logger(client, run_id):
    """A function (step, {metric: value}) that logs steps after the last one of the run.

    It logs nothing more if another folder has replaced the run.
    """
    from mlflow.entities import Metric

    last_steps = {}

    @store.one_line_errors()
    def log(step, values):
        fresh = []
        for key, value in values.items():
            if key not in last_steps:
                history = client.get_metric_history(run_id, key)
                last_steps[key] = max((point.step for point in history), default=-1)
            if step > last_steps[key]:
                fresh.append(Metric(key, value, _now(), step))
        if fresh and not store.is_replaced(client, run_id):
            store.retry(client.log_batch, run_id, metrics=fresh)

    return log


def _now():
    """Milliseconds since 1970."""
    return int(time.time() * 1000)


def _flat(section, prefix=""):
    """A nested mapping as {dotted key: value}, without the keys whose value is None."""
    flat = {}
    for key, value in section.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        elif value is not None:
            flat[prefix + key] = value
    return flat


@store.one_line_errors()
def log_cells(
    experiment: Experiment,
    name: str,
    process: str,
    variant: str,
    cells: pandas.DataFrame,
    grids: dict[str, Callable[[Path], None]],
    about: dict,
) -> None:
    """Logs one (process, variant) of setting `name`: metrics with step = K, a picture per cell.

    cells: its rows of cells.csv. grids: {artifact name: function that writes a png to a path}.
    about: the content of data.json. A metric keeps its name on the grid's first trajectory and is
    `<metric>_<trajectory>` on any other.
    """
    setting = experiment.setting(name)
    parts = {"data", "schedule", "moments", "clip_levels"}
    included = {part: True for part in parts} | {"samples": {"precision"}}
    parameters = {
        "setting": name,
        "process": process,
        "variant": variant,
        "seed": experiment.seed,
        **_flat({"data": about}),
        **_flat(setting.model_dump(mode="json", include=included)),
        **_flat(_of_process(setting, process, variant)),
        "config": experiment.digest(),
    }
    for key in ("extractor", "reference"):  # only scores have them
        if cells[key].notna().any():
            parameters[key] = ", ".join(cells[key].dropna().unique())
    versions = [part for text in cells.version for part in text.split(", ")]
    parameters["version"] = ", ".join(dict.fromkeys(versions))
    metrics = _metrics_of(cells, setting.first_trajectory(process))
    with tempfile.TemporaryDirectory() as folder:
        pictures = []
        for label, draw in grids.items():
            pictures.append(Path(folder) / f"{label}.png")
            draw(pictures[-1])
        _log_once(name, f"{process}/{variant}", parameters, metrics, {"samples": pictures})


def _of_process(setting, process, row):
    """The parameters that the row of a process has beside its name."""
    if process != SOLVER:
        return {"eta": setting.processes.eta(process)}
    solver = setting.row(process, row)
    return {"scheduler": solver.scheduler, "options": dict(solver.options)}


def _metrics_of(cells, main_trajectory):
    """[(metric, value, K), …] of rows of cells.csv, with `<metric>_stderr` if there is one."""
    metrics = []
    for row in cells.itertuples():
        label = row.metric
        if row.trajectory != main_trajectory:
            label = f"{row.metric}_{row.trajectory}"
        metrics.append((label, row.value, row.K))
        if not pandas.isna(row.stderr):
            metrics.append((f"{label}_stderr", row.stderr, row.K))
    return metrics


@store.one_line_errors()
def log_tables(
    experiment: Experiment, name: str, tables: list[Path], numbers: dict[str, float]
) -> None:
    """Logs the tables of an experiment and the numbers of setting `name` as a whole.

    The run is `tables`, or `<experiment>-tables` of an experiment other than the default one.
    """
    key = "tables" if experiment.name == paths.DEFAULT else f"{experiment.name}-tables"
    metrics = [(label, value, 0) for label, value in numbers.items()]
    _log_once(name, key, {"config": experiment.digest()}, metrics, {"tables": tables})


def _log_once(name, key, parameters, metrics, artifacts):
    """Logs a finished run, unless the run that holds `key` has the same content.

    metrics: [(name, value, step), …]; artifacts: {folder: paths of files}.
    """
    from mlflow.entities import Metric

    client, experiment_id = store.open_experiment(name)
    contents = {}
    for folder, members in artifacts.items():
        contents[folder] = [[path.name, digests.digest(path.read_bytes())] for path in members]
    digest = digests.digest([parameters, metrics, contents])
    points = [Metric(label, value, _now(), int(step)) for label, value, step in metrics]
    with store.alone():
        run = store.find_run(client, experiment_id, key)
        if store.has_digest(run, digest) and run.info.status == "FINISHED":
            return
        run_id = store.create_run(client, experiment_id, key, digest, parameters)
        store.retry(client.log_batch, run_id, metrics=points)
        for folder, members in artifacts.items():
            for path in members:
                client.log_artifact(run_id, str(path), folder)
        store.retry(client.set_terminated, run_id, "FINISHED")
