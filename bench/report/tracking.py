"""MLflow: what is logged of trainings and of finished tables.

An MLflow experiment is a setting. In it a configuration (`bench.report.configuration`) has a run,
which carries its parameters, tables and figures, and below it a run of every (process, variant).
Every training has a run too. Logging the same again changes nothing; other numbers of the same
configuration are logged into its runs; another configuration adds runs. Nothing is deleted. The
store itself: `bench.report.store`.

A run of a (process, variant) has each metric twice: as a curve (`fid`, whose step is K) and as
columns of five digits, by which MLflow sorts and filters (`fid_K10`). On the grid's first
trajectory a metric has its own name, on any other `<metric>_<trajectory>`. Standard errors are
tags, `fid_K10_stderr`.
"""

import contextlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas

from bench import scores
from bench.experiment.resolved import Experiment
from bench.report import configuration, registration, store, view
from bench.runtime import digests
from bench.solver import SOLVER

DIGEST_TAG = "bench.digest"  # of a run: its content
NOTE_TAG, PARENT_TAG = "mlflow.note.content", "mlflow.parentRunId"
COMMIT_TAG = "mlflow.source.git.commit"
FIRST, FIRST_K = ("fid", "nll_bpd", "nll_nats"), 10  # what the view of variants orders by
SHOWN = 6  # digits of a configuration's digest in names
TRAININGS = {"mean": "mean model", "heads": "heads", "extractor": "feature extractor"}


