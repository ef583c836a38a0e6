"""The papers' own numbers: workflows/published/*.csv, one row a published cell."""

from pathlib import Path

import pandas

from bench import files

FOLDER = Path(__file__).parent.parent / "workflows" / "published"
REMEDY = "expected one of the published tables of this repository"


def read():
    """All published cells as a frame of strings: source, table, dataset, metric, process, trajectory, variant, K, value, …"""
    frames = []
    for path in sorted(FOLDER.glob("*.csv")):
        if path.name != "schedules.csv":
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
    return cells.assign(clip_levels=cells.note.str.extract(r"y=(\d+)", expand=False).fillna("")).to_dict("records")


def lookup():
    """{(dataset, metric, process, trajectory, variant, K): (value, source)}; a primary source goes before a quoted one."""
    cells = read().sort_values("provenance", key=lambda column: column != "primary", kind="stable")
    found = {}
    for row in cells.itertuples():
        if row.K.isdigit() and row.note != "M=1":
            key = (row.dataset, row.metric, row.process, row.trajectory, row.variant, int(row.K))
            found.setdefault(key, (float(row.value), f"{row.source} Table {row.table} ({row.provenance})"))
    return found
