"""The last stages: from measurements to cells.csv, the tables and the figures.

An experiment's tables are in results/ or results/<name>-tables/, see `bench.runtime.paths.Tables`.
"""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas

from bench import scores
from bench.data import dataset
from bench.experiment.resolved import Experiment
from bench.papers import published, table7
from bench.process import SECOND_ORDER_BOUND
from bench.report import latex, merging, pages, reproduction, studies, tables
from bench.report.figures import study, style
from bench.runtime import files, paths, records
from bench.scores.report import Scores
from bench.stages import versions_of
from bench.stages.inputs import one_at_a_time


@one_at_a_time(lambda: paths.THRESHOLDS)
def write_thresholds() -> None:
    """results/table3.csv, from the schedules alone, and a page of it for the report."""
    frame = pandas.DataFrame(table7.recompute(published.sigma2_cells()))
    files.write_csv(paths.THRESHOLDS, frame)
    files.write_text(paths.THRESHOLDS_PAGE, pages.page(pages.markdown(frame, "Table 3"), "table3"))


@one_at_a_time(lambda experiment: paths.Tables(experiment.name).cells)
def gather_cells(experiment: Experiment) -> None:
    """cells.csv, paired.csv and calibration.csv; reproduction.csv and .md, which compare with
    published numbers.
    """
    written = paths.Tables(experiment.name)
    rows, pairs, calibration = _measurements(experiment)
    tolerances = published.tolerances()
    comparison = reproduction.compare(published.read(), _measured(experiment, rows), tolerances)
    for row in rows:
        setting = experiment.setting(row["setting"])
        metric = scores.get(row["metric"])
        row["version"] = versions_of(
            setting, row["process"], row["variant"], row["trajectory"], metric
        )
    files.write_csv(written.cells, tables.cells(rows, reproduction.beside(comparison)))
    files.write_csv(written.reproduction, comparison)
    text = reproduction.markdown(comparison, tolerances, experiment.selected)
    files.write_text(written.reproduction_report, text)
    empty = pandas.DataFrame(columns=tables.CALIBRATION)
    files.write_csv(written.calibration, pandas.concat(calibration) if calibration else empty)
    files.write_csv(written.paired, pandas.DataFrame(pairs, columns=tables.PAIRED))


def _measurements(experiment):
    """(rows of cells.csv, rows of paired.csv, frames of calibration.csv) of all settings.

    The rows of cells.csv lack their versions and published numbers.
    """
    rows, pairs, calibration = [], [], []
    for name, setting in experiment.selected.items():
        place = experiment.place(name)
        if experiment.wants_bound(name):
            frame = files.read_parquet(place.bound, tables.BOUND)
            rows += tables.bound_cells(name, frame, experiment.bound_metrics)
            pairs += tables.paired_bounds(name, frame)
            of_setting = files.read_parquet(place.calibration, tables.CALIBRATION[1:])
            calibration.append(of_setting.assign(setting=name)[tables.CALIBRATION])
        if experiment.wants_bound(name, SECOND_ORDER_BOUND):
            frame = files.read_parquet(place.bound_2m, tables.BOUND)
            rows += tables.bound_cells(name, frame, experiment.bound_metrics, SECOND_ORDER_BOUND)
            pairs += tables.paired_bounds(name, frame, SECOND_ORDER_BOUND)
        if experiment.sample_metrics:
            for process, _ in setting.processes.items():
                report = files.read_json(place.fidelity(process), Scores)
                rows += tables.fidelity_cells(name, process, report)
                pairs += tables.paired_scores(name, process, report)
    _add_network_evaluations(experiment, rows)
    return rows, pairs, calibration


@one_at_a_time(lambda experiment: paths.Tables(experiment.name).study)
def summarise_study(experiment: Experiment) -> None:
    """study.csv and study.png: means over the settings of each group (`bench.report.studies`)."""
    written = paths.Tables(experiment.name)
    studies.check_groups(experiment)
    rows, _, _ = _measurements(experiment)
    summary = studies.summarise(pandas.DataFrame(rows, columns=tables.COLUMNS))
    files.write_csv(written.study, summary)
    style.save(study.draw(summary, experiment.name), [written.study_figure])


def _add_network_evaluations(experiment, rows):
    """Adds that column to rows of cells.csv."""
    dims = {}
    for name in experiment.selected:
        dims[name] = math.prod(dataset.read_about(paths.Setting(name).data)["shape"])
    evaluations = {}  # of each cell, which has a row for every metric
    for row in rows:
        name, *cell = (row[key] for key in ("setting", "process", "variant", "trajectory", "K"))
        if (name, *cell) not in evaluations:
            setting = experiment.setting(name)
            evaluations[name, *cell] = setting.network_evaluations(*cell, dims[name])
        row["network_evaluations"] = evaluations[name, *cell]


