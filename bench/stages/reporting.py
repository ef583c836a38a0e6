"""The last stages: from what was measured to cells.csv, the tables, the figures and MLflow.

An experiment's tables are in results/ or results/<name>-tables/, see `bench.runtime.paths.Tables`.
"""

import pandas

from bench import thresholds
from bench.data import dataset
from bench.report import figures, pictures, published, reproduction, store, tables, tracking
from bench.runtime import files, paths
from bench.runtime.errors import BenchError
from bench.stages.inputs import read_samples
from bench.theory import claims


def write_thresholds():
    """results/table3.csv, from the schedules alone."""
    files.write_csv(paths.THRESHOLDS, pandas.DataFrame(thresholds.table(published.sigma2_cells())))


def check_theory(experiment):
    """results/theory.csv; BenchError where a verdict is false, after the file is written."""
    frame = pandas.DataFrame(claims.check(experiment.seed))
    files.write_csv(paths.THEORY, frame)
    failed = frame[~frame.verdict]
    if len(failed):
        raise BenchError(
            f"results/theory.csv: {len(failed)} of {len(frame)} claims do not hold, "
            f"the first: {failed.claim.iloc[0]}"
        )


def gather_cells(experiment):
    """cells.csv and paired.csv; reproduction.csv and .md, beside the published numbers."""
    written, rows, pairs = paths.Tables(experiment.name), [], []
    for name, setting in experiment.settings.items():
        place = paths.Setting(name)
        if "nll" in experiment.metrics and setting.variants("ddpm"):
            frame = files.read_parquet(place.bound)
            rows += tables.bound_cells(name, frame)
            pairs.append(tables.paired(name, frame))
        for process, _ in setting.processes.items():
            if experiment.fidelity_metrics:
                rows += tables.fidelity_cells(
                    name, process, files.read_json(place.fidelity(process))
                )
    tolerances = published.tolerances()
    comparison = reproduction.compare(published.read(), _measured(experiment, rows), tolerances)
    files.write_csv(written.cells, tables.cells(rows, reproduction.beside(comparison)))
    files.write_csv(written.reproduction, comparison)
    files.write_text(written.reproduction_report, reproduction.markdown(comparison, tolerances))
    empty = pandas.DataFrame(
        columns=["setting", "trajectory", "K", "variant", "best", "difference", "stderr"]
    )
    files.write_csv(written.paired, pandas.concat(pairs, ignore_index=True) if pairs else empty)


def _measured(experiment, rows):
    """What published cells are compared with: rows of cells.csv, and what follows from them, from moments and schedules."""
    cells, frame = published.read(), pandas.DataFrame(rows, columns=tables.COLUMNS)
    measured = [
        {**row, **_circumstances(experiment.setting(row["setting"]), row["process"])}
        for row in rows
    ]
    measured += reproduction.least_steps(cells, frame, tables.table2(frame, _targets(experiment)))
    measured += reproduction.schedule_rows(thresholds.table(published.sigma2_cells()))
    estimates = cells[cells.metric == "sigma2_analytic"].to_dict("records")
    for name, setting in experiment.settings.items():
        wanted = [cell for cell in estimates if cell["dataset"] == name]
        if wanted and any(
            setting.needs_moments(section.variants) for _, section in setting.processes.items()
        ):
            moments = files.read_arrays(paths.Setting(name).moments, ["eps_sq", "eps_sq_mean_se"])
            measured += reproduction.analytic_rows(wanted, setting.schedule.make(), moments)
    return measured


def _circumstances(setting, process):
    """What of a setting decides whether its cells can be compared with published ones."""
    draws = (
        setting.moments.draws
        if setting.moments.relative_error is None
        else f"at most {setting.moments.draws}"
    )
    return {"draws": draws, "eta": setting.processes.eta(process)}


def _targets(experiment):
    """{setting: the FID that table2 asks for}"""
    return {name: setting.fidelity.target_fid for name, setting in experiment.settings.items()}


def write_tables(experiment):
    """table1.csv, table1.md, table2.csv, metrics.json and the curves that `dvc plots` draws, from cells.csv."""
    written = paths.Tables(experiment.name)
    frame, pairs = files.read_csv(written.cells), files.read_csv(written.paired)
    for metric in experiment.metrics:
        files.write_csv(written.plot(metric), tables.curves(frame, metric))
    files.write_csv(written.table2, tables.table2(frame, _targets(experiment)))
    files.write_json(written.metrics, tables.metrics(frame))
    files.write_text(written.table1_report, tables.table1_markdown(frame, pairs))
    files.write_csv(written.table1, tables.table1(frame))


def draw_figures(experiment, name):
    """figures/<setting>/<metric>.png"""
    written = paths.Tables(experiment.name)
    frame = files.read_csv(written.cells)
    for metric in experiment.metrics:
        figures.curves(frame[frame.setting == name], metric, written.figure(name, metric))


def log_runs(experiment):
    """Logs every setting to MLflow: its cells, sample grids, figures and the tables."""
    written = paths.Tables(experiment.name)
    frame = files.read_csv(written.cells)
    shown = [
        written.cells,
        written.table1,
        written.table1_report,
        written.table2,
        written.paired,
        written.metrics,
        written.reproduction,
        written.reproduction_report,
    ]
    for name in experiment.settings:
        block, about = (
            frame[frame.setting == name],
            files.read_json(paths.Setting(name).data / "data.json"),
        )
        for (process, variant), rows in block.groupby(["process", "variant"], sort=False):
            tracking.log_cells(
                experiment,
                name,
                process,
                variant,
                rows,
                _grids(experiment, name, process, variant),
                about,
            )
        drawn = [written.figure(name, metric) for metric in experiment.metrics]
        tracking.log_tables(experiment, name, shown + drawn, _numbers(experiment, name))
    files.write_json(written.tracking, {"tracking_uri": store.uri(), "config": experiment.digest()})


def _grids(experiment, name, process, variant):
    """{artifact name: function that draws it} of every sampled cell of a (process, variant)."""
    setting, place = experiment.setting(name), paths.Setting(name)
    if not experiment.fidelity_metrics:
        return {}
    data = dataset.load(place.data)

    def grid(kind, K):
        return lambda path: pictures.samples(
            read_samples(setting, place, process, variant, kind, K), data, path
        )

    return {
        paths.cell_name(kind, K): grid(kind, K)
        for kind, K in setting.grid("samples", process, variant)
    }


def _numbers(experiment, name):
    """Numbers of a setting as a whole: the extractor's accuracy and the scores of held-out images."""
    place = paths.Setting(name)
    if not experiment.fidelity_metrics:
        return {}
    process = next(process for process, _ in experiment.setting(name).processes.items())
    scores = {
        f"test_images_{row['metric']}": row["value"]
        for row in files.read_json(place.fidelity(process))["test_images"]
    }
    about = files.read_json(place.extractor / "extractor.json")
    return scores | (
        {"extractor_test_accuracy": about["test_accuracy"]} if "test_accuracy" in about else {}
    )
