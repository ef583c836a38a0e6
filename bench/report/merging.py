"""Results of several people or machines as one: what `bench merge` does.

Cells that two folders have must agree, as `bench.report.comparison` says; one of them is kept, the
first folder's. All cells of a setting and a metric must be of as many images, one precision, one
extractor, one reference and the same versions of the stages that they share: their differences
would else be of these, and not of the variants. Rows and K may differ, and so may commits.

Of a mean model, a seed and the size of the moments cells.csv says nothing. Cells that folders share
are the test of these: `alone` finds the folders that share none.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas

from bench.report import comparison, tables
from bench.runtime.errors import BenchError, shown

SAME = ["n", "dtype", "extractor", "reference"]
SOURCE = "source"  # a column of cells.csv: the folder or file that a cell is from
REMEDY = "expected results of the same; merge those that are, or run one of the two again"


def merge(places: Iterable[str | Path], errors: float) -> pandas.DataFrame:
    """The cells of all `places`, each once, in their order, with a column `SOURCE`.

    places: folders of tables, or cells.csv files. errors: how many joint errors two values of a
    cell may be apart. BenchError, which names the cell and both places, if they are further apart
    or do not belong together.
    """
    merged = None
    for place in places:
        cells = read(place)
        if merged is None:
            merged = cells
            continue
        _check_alike(merged, cells)
        _check_agreement(merged, cells, errors)
        merged = pandas.concat([merged, cells[~cells.index.isin(merged.index)]])
    return merged.reset_index()[[*tables.COLUMNS, SOURCE]]


def read(place: str | Path) -> pandas.DataFrame:
    """The cells of a place by `comparison.KEY`, with the columns of cells.csv and `SOURCE`.

    The cells of merged results keep their sources.
    """
    cells = comparison.read(place, [*tables.COLUMNS], [SOURCE])
    cells[SOURCE] = cells[SOURCE].astype(object).fillna(str(place))
    return cells


def _check_alike(merged, cells):
    """BenchError unless the cells of each setting and metric are of the same."""
    old = dict(list(merged.groupby(["setting", "metric"], sort=False)))
    for key, block in cells.groupby(["setting", "metric"], sort=False):
        if key not in old:
            continue
        for column in SAME:
            _check_one(key, column, _first_values(old[key], column), _first_values(block, column))
        _check_versions(key, old[key], block)


def _first_values(block, column):
    """{value of a column: the first source that has it}; an empty value is ''."""
    values = block[column].fillna("").astype(str)
    return dict(zip(values[::-1], block[SOURCE][::-1], strict=True))


def _check_one(key, column, before, after):
    """BenchError unless all values of a column are one. before, after: {value: source}."""
    for value, source in after.items():
        for other, other_source in before.items():
            if value != other:
                raise BenchError(
                    f"{' '.join(key)}: {column}: {other_source} has {shown(other)}, {source} has "
                    f"{shown(value)}; {REMEDY}"
                )


def _check_versions(key, before, after):
    """BenchError unless every stage, variant or metric has one version in both blocks."""
    old, new = _versions(before), _versions(after)
    for part in old.keys() & new.keys():
        _check_one(key, f"version of {part}", old[part], new[part])


def _versions(block):
    """{part: {version: the first source that has it}} of the column `version`."""
    found = {}
    for text, source in zip(block.version, block[SOURCE], strict=True):
        for part, version in comparison.parts(text).items():
            found.setdefault(part, {}).setdefault(version, source)
    return found


def _check_agreement(merged, cells, errors):
    """BenchError that names the first cell of which two values are too far apart."""
    rows = comparison.compare(merged, cells, errors)
    rows = rows[rows.change.isin([comparison.MOVED, comparison.UNVERSIONED])]
    if rows.empty:
        return
    row = rows.iloc[0]
    key = tuple(row[comparison.KEY])
    source, other = merged.loc[key, SOURCE], cells.loc[key, SOURCE]
    shared = len(merged.index.intersection(cells.index))
    raise BenchError(
        f"{' '.join(map(str, key))}: {source} has {row.before:.6g}, {other} has {row.after:.6g}, "
        f"{abs(row.errors):.1f} joint errors apart, expected at most {errors:g}; {len(rows)} of "
        f"{shared} shared cells disagree: bench compare {source} {other}"
    )


def alone(places: Iterable[str | Path]) -> list[str]:
    """A text for each (setting, metric, place) that shares no cell with a place before it.

    Nothing says that its numbers are of the mean model, seed and moments of the others.
    """
    seen, texts = {}, []
    for place in places:
        for key, block in read(place).groupby(["setting", "metric"], sort=False):
            before = seen.get(key)
            if before is not None and not block.index.isin(before).any():
                texts.append(f"{place}: {' '.join(key)}: shares no cell with those before it")
            seen[key] = block.index if before is None else before.append(block.index)
    return texts


def sources(cells: pandas.DataFrame) -> str:
    """A line that says how many cells are from where."""
    count = cells[SOURCE].value_counts(sort=False)
    return "Cells from " + ", ".join(f"`{place}`: {n}" for place, n in count.items()) + "."


def targets(places: Iterable[str | Path]) -> Mapping[str, float]:
    """{setting: target FID} of the table2.csv that lie beside the cells. The first counts."""
    found = {}
    for place in map(Path, places):
        file = (place if place.is_dir() else place.parent) / "table2.csv"
        if file.is_file():
            frame = pandas.read_csv(file)
            for setting, target in zip(frame.setting, frame.target_fid, strict=True):
                found.setdefault(setting, float(target))
    return found
