"""The last stages: from what was measured to cells.csv, the tables, the figures and MLflow."""

import pandas

from bench import thresholds
from bench.data import dataset
from bench.experiment.resolved import Experiment
from bench.report import figures, pictures, published, reproduction, tables, tracking
from bench.runtime import files, paths
from bench.runtime.errors import BenchError
from bench.stages.inputs import read_samples
from bench.theory import claims

TABLE_FILES = (
    "cells.csv",
    "table1.csv",
    "table1.md",
    "table2.csv",
    "paired.csv",
    "metrics.json",
    "reproduction.csv",
    "reproduction.md",
)


def write_thresholds() -> None:
    """results/table3.csv, from the schedules alone."""
    rows = thresholds.table(published.sigma2_cells())
    files.write_csv(paths.RESULTS / "table3.csv", pandas.DataFrame(rows))


def check_theory(experiment: Experiment) -> None:
    """results/theory.csv; BenchError where a verdict is false, after the file is written."""
    frame = pandas.DataFrame(claims.check(experiment.seed))
    files.write_csv(paths.RESULTS / "theory.csv", frame)
    failed = frame[~frame.verdict]
    if len(failed):
        raise BenchError(
            f"results/theory.csv: {len(failed)} of {len(frame)} claims do not hold, "
            f"the first: {failed.claim.iloc[0]}"
        )


def gather_cells(experiment: Experiment) -> None:
    """results/cells.csv, paired.csv, and beside the published numbers reproduction.csv and .md."""
    rows, pairs = [], []
    for name, setting in experiment.settings.items():
        place = paths.Setting(name)
        if experiment.wants_bound(name):
            frame = files.read_parquet(place.bound)
            rows += tables.bound_cells(name, frame, experiment.bound_metrics)
            pairs.append(tables.paired(name, frame))
        if experiment.sample_metrics:
            for process, _ in setting.processes.items():
                report = files.read_json(place.fidelity(process))
                rows += tables.fidelity_cells(name, process, report)
    tolerances = published.tolerances()
    comparison = reproduction.compare(published.read(), _measured(experiment, rows), tolerances)
    files.write_csv(paths.CELLS, tables.cells(rows, reproduction.beside(comparison)))
    files.write_csv(paths.RESULTS / "reproduction.csv", comparison)
    markdown = reproduction.markdown(comparison, tolerances)
    files.write_text(paths.RESULTS / "reproduction.md", markdown)
    empty = pandas.DataFrame(columns=tables.PAIRED)
    paired = pandas.concat(pairs, ignore_index=True) if pairs else empty
    files.write_csv(paths.RESULTS / "paired.csv", paired)


def _measured(experiment, rows):
    """What published cells are compared with.

    These are the rows of cells.csv, and what follows from them, from moments and from schedules.
    """
    measured = []
    for row in rows:
        setting = experiment.setting(row["setting"])
        measured.append({**row, **_circumstances(setting, row["process"])})
    cells, frame = published.read(), pandas.DataFrame(rows, columns=tables.COLUMNS)
    table2 = tables.table2(frame, _targets(experiment))
    measured += reproduction.least_steps(cells, frame, table2)
    measured += reproduction.schedule_rows(thresholds.table(published.sigma2_cells()))
    estimates = cells[cells.metric == "sigma2_analytic"].to_dict("records")
    for name, setting in experiment.settings.items():
        wanted = [cell for cell in estimates if cell["dataset"] == name]
        variants = [one for _, section in setting.processes.items() for one in section.variants]
        if wanted and setting.needs_moments(variants):
            moments = files.map_npz(paths.Setting(name).moments)
            measured += reproduction.analytic_rows(wanted, setting.schedule.make(), moments)
    return measured


def _circumstances(setting, process):
    """What of a setting decides whether its cells can be compared with published ones."""
    draws = setting.moments.draws
    if setting.moments.relative_error is not None:
        draws = f"at most {draws}"
    return {"draws": draws, "eta": setting.processes.eta(process)}


def _targets(experiment):
    """{setting: the FID that table2 asks for}"""
    return {name: setting.fidelity.target_fid for name, setting in experiment.settings.items()}


def write_tables(experiment: Experiment) -> None:
    """table1.csv, table1.md, table2.csv, metrics.json and the curves that `dvc plots` draws."""
    frame = files.read_csv(paths.CELLS)
    pairs = files.read_csv(paths.RESULTS / "paired.csv")
    for group in experiment.metric_groups:
        files.write_csv(paths.RESULTS / "plots" / f"{group}.csv", tables.curves(frame, group))
    files.write_csv(paths.RESULTS / "table2.csv", tables.table2(frame, _targets(experiment)))
    files.write_json(paths.RESULTS / "metrics.json", tables.metrics(frame))
    files.write_text(paths.RESULTS / "table1.md", tables.table1_markdown(frame, pairs))
    files.write_csv(paths.RESULTS / "table1.csv", tables.table1(frame))


def draw_figures(experiment: Experiment, name: str) -> None:
    """results/<setting>/figures/<metric>.png"""
    frame = files.read_csv(paths.CELLS)
    for group in experiment.metric_groups:
        figures.curves(frame[frame.setting == name], group, paths.Setting(name).figure(group))


def log_runs(experiment: Experiment) -> None:
    """Logs every setting to MLflow: its cells, sample grids, figures and the tables."""
    frame = files.read_csv(paths.CELLS)
    for name in experiment.settings:
        place = paths.Setting(name)
        about = files.read_json(place.data / "data.json")
        of_setting = frame[frame.setting == name]
        for (process, variant), rows in of_setting.groupby(["process", "variant"], sort=False):
            grids = _grids(experiment, name, process, variant)
            tracking.log_cells(experiment, name, process, variant, rows, grids, about)
        shown = [paths.RESULTS / file for file in TABLE_FILES]
        shown += [place.figure(group) for group in experiment.metric_groups]
        tracking.log_tables(experiment, name, shown, _numbers(experiment, name))
    files.write_json(
        paths.RESULTS / "tracking.json",
        {"tracking_uri": tracking.uri(), "config": experiment.digest()},
    )


def _grids(experiment, name, process, variant):
    """{artifact name: function that draws it} of every sampled cell of a (process, variant)."""
    if not experiment.sample_metrics:
        return {}
    setting, place = experiment.setting(name), paths.Setting(name)
    data = dataset.load(place.data)

    def grid(trajectory, K):
        def draw(path):
            images = read_samples(setting, place, process, variant, trajectory, K)
            pictures.samples(images, data, path)

        return draw

    grids = {}
    for trajectory, K in setting.grid("samples", process, variant):
        grids[paths.cell_name(trajectory, K)] = grid(trajectory, K)
    return grids


def _numbers(experiment, name):
    """Numbers of a setting as a whole: scores of held-out images and the extractor's accuracy."""
    if not experiment.sample_metrics:
        return {}
    place = paths.Setting(name)
    process, _ = next(iter(experiment.setting(name).processes.items()))
    numbers = {}
    for row in files.read_json(place.fidelity(process))["test_images"]:
        numbers[f"test_images_{row['metric']}"] = row["value"]
    about = files.read_json(place.extractor / "extractor.json")
    if "test_accuracy" in about:
        numbers["extractor_test_accuracy"] = about["test_accuracy"]
    return numbers
