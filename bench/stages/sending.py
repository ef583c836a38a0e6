"""What comes after the tables: a finished folder of tables is sent to MLflow.

The folder may be anywhere. It is read where it lies; the store is that of the working folder.
"""

import contextlib
import tempfile
from pathlib import Path
from typing import Any

from bench.data import dataset
from bench.experiment import loading, strict
from bench.report import address, configuration, pictures, registration, tables, tracking
from bench.runtime import digests, files, paths, records
from bench.runtime.errors import BenchError
from bench.scores import extractors
from bench.scores.report import Scores
from bench.stages.inputs import read_samples

EXPECTED = "expected results/ or results/NAME-tables/ of a finished run"
UNSEEN = ("name", "device")  # keys of the configuration that change no table


def log_runs(folder: Path) -> tuple[int, dict[str, str]]:
    """Logs a finished folder of tables to MLflow.

    folder: results/ or results/<name>-tables/ of any place. Returns how many runs that added or
    changed, and {setting: address of the page that shows its runs}. BenchError if the folder is not
    finished, or if its config.yaml is not what the tables were made with.
    """
    config = folder / paths.Tables().config.name
    if not config.is_file():
        raise BenchError(f"{folder}: found no {config.name}; {EXPECTED}")
    experiment, written, pages = loading.load(config), 0, {}
    home, digest = _home(experiment, folder), _digest(config)
    note = paths.Tables(experiment.name).tracking
    with files.options_beside(config):
        with contextlib.chdir(home):
            _check_configuration(experiment, config, digest)
        for name in experiment.selected:
            with tempfile.TemporaryDirectory() as drawn:
                with contextlib.chdir(home):
                    contents = _contents(experiment, name, Path(drawn))
                count, pages[name] = tracking.log(name, *contents)
            written += count
    about = {"tracking_uri": address.shown(), "configuration": digest, "pages": pages}
    with contextlib.chdir(home):
        if not note.exists():
            files.write_json(note, about)
    return written, pages


def _home(experiment, folder):
    """The folder in which results/ of a folder of tables lies."""
    expected = paths.Tables(experiment.name).folder
    home = folder.resolve().parents[len(expected.parts) - 1]
    if home / expected != folder.resolve():
        raise BenchError(
            f"{folder}: its config.yaml is of the experiment {experiment.name}, whose tables are "
            f"in {expected}/; {EXPECTED}"
        )
    return home


def _digest(config):
    """A hash of a configuration, in which what changes no table is left out."""
    settled = {key: value for key, value in strict.read(config).items() if key not in UNSEEN}
    return digests.digest(settled)


def _check_configuration(experiment, config, digest):
    """BenchError if tracking.json is there and of another configuration than `digest`.

    Snakemake writes config.yaml when a run starts, and the tables when it ends.
    """
    written = paths.Tables(experiment.name)
    if not written.tracking.exists():
        return
    about = files.read_json(written.tracking, dict[str, Any])
    if about.get("configuration") != digest:
        raise BenchError(
            f"{config}: is not the configuration of the tables beside it; "
            f"{files.remake(written.table1)}"
        )


def _contents(experiment, name, drawn):
    """The arguments of `tracking.log` behind the name of a setting. drawn: for pictures."""
    written = paths.Tables(experiment.name)
    frame = files.read_csv(written.cells, tables.COLUMNS)
    cells, about = frame[frame.setting == name], dataset.read_about(paths.Setting(name).data)
    parameters = configuration.parameters(
        experiment, name, about, _imported(experiment, name, cells)
    )
    grids, variants = _grids(experiment, name, drawn), []
    for row, rows in cells.groupby(["process", "variant"], sort=False):
        table = drawn.joinpath(*row, written.cells.name)
        table.parent.mkdir(parents=True)
        rows.to_csv(table, index=False)
        artifacts = {"": [table], "samples": grids(*row)}
        content = tracking.variant_content(experiment, name, *row, rows, parameters, artifacts)
        variants.append(content)
    mean = paths.Setting(name).mean
    model = registration.artifacts(mean, about["shape"], drawn)
    artifacts = _artifacts(written, name) | model
    numbers = _numbers(experiment, name)
    whole = tracking.configuration_content(experiment, name, cells, parameters, numbers, artifacts)
    record = files.read_json(records.beside(written.cells), records.Record)
    return whole, variants, about, record.made_by.commit, mean.resolve() if model else None


def _imported(experiment, name, cells):
    """{key: digest or description} of the files that the configuration of a setting names."""
    setting, contents = experiment.setting(name), configuration.imported(experiment, name)
    named = {"reference": setting.fidelity.reference}
    if setting.extractor:
        named["extractor"] = setting.extractor.weights
    for key in (key for key, path in named.items() if path):
        contents[f"{key}.content"] = ", ".join(cells[key].dropna().unique())
    return contents


def _artifacts(written, name):
    """{folder: files} of the tables, and of the figures of a setting."""
    of_experiment = [
        written.table1_report,
        written.table1,
        written.table2,
        written.cells,
        written.paired,
        written.calibration,
        written.metrics,
        written.reproduction,
        written.reproduction_report,
    ]
    drawn = records.members(written.folder / "figures" / name)
    for path in of_experiment + drawn:
        files.check(path)
    report = written.folder / "report.html"  # made later, if at all
    return {
        "tables": [path.resolve() for path in of_experiment],
        "figures": [path.resolve() for path in drawn],
        "report": [report.resolve()] if report.exists() else [],
    }


def _grids(experiment, name, drawn):
    """A function (process, variant) that draws the samples of every cell, and returns the pictures.

    The first is of real images, if there are any. The names of the others are in the order of K.
    """
    if not experiment.sample_metrics:
        return lambda process, variant: []
    setting, place = experiment.selection(name), experiment.place(name)
    data = dataset.load(place.data)
    real = []
    if data.levels is not None:  # the picture of a point has the real ones in it
        real = [drawn / "0_real_images.png"]
        pictures.samples(data.train, data, real[0])

    def draw(process, variant):
        grids = list(real)
        for kind, K in setting.grid("samples", process, variant):
            images = read_samples(setting, place, data, process, variant, kind, K)
            grids.append(drawn / process / variant / f"{kind}_K{K:04d}.png")
            pictures.samples(images, data, grids[-1])
        return grids

    return draw


def _numbers(experiment, name):
    """Numbers of a setting as a whole: scores of held-out images and the extractor's accuracy."""
    if not experiment.sample_metrics:
        return {}
    place = experiment.place(name)
    process, _ = next(iter(experiment.selection(name).processes.items()))
    numbers = {}
    for row in files.read_json(place.fidelity(process), Scores)["test_images"]:
        numbers[f"test_images_{row['metric']}"] = row["value"]
    about = files.read_json(place.extractor / "extractor.json", extractors.About)
    if "test_accuracy" in about:
        numbers["extractor_test_accuracy"] = about["test_accuracy"]
    return numbers