def _measured(experiment, rows):
    """Rows to compare with published cells.

    They are those of cells.csv, and others that follow from them, from moments and from schedules.
    """
    measured = []
    for row in rows:
        setting = experiment.setting(row["setting"])
        measured.append({**row, **_circumstances(setting, row["process"])})
    cells, frame = published.read(), pandas.DataFrame(rows, columns=tables.COLUMNS)
    table2 = tables.table2(frame, _targets(experiment))
    measured += reproduction.least_steps(cells, frame, table2)
    measured += reproduction.schedule_rows(table7.recompute(published.sigma2_cells()))
    estimates = cells[cells.metric == "sigma2_analytic"].to_dict("records")
    for name, setting in experiment.selected.items():
        of_setting = [cell for cell in estimates if cell["dataset"] == name]
        variants = [
            one for _, section in setting.processes.with_variants() for one in section.variants
        ]
        if of_setting and setting.needs_moments(variants):
            names = ["eps_sq_mean", "eps_sq_mean_se"]
            moments = files.read_arrays(paths.Setting(name).moments, names)
            measured += reproduction.analytic_rows(of_setting, setting.schedule.make(), moments)
    return measured


def _circumstances(setting, process):
    """M and η of a setting: its cells can be compared with those of a paper that has the same."""
    draws = setting.moments.draws
    if setting.moments.relative_error is not None:
        draws = f"at most {draws}"
    return {"draws": draws, "eta": setting.processes.eta(process)}


def _targets(experiment):
    """{setting: the FID that table2 asks for}"""
    return {name: setting.fidelity.target_fid for name, setting in experiment.selected.items()}


@one_at_a_time(lambda experiment: paths.Tables(experiment.name).table1)
def write_tables(experiment: Experiment) -> None:
    """table1.csv, .md and .tex, table2.csv, metrics.json, the curves that `dvc plots` draws, and
    the tables as pages for the report.
    """
    written = paths.Tables(experiment.name)
    frame = files.read_csv(written.cells, tables.COLUMNS)
    pairs = files.read_csv(written.paired, tables.PAIRED)
    for group in experiment.metric_groups:
        files.write_csv(written.plot(group), tables.curves(frame, group))
    table2 = tables.table2(frame, _targets(experiment))
    files.write_csv(written.table2, table2)
    files.write_json(written.metrics, tables.metrics(frame))
    table1 = _write_table1(written, frame, pairs)
    with files.reading(written.reproduction_report) as path:
        reproduced = path.read_text(encoding="utf-8")
    of_pages = {
        "table1": table1,
        "table2": pages.markdown(table2, "Table 2"),
        "reproduction": reproduced,
    }
    for name in paths.PAGES:
        files.write_text(written.page(name), pages.page(of_pages[name], name))


def _write_table1(written, frame, pairs, sources=""):
    """table1.csv, table1.md and table1.tex of cells and paired differences. Returns the Markdown.

    The last two say what made them. The csv does not, so that its content tells whether a number
    changed.
    """
    maker = records.maker()
    command = f"`{maker.command}`" if maker.command else "the library"
    made_by = f"Made by {command}, commit {maker.commit or 'unknown'}."
    text = tables.table1_markdown(frame, pairs, made_by, sources)
    files.write_text(written.table1_report, text)
    files.write_text(written.table1_latex, latex.table1(frame, made_by))
    files.write_csv(written.table1, tables.table1(frame))
    return text


def merge_results(places: Sequence[str], folder: Path, errors: float) -> None:
    """The tables of several folders of tables as one set, in `folder`, a new one.

    See `bench.report.merging`. There are no paired differences, and no table2.csv unless each
    setting has a target FID in one of the folders. BenchError if the results do not belong together
    or disagree.
    """
    frame = merging.merge(places, errors)
    for text in merging.alone(places):
        print(f"{text}: nothing checks that it is of the same mean model", file=sys.stderr)
    targets = merging.targets(places)
    with files.writing(folder) as partial:
        partial.mkdir()
        written = paths.Tables(folder=partial)
        files.write_csv(written.cells, frame)
        _write_table1(written, frame, pandas.DataFrame(), merging.sources(frame))
        if set(frame[frame.metric == "fid"].setting) <= targets.keys():
            files.write_csv(written.table2, tables.table2(frame, targets))
