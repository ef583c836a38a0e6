"""The figures of a setting: figures/<setting>/<name>.svg and .png."""

import pandas

from bench import scores
from bench.data import dataset
from bench.experiment.resolved import Experiment
from bench.report import tables
from bench.report.figures import curves, differences, sheet, steps, style, tradeoff, variances
from bench.runtime import files, paths
from bench.stages.inputs import one_at_a_time, read_samples
from bench.variances import ROW

OF_TERMS = ["variant", "s", "t", "mean", "stderr"]


def _figures(experiment, name):
    """The folder of a setting's figures. BenchError for an unknown setting."""
    return paths.Tables(experiment.name).folder / "figures" / experiment.place(name).folder.name


@one_at_a_time(_figures)
def draw_figures(experiment: Experiment, name: str) -> None:
    """Every figure of `Experiment.figures`."""
    written = paths.Tables(experiment.name)
    cells, pairs, calibration = (
        rows[rows.setting == name]
        for rows in (
            files.read_csv(written.cells, tables.COLUMNS),
            files.read_csv(written.paired, tables.PAIRED),
            files.read_csv(written.calibration, tables.CALIBRATION),
        )
    )
    makers = {
        "differences": lambda: differences.draw(pairs),
        "tradeoff": lambda: tradeoff.draw(cells),
        "terms": lambda: steps.terms(_terms(experiment, name), _bound_label(cells)),
        "calibration": lambda: steps.calibration(calibration),
        "variances": lambda: variances.draw(_variances(experiment, name), name),
        "variance_maps": lambda: variances.maps(_maps(experiment, name), name),
        "spectra": lambda: variances.spectra(_maps(experiment, name), name),
        "samples": lambda: _samples(experiment, name),
    }
    for figure in experiment.figures:
        draw = makers.get(figure, lambda group=figure: curves.draw(cells, group, pairs))
        kinds = [written.figure(name, figure, kind) for kind in style.FORMATS]
        style.save(draw(), kinds)


def _bound_label(cells):
    """The label of the bound of a setting, with its unit."""
    names = [name for name in cells.metric.unique() if scores.get(name).group == "nll"]
    return scores.get(names[0]).label if names else ""


def _terms(experiment, name):
    """The rows that `steps.terms` draws."""
    empty = pandas.DataFrame(columns=["setting", "variant", "K", "t", "mean", "stderr"])
    if not experiment.wants_bound(name):
        return empty
    terms, kept = files.read_parquet(experiment.place(name).terms, OF_TERMS), [empty]
    for K, of_trajectory in experiment.selection(name).shown_bounds().items():
        edges = pandas.DataFrame({"s": of_trajectory[:-1], "t": of_trajectory[1:]})
        kept.append(terms.merge(edges, on=["s", "t"]).assign(setting=name, K=K))
    return pandas.concat([frame for frame in kept if len(frame)] or kept)


def _variances(experiment, name):
    """The rows that `variances.draw` draws."""
    if not experiment.wants_bound(name):
        return pandas.DataFrame(columns=ROW)
    return files.read_parquet(experiment.place(name).variances, ROW)


def _maps(experiment, name):
    """The arrays that `variances.maps` and `variances.spectra` draw."""
    if not experiment.wants_bound(name):
        return {}
    return files.read_npz(experiment.place(name).variance_maps)


def _samples(experiment, name):
    """The sheet of all cells; of a process and K those on the first trajectory."""
    setting, place, cells = experiment.selection(name), experiment.place(name), []
    data = dataset.load(place.data)
    for process, _ in setting.processes.items():
        for variant, kind, K in setting.cells("samples", process):
            if kind != setting.first_trajectory(process):
                continue
            images = read_samples(setting, place, data, process, variant, kind, K)
            cells.append(sheet.Cell(f"{process} {variant}", f"K = {K}", images[: sheet.POINTS]))
    return sheet.draw(cells, data, name)
