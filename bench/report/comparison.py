"""Which numbers of two runs differ: what `bench compare` prints.

A cell that both have moved if its values a and b are apart by more than `errors` joint errors,

    |a − b| > errors · √(SE_a² + SE_b²)

With `errors` = 0, or without a standard error, it moved if they differ at all. Two runs of one seed
share their random numbers, so they differ by far less than their joint error if only the processor
is another. Two runs of different seeds are apart by 3 joint errors in one cell of 370.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas

from bench.runtime import files
from bench.runtime.errors import BenchError

KEY = ["setting", "process", "trajectory", "variant", "K", "metric"]
COLUMNS = [*KEY, "value", "stderr", "version"]
TYPES = {"K": int, "value": float, "stderr": float}
MOVED, UNVERSIONED, APPEARED, WENT = "moved", "moved, same version", "appeared", "went"


def read(
    path: str | Path, columns: Sequence[str] = COLUMNS, optional: Sequence[str] = ()
) -> pandas.DataFrame:
    """The cells of a folder of tables, or of a cells.csv, by `KEY`.

    columns: which to read; optional: further ones, which are empty if the file has none. BenchError
    if there is no such file, or if it lacks a column or has a cell twice.
    """
    path = Path(path)
    file = path / "cells.csv" if path.is_dir() else path
    remedy = f"expected a folder of tables, or a cells.csv with the columns {', '.join(columns)}"
    types = dict.fromkeys(COLUMNS, str) | dict.fromkeys(optional, str) | TYPES
    with files.reading(file, remedy):
        cells = pandas.read_csv(file, dtype=types)
    missing = [name for name in columns if name not in cells]
    if missing:
        raise BenchError(f"{file}: found no column {missing[0]}; {remedy}")
    cells = cells.reindex(columns=[*columns, *optional]).set_index(KEY)
    twice = cells.index[cells.index.duplicated()]
    if len(twice):
        raise BenchError(
            f"{file}: found the cell {' '.join(map(str, twice[0]))} twice, expected each once; "
            + remedy
        )
    return cells


def compare(before: pandas.DataFrame, after: pandas.DataFrame, errors: float) -> pandas.DataFrame:
    """The cells that moved, appeared or went, in the order of the runs.

    before, after: as `read` returns them. Returns the columns of `KEY`, before and after (values),
    errors (how many joint errors lie between them), versions (those that differ) and change:
    `MOVED`, `UNVERSIONED` (moved, with the same versions), `APPEARED` or `WENT`.
    """
    every = before.index.append(after.index.difference(before.index, sort=False))
    a, b = before.reindex(every), after.reindex(every)
    difference = b.value - a.value
    joint = np.hypot(a.stderr.fillna(0.0), b.stderr.fillna(0.0))
    same = (a.value == b.value) | (a.value.isna() & b.value.isna())
    same |= difference.abs() <= errors * joint
    change = pandas.Series(MOVED, index=every)
    change[a.version == b.version] = UNVERSIONED
    change[same] = ""
    change[~every.isin(before.index)] = APPEARED
    change[~every.isin(after.index)] = WENT
    with np.errstate(divide="ignore"):
        apart = difference / joint
    versions = [_versions(*pair) for pair in zip(a.version, b.version, strict=True)]
    columns = {"before": a.value, "after": b.value, "errors": apart, "versions": versions}
    rows = pandas.DataFrame({**columns, "change": change}, index=every)
    return rows[rows.change != ""].reset_index()


def _versions(before, after):
    """`bound 1 → 2` of every part that two texts of versions do not share; '' if one is missing."""
    if pandas.isna(before) or pandas.isna(after):
        return ""
    before, after = parts(before), parts(after)
    changed = [part for part in before | after if before.get(part) != after.get(part)]
    return ", ".join(f"{part} {before.get(part, '–')} → {after.get(part, '–')}" for part in changed)


def parts(text: str) -> dict[str, str]:
    """{stage, variant or metric: its version} of the column `version`."""
    return dict(part.rsplit(" ", 1) for part in text.split(", "))


def markdown(rows: pandas.DataFrame) -> str:
    """The rows of `compare` for reading."""
    texts = rows.assign(
        before=[_number(value, ".6g") for value in rows.before],
        after=[_number(value, ".6g") for value in rows.after],
        errors=[_number(value, "+.1f") for value in rows.errors],
    )
    return texts.to_markdown(index=False, disable_numparse=True)


def _number(value, form):
    """A number as text, '' where there is none."""
    return "" if pandas.isna(value) else format(value, form)


def summary(rows: pandas.DataFrame, cells: int) -> str:
    """One line: how many of so many `cells` moved, appeared and went."""
    count = rows.change.value_counts()
    moved = count.get(MOVED, 0) + count.get(UNVERSIONED, 0)
    return (
        f"{moved} of {cells} cells moved, {count.get(UNVERSIONED, 0)} of them while their version "
        f"did not; {count.get(APPEARED, 0)} appeared, {count.get(WENT, 0)} went"
    )
