"""The papers' own numbers: a csv file for each paper beside this module, a row for each cell."""

from pathlib import Path

import pandas

from bench.runtime import files
from bench.runtime.errors import BenchError

FOLDER = Path(__file__).resolve().parent
REMEDY = "expected one of the published tables of this package"
PAPERS = ("bao2022a", "bao2022b", "ou2025")


def paths() -> list[str]:
    """The csv files that the comparison is made of."""
    return sorted(str(path) for path in FOLDER.glob("*.csv"))


def read() -> pandas.DataFrame:
    """All published cells as a frame of strings, '' where a column does not apply.

    Columns source, table, dataset (the name of a setting), metric, process, trajectory, variant,
    K, value, provenance (`primary`, or `quoted` if another paper copied the number), draws (M, the
    Monte Carlo draws), clip_levels (y of the last noisy step, in 255ths of the range, or `none` if
    it was not clipped) and note. BenchError if a file cannot be read.
    """
    return pandas.concat([_read_strings(f"{paper}.csv") for paper in PAPERS], ignore_index=True)


def _read_strings(name):
    with files.reading(FOLDER / name, REMEDY):
        return pandas.read_csv(FOLDER / name, dtype=str, keep_default_na=False)


def sigma2_cells() -> list[dict]:
    """The cells of Bao 2022a's Table 7 that follow from a schedule alone, with schedule and N."""
    cells = read()
    cells = cells[cells.metric.str.startswith("sigma2_") & (cells.variant == "-")]
    return cells.merge(_read_strings("schedules.csv"), on="dataset").to_dict("records")


def tolerances() -> dict[str, dict]:
    """How far a measured value may lie from the published one, and why, for each metric.

    Keys of a metric: absolute and relative (the tolerance is absolute + relative · |published|, and
    what `bench.report.reproduction` adds); images (a number, or None) and extractor (the beginning
    of its name), the circumstances under which it holds; reason. BenchError if a published metric
    has none, or if the file cannot be read.
    """
    path = FOLDER / "tolerances.csv"
    with files.reading(path, REMEDY):
        numbers = {"absolute": float, "relative": float}
        frame = pandas.read_csv(path, keep_default_na=False, dtype=numbers)
        images = [int(number) if number else None for number in frame.images]
    declared = {}
    for row, count in zip(frame.to_dict("records"), images, strict=True):
        declared[row["metric"]] = {**row, "images": count}
    missing = sorted(set(read().metric) - set(declared))
    if missing:
        raise BenchError(
            f"{path}: found no tolerance of {', '.join(missing)}, "
            "expected one of every published metric"
        )
    return declared
