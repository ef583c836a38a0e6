"""The papers' own numbers: a file a paper in workflows/published/, one row a published cell."""

from pathlib import Path

import pandas

from bench.runtime import files
from bench.runtime.errors import BenchError

FOLDER = Path(__file__).parent.parent.parent / "workflows" / "published"
REMEDY = "expected one of the published tables of this repository"
PAPERS = ("bao2022a", "bao2022b", "ou2025")


def read():
    """All published cells as a frame of strings.

    Columns source, table, dataset (the name of a setting), metric, process, trajectory, variant, K, value, provenance
    (`primary`, or `quoted` where the numbers are another paper's copy) and note, the circumstances.
    """
    frames = []
    for path in (FOLDER / f"{paper}.csv" for paper in PAPERS):
        with files.reading(path, REMEDY):
            frames.append(pandas.read_csv(path, dtype=str, keep_default_na=False))
    return pandas.concat(frames, ignore_index=True)


def sigma2_cells():
    """The cells of Bao 2022a's Table 7 that follow from a schedule alone, as dicts with schedule, N and clip_levels."""
    cells = read()
    cells = cells[cells.metric.str.startswith("sigma2_") & (cells.variant == "-")]
    with files.reading(FOLDER / "schedules.csv", REMEDY):
        schedules = pandas.read_csv(FOLDER / "schedules.csv", dtype=str)
    cells = cells.merge(schedules, on="dataset")
    return cells.assign(
        clip_levels=cells.note.str.extract(r"y=(\d+)", expand=False).fillna("")
    ).to_dict("records")


def tolerances():
    """{metric: row of tolerances.csv}, how far a measured value may lie from the published one, and why.

    absolute, relative: the tolerance is absolute + relative · |published|, and what `bench.report.reproduction` adds; images (a
    number, or None), extractor (the beginning of its name): the circumstances under which it holds; reason.
    """
    path = FOLDER / "tolerances.csv"
    with files.reading(path, REMEDY):
        frame = pandas.read_csv(
            path, keep_default_na=False, dtype={"absolute": float, "relative": float}
        )
        images = [int(number) if number else None for number in frame.images]
    found = {
        row["metric"]: {**row, "images": count}
        for row, count in zip(frame.to_dict("records"), images, strict=True)
    }
    missing = sorted(set(read().metric) - set(found))
    if missing:
        raise BenchError(
            f"{path}: found no tolerance of {', '.join(missing)}, expected one of every published metric"
        )
    return found
