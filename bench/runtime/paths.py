"""Where everything is, relative to the folder in which a run is started."""

import os
from pathlib import Path

RESULTS = Path("results")
DEFAULT = "default"  # the experiment of params.yaml
FILTERED = "only"  # what a filter adds to the name of an experiment, and its folder in a setting's
THRESHOLDS = RESULTS / "table3.csv"  # of schedules alone, and so of no experiment
THEORY = RESULTS / "theory.csv"
THRESHOLDS_PAGE = RESULTS / "pages" / "table3.html"
THEORY_PAGE = RESULTS / "pages" / "theory.html"
PAGES = ("table1", "table2", "reproduction")  # of an experiment
FEATURES = RESULTS / ".features"  # of every setting's reference images
BENCHMARK = RESULTS / "benchmark.json"  # and benchmark.md
STORE = RESULTS / ".store"  # that the MLflow store is there, see `bench.report.tracking`
JOBS = RESULTS / ".jobs"  # what jobs took, see `bench.runtime.stopwatch`
CHECKED = RESULTS / ".checked"  # large files that a run has checked, see `bench.runtime.records`


class Setting:
    """The files of one setting, results/<name>/; results/README.md says what each is.

    filtered: whether some of the rows are measured alone. Then the files that have a part for each
    row are in results/<name>/only/, and those of all rows stay as they are.
    """

    def __init__(self, name: str, filtered: bool = False) -> None:
        self.folder = RESULTS / name
        self.measured = self.folder / FILTERED if filtered else self.folder
        self.data = self.folder / "data"
        self.mean = self.folder / "mean"
        self.moments = self.folder / "moments"
        self.heads = self.folder / "heads"
        self.bound = self.measured / "bound.parquet"
        self.bound_2m = self.measured / "bound_2m.parquet"
        self.terms = self.measured / "terms.parquet"
        self.calibration = self.measured / "calibration.parquet"
        self.variances = self.measured / "variances.parquet"
        self.variance_maps = self.measured / "variance_maps.npz"
        self.extractor = self.folder / "extractor"
        self.reference = self.folder / "reference.json"
        self.checkpoints = self.folder / "checkpoints"

    def shard(self, stage: str, shard: int, process: str | None = None) -> Path:
        """What one shard of a stage leaves, until the stage's own output is there: a folder of
        arrays, or JSON of the reference and of the fidelity of a process.
        """
        folder = self.folder if stage in ("moments", "reference") else self.measured
        name = f"{stage}-{process}" if process else stage
        end = ".json" if stage in ("reference", "fidelity") else ""
        return folder / "shards" / f"{name}-{shard}{end}"

    def trajectories(self, kind: str) -> Path:
        """The trajectories of a kind."""
        return self.folder / "trajectories" / f"{kind}.json"

    def samples(
        self, process: str, needs: str, variant: str, trajectory: str, K: int, shard: int
    ) -> Path:
        """One shard of a cell.

        needs: the last stage that the variant waits for, see `bench.covariance.NEEDS`.
        """
        of_variant = self.folder / "samples" / process / needs / variant
        return of_variant / cell_name(trajectory, K) / f"{shard}.npz"

    def manifest(self, process: str, needs: str, shard: int | str) -> Path:
        """Which samples a job has drawn."""
        return self.measured / "samples" / process / f"{needs}-{shard}.json"

    def fidelity(self, process: str) -> Path:
        """The scores of the samples of a process."""
        return self.measured / "fidelity" / f"{process}.json"


class Tables:
    """The files of one experiment: results/ of the default one, results/<name>-tables/ of another.

    Settings are shared by experiments, see `Setting`; tables are each experiment's own. folder:
    where they are, if they are elsewhere.
    """

    def __init__(self, name: str = DEFAULT, folder: Path | None = None) -> None:
        place = RESULTS if name == DEFAULT else RESULTS / f"{name}-tables"
        self.folder = folder or place
        self.config = self.folder / "config.yaml"
        self.options = self.folder / ".options"  # of the run of Snakemake that wrote config.yaml
        self.cells = self.folder / "cells.csv"
        self.paired = self.folder / "paired.csv"
        self.calibration = self.folder / "calibration.csv"
        self.reproduction = self.folder / "reproduction.csv"
        self.reproduction_report = self.folder / "reproduction.md"
        self.table1 = self.folder / "table1.csv"
        self.table1_report = self.folder / "table1.md"
        self.table1_latex = self.folder / "table1.tex"
        self.table2 = self.folder / "table2.csv"
        self.metrics = self.folder / "metrics.json"
        self.tracking = self.folder / "tracking.json"
        self.study = self.folder / "study.csv"
        self.study_figure = self.folder / "study.png"

    def plot(self, metric: str) -> Path:
        """The curves of a metric as data."""
        return self.folder / "plots" / f"{metric}.csv"

    def page(self, name: str) -> Path:
        """A table for the report, one of `PAGES`."""
        return self.folder / "pages" / f"{name}.html"

    def figure(self, setting: str, name: str, kind: str = "png") -> Path:
        """A figure of a setting. kind: svg or png."""
        return self.folder / "figures" / setting / f"{name}.{kind}"


def experiment_of(path: str | Path) -> str | None:
    """The name of the experiment that a table belongs to; None for a file that is no table."""
    path = Path(os.path.normpath(path))
    if path in (THRESHOLDS, THRESHOLDS_PAGE, THEORY, THEORY_PAGE) or not path.is_relative_to(
        RESULTS
    ):
        return None
    folder, *rest = path.relative_to(RESULTS).parts
    if folder.endswith("-tables"):
        return folder.removesuffix("-tables")
    is_table = not rest and Path(folder).suffix in (".csv", ".md", ".json")
    return DEFAULT if is_table or folder in ("plots", "figures", "pages") else None


def job(setting: str, stage: str, *which: object) -> Path:
    """The account of a job. which: what distinguishes the jobs of a stage."""
    return JOBS / setting / f"{'-'.join(map(str, (stage, *which)))}.json"


def cell_name(trajectory: str, K: int) -> str:
    """The name of a cell's file or artifact."""
    return f"{trajectory}_K{K}"


def target(path: str | Path) -> Path:
    """The Snakemake target that `path` is, or is a part of."""
    parts = Path(path).parts
    start = parts.index(RESULTS.name) if RESULTS.name in parts else len(parts)
    match parts[start + 2 :]:
        case (("data" | "mean" | "extractor" | "moments" | "heads"), _, *_):
            return Path(*parts[: start + 3])
        case ("samples", process, needs, _, _, shard):
            setting = Setting(parts[start + 1])
            return Path(*parts[:start], setting.manifest(process, needs, Path(shard).stem))
    return Path(path)