@dataclass(frozen=True)
class Content:
    """What a run holds.

    note: what it is, in markdown. metrics: [(name, value, step), …]; artifacts: {folder: files}.
    """

    name: str
    note: str
    tags: Mapping[str, str]
    parameters: Mapping[str, Any]
    metrics: Sequence[tuple[str, float, int]] = ()
    artifacts: Mapping[str, Sequence[Path]] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What identifies the run in its configuration: its name and parameters never change."""
        return f"{self.name} {configuration.digest(self.parameters)}"

    def digest(self) -> str:
        """A short hash of all of it."""
        files = {}
        for folder, members in self.artifacts.items():
            files[folder] = [[path.name, digests.digest(path.read_bytes())] for path in members]
        tags, parameters = dict(self.tags), dict(self.parameters)
        return digests.digest([self.note, tags, parameters, list(self.metrics), files])


@contextlib.contextmanager
def live_run(
    experiment: Experiment, name: str, stage: str, data: Mapping[str, Any]
) -> Iterator[Callable]:
    """Yields a function (step, {metric: value}) that logs a training of setting `name`.

    Another training of the same configuration, such as an interrupted one that goes on, is logged
    into the same run: those steps that it lacks or that have other values. stage: the setting's
    section, and the name of the run. data: the content of data.json.
    """
    parameters = configuration.of_training(experiment, name, stage, data)
    note = f"Training of the {TRAININGS[stage]} of {name}: its losses, live (step = training step)."
    tags = {"kind": "training", "setting": name, NOTE_TAG: note, **store.source_tags()}
    with store.one_line_errors():
        client, experiment_id = store.open_experiment(name)
        key = f"{stage} {configuration.digest(parameters)}"
        with store.alone():
            run = store.claim(client, experiment_id, key, {stage: stage})[stage]
        run_id = run.info.run_id
        store.retry(client.update_run, run_id, status="RUNNING")
        store.log_batch(client, run_id, parameters=parameters, tags=tags)
    try:
        with store.system_metrics(run_id):
            yield _step_logger(client, run_id)
    except BaseException:
        with contextlib.suppress(Exception):  # the store may be what failed
            store.retry(client.set_terminated, run_id, "FAILED")
        raise
    with store.one_line_errors():
        store.retry(client.set_terminated, run_id, "FINISHED")


def _step_logger(client, run_id):
    """A function (step, {metric: value}) that logs what the run does not have."""
    held = {}

    @store.one_line_errors()
    def log(step, values):
        for key in values.keys() - held.keys():
            held[key] = store.history(client, run_id, key)
        fresh = [
            (key, value, step) for key, value in values.items() if held[key].get(step) != value
        ]
        store.log_batch(client, run_id, fresh, timestamp=_now())

    return log


def _now():
    """Milliseconds since 1970."""
    return int(time.time() * 1000)


def variant_content(
    experiment: Experiment,
    name: str,
    process: str,
    variant: str,
    cells: pandas.DataFrame,
    parameters: Mapping[str, Any],
    artifacts: Mapping[str, Sequence[Path]],
) -> Content:
    """The content of the run of one (process, variant) of setting `name`.

    cells: its rows of cells.csv. parameters: those of the configuration.
    """
    setting = experiment.setting(name)
    points = _points(cells, setting.first_trajectory(process))
    curves = [(label, value, K) for label, K, value, _ in points]
    # Columns are for the eye. MLflow draws bars of metrics whose only step is 0.
    columns = [(f"{label}_K{K}", float(f"{value:.5g}"), 0) for label, K, value, _ in points]
    tags = {"kind": "variant", "setting": name, "process": process, "variant": variant}
    tags |= _properties(setting, process, variant)
    tags["trajectory"] = _listed(cells.trajectory)
    for key in ("extractor", "reference"):  # only scores have them
        if cells[key].notna().any():
            tags[key] = _listed(cells[key].dropna())
    tags["version"] = _listed(part for text in cells.version for part in text.split(", "))
    for label, K, _, stderr in points:
        if not pandas.isna(stderr):
            tags[f"{label}_K{K}_stderr"] = f"{stderr:.3g}"
    return Content(
        name=f"{process}/{variant}",
        note=f"{_sentence(setting, name, process, variant)}  \n{_numbers_of(points)}",
        tags=tags,
        parameters={**parameters, "process": process, "variant": variant}
        | _of_solver(setting, process, variant),
        metrics=curves + columns,
        artifacts=artifacts,
    )


def _points(cells, first_trajectory):
    """[(metric's name in MLflow, K, value, standard error), …] of rows of cells.csv, by K."""
    points = []
    for row in cells.sort_values("K", kind="stable").itertuples():
        is_first = row.trajectory == first_trajectory
        label = row.metric if is_first else f"{row.metric}_{row.trajectory}"
        points.append((label, int(row.K), float(row.value), row.stderr))
    return points


def _listed(texts):
    """Texts, each once, with commas between them."""
    return ", ".join(dict.fromkeys(texts))


def _properties(setting, process, row):
    """Tags of what a variant states about itself; none of a solver."""
    if process == SOLVER:
        return {}
    variant = setting.row(process, row)
    return {
        "assumes": variant.assumes,
        "frame": variant.frame,
        "conditional": str(variant.conditional).lower(),
    }


def _of_solver(setting, process, row):
    """The parameters of a solver, which a variant has none of."""
    if process != SOLVER:
        return {}
    solver = setting.row(process, row)
    return {"scheduler": solver.scheduler, "options": dict(solver.options)}


def _sentence(setting, name, process, row):
    """What a row is, in a line."""
    if process == SOLVER:
        return f"Solver **{row}** on {name}: {setting.row(process, row).scheduler} of diffusers."
    variant = setting.row(process, row)
    learned = "learned, " if variant.head else ""
    depends = "depends on x_t" if variant.conditional else "the same for every x_t"
    assumed = f"assumes {variant.assumes}"
    source = f" ({variant.source})" if variant.source else ""
    return f"Variance **{row}**{source} of {process} on {name}: {learned}{depends}, {assumed}."


def _numbers_of(points):
    """The values of each metric at every K, in a line."""
    by_label = {}
    for label, K, value, _ in points:
        by_label.setdefault(label, []).append(f"{value:.3g} (K = {K})")
    return "; ".join(f"{label}: {', '.join(values)}" for label, values in by_label.items()) + "."


def configuration_content(
    experiment: Experiment,
    name: str,
    cells: pandas.DataFrame,
    parameters: Mapping[str, Any],
    numbers: Mapping[str, float],
    artifacts: Mapping[str, Sequence[Path]],
) -> Content:
    """The content of the run of the configuration of setting `name`.

    cells: the rows of cells.csv of the setting. numbers: those of the setting as a whole.
    """
    rows = len(cells[["process", "variant"]].drop_duplicates())
    digest = configuration.digest(parameters)[:SHOWN]
    note = (
        f"Configuration `{digest}` of experiment **{experiment.name}** on {name}: its {rows} "
        f"variants are the runs below it, its tables and figures are artifacts.  \n{_best(cells)}"
    )
    return Content(
        name=f"{experiment.name} {digest}",
        note=note,
        tags={"kind": "configuration", "setting": name, "experiment": experiment.name},
        parameters=parameters,
        metrics=[(label, value, 0) for label, value in numbers.items()],
        artifacts=artifacts,
    )


def _best(cells):
    """Which row is best at each K, of each metric, in a line."""
    best = []
    for metric, rows in cells.groupby("metric", sort=False):
        named = []
        for K, column in rows.groupby("K"):
            place = scores.get(metric).best(column.value)
            if place is not None:
                named.append(f"{column.process[place]}/{column.variant[place]} (K = {K})")
        best.append(f"{metric}: {', '.join(named)}")
    return f"Best {'; '.join(best)}."


@store.one_line_errors()
def log(
    name: str,
    configuration_run: Content,
    variant_runs: Sequence[Content],
    data: Mapping[str, Any],
    commit: str | None,
    mean: Path | None = None,
) -> tuple[int, str]:
    """Logs a configuration of setting `name` and its variants.

    Returns how many runs that added or changed, and the address of the page that shows them.

    data: the content of data.json. commit: of the code that made the numbers. mean: the folder of
    the mean model, if it is among the artifacts of the configuration (`bench.report.registration`).
    """
    client, experiment_id = store.open_experiment(name)
    every, written = [configuration_run, *variant_runs], 0
    with store.alone():
        names = {content.key: content.name for content in every}
        runs = store.claim(client, experiment_id, configuration_run.name, names)
        of_configuration = runs[configuration_run.key].info.run_id
        for content in every:
            tags = {COMMIT_TAG: commit} if commit else {}
            if content is not configuration_run:
                tags[PARENT_TAG] = of_configuration
            written += _write(client, runs[content.key], content, tags, data)
        if written and mean:
            note = f"The mean model of {name}, as {configuration_run.name} has it."
            registration.register(client, name, runs[configuration_run.key], mean, note)
        if written and view.TAG not in client.get_experiment(experiment_id).tags:
            store.retry(client.set_experiment_tag, experiment_id, view.TAG, _view(variant_runs))
    return written, view.page(experiment_id)


def _view(variant_runs):
    """The tag of the view of variants: ordered by the first metric of `FIRST` that one has, at
    K = `FIRST_K` or else at the least K.
    """
    steps = {}  # {curve: its Ks}
    for content in variant_runs:
        for label, _, K in content.metrics:
            if K > 0:
                steps.setdefault(label, set()).add(K)
    first = next((label for label in FIRST if label in steps), next(iter(steps)))
    K = FIRST_K if FIRST_K in steps[first] else min(steps[first])
    columns = [f"{label}_K{K}" for label in steps if K in steps[label]]
    ascending = not scores.get(first).higher_is_better
    return view.tag(f"{first}_K{K}", ascending, columns, list(steps))


def _write(client, run, content, tags, data):
    """Logs a content into its run, unless it is there; returns whether it was not."""
    digest = content.digest()
    if run.data.tags.get(DIGEST_TAG) == digest and run.info.status == "FINISHED":
        return False
    run_id = run.info.run_id
    for folder, members in content.artifacts.items():
        for path in members:
            client.log_artifact(run_id, str(path), folder)
    # Two clients that log the same new run at once log the same points, which MLflow keeps once.
    timestamp = _now() if run.data.metrics else run.info.start_time
    tags = {**content.tags, NOTE_TAG: content.note, **tags, DIGEST_TAG: digest}
    points = _missing(client, run, content.metrics)
    store.retry(client.log_inputs, run_id, [_dataset(data)])
    store.log_batch(client, run_id, points, content.parameters, tags, timestamp)
    store.retry(client.set_terminated, run_id, "FINISHED")
    return True


def _missing(client, run, metrics):
    """Those of [(name, value, step), …] that a run does not have."""
    held, steps = {}, Counter(name for name, _, _ in metrics)
    for name, _, step in metrics:
        if name in run.data.metrics and name not in held:
            is_curve = steps[name] > 1  # of a column, the run itself has the value
            last = {step: run.data.metrics[name]}
            held[name] = store.history(client, run.info.run_id, name) if is_curve else last
    return [point for point in metrics if held.get(point[0], {}).get(point[2]) != point[1]]


def _dataset(data):
    """The entry of a data set, from the content of data.json."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    profile = {key: data[key] for key in ("train", "test", "shape", "levels")}
    dataset = Dataset(
        name=data["name"],
        digest=data["sha256"],
        source_type="bench reader",
        source=json.dumps({"reader": data["name"]}),
        profile=json.dumps(profile),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training and evaluation")])
