"""From measured cells to the tables: arithmetic on the rows of results/cells.csv.

cells.csv is tidy: a row for each cell and metric. table1 has the papers' layout. table2 has the
least number of steps that reaches a target FID. paired.csv has the differences between variants, of
the bound and of FID. The variants share images, noise and steps, so a difference has a smaller
standard error than its parts.

calibration.csv has E[(x_0 − x̂_0)²/Σ_0] of each variant and step, and the ratio of the means of the
two (`in_total`); see `bench.bound`.

`network_evaluations` is what a sample of the row takes, in passes of the mean model, also in the
rows of the bound: K steps, and more for a variant that takes products with the network's Jacobian.
"""

import numpy as np
import pandas

from bench import scores
from bench.process import BOUND_PROCESS
from bench.report import best
from bench.runtime.errors import BenchError, unknown
from bench.scores.bounds import Bounds

ROW = ["setting", "metric", "process", "trajectory", "variant"]
COLUMNS = [
    "setting",
    "process",
    "trajectory",
    "variant",
    "K",
    "network_evaluations",
    "metric",
    "value",
    "stderr",
    "n",
    "dtype",
    "extractor",
    "reference",
    "published",
    "published_source",
    "provenance",
    "difference",
    "tolerance",
    "within",
    "exact",
    "version",
]
PAIRED = [
    "setting",
    "metric",
    "process",
    "trajectory",
    "K",
    "variant",
    "best",
    "difference",
    "stderr",
]
CALIBRATION = ["setting", "variant", "t", "mean", "stderr", "in_total"]
ORDERS = [*ROW, "order", "stderr", "cells"]
SURE = 10  # standard errors above which a distance is not noise, see `orders`
BOUND = ["trajectory", "variant", "K", "image"]  # of bound.parquet, beside the bound itself
UNITS = ("nll_bpd", "nll_nats")  # the columns of bound.parquet that a metric may be of
TABLE2 = [
    "setting",
    "process",
    "variant",
    "target_fid",
    "least_K",
    "network_evaluations",
    "trajectory",
    "fid",
    "stderr",
]
LEGEND = (
    "Value ± standard error, the best of a column in bold. In brackets the published value: "
    "`[1.00]` from the paper itself,\n"
    "`[1.00*]` quoted from another paper's copy, `≠ [1.00]` where it differs from the measured one "
    "by more than the tolerance of the\n"
    "metric, `(1.00)` where it has no verdict: it was measured under other circumstances, or "
    "another copy contradicts it.\n"
    "`reproduction.md` has tolerances and counts.\n"
)


def bound_cells(
    setting: str,
    frame: pandas.DataFrame,
    metrics: list[scores.Metric],
    process: str = BOUND_PROCESS,
) -> list[dict[str, object]]:
    """Rows of cells.csv from per-image bounds of a setting and a process.

    frame: columns trajectory, variant, K, image, the bound in bits/dim (nll_bpd) or nats
    (nll_nats), and exact_nats, −log p(x), if the law of the data is known. The rows' `exact` is the
    mean of exact_nats. metrics: those that need the bound. Those of the other unit are left out.
    """
    rows = []
    for metric in metrics:
        if metric.column not in UNITS:
            raise BenchError(f"metric {metric.name!r}: {unknown('column', metric.column, UNITS)}")
        if metric.column not in frame:
            continue
        for cell, block in frame.groupby(["trajectory", "variant", "K"], sort=False):
            exact = block.exact_nats if "exact_nats" in frame else None
            value, stderr = metric.value(Bounds(block[metric.column], exact))
            rows.append(
                {
                    "setting": setting,
                    "process": process,
                    **dict(zip(("trajectory", "variant", "K"), cell, strict=True)),
                    "metric": metric.name,
                    "value": value,
                    "stderr": stderr,
                    "n": len(block),
                    "dtype": "fp32",
                    "exact": None if exact is None else exact.mean(),
                }
            )
    return rows


def fidelity_cells(setting: str, process: str, report: dict) -> list[dict[str, object]]:
    """Rows of cells.csv from the report that the fidelity stage wrote for one process.

    The column `reference` ends with a hash of the reference's content.
    """
    about = report["reference"]
    what = about.get("statistics") or f"{about['split']} {about['n']}"
    common = {
        "setting": setting,
        "process": process,
        "dtype": report["dtype"],
        "reference": f"{what} {about['sha256']}",
    }
    return [{**common, **row} for row in report["cells"]]


def cells(rows: list[dict], published: dict[tuple, dict]) -> pandas.DataFrame:
    """The frame of cells.csv.

    published: {(setting, metric, process, trajectory, variant, K): further columns}, as
    `bench.report.reproduction.beside` makes them.
    """
    complete = []
    for row in rows:
        key = tuple(row[name] for name in (*ROW, "K"))
        complete.append({**row, **published.get(key, {})})
    return pandas.DataFrame(complete, columns=COLUMNS)


def table1(frame: pandas.DataFrame) -> pandas.DataFrame:
    """The papers' layout: a row per setting, metric, process, trajectory and variant.

    A column per K, ascending; rows in order of appearance; NaN where a cell was not measured.
    """
    wide = frame.pivot_table(
        index=ROW, columns="K", values="value", sort=False, dropna=False, observed=True
    )
    return _in_order(wide, frame, ROW)[sorted(wide.columns)].reset_index()


def _in_order(wide, frame, columns):
    """A pivoted frame with its rows in the order in which they appear in `frame`."""
    order = frame[columns].drop_duplicates()
    return wide.reindex(pandas.MultiIndex.from_frame(order))


def table1_markdown(
    frame: pandas.DataFrame, pairs: pandas.DataFrame, made_by: str, sources: str = ""
) -> str:
    """table1 for reading: what one decides by (`bench.report.best`), and then a block per setting
    and metric, the best of each column in bold.

    A published value stands behind its cell in brackets, as `LEGEND` explains. pairs: the frame of
    `paired`. made_by: the last line. sources: a line on where the cells are from, if they are of
    several runs.
    """
    parts = ["# Table 1\n"]
    if sources:
        parts.append(f"{sources}\n")
    parts.append(best.markdown(frame, pairs))
    if frame.published.notna().any():
        parts.append(LEGEND)
    for (setting, name), block in frame.groupby(["setting", "metric"], sort=False):
        parts.append(_block_markdown(setting, scores.get(name), block))
    for name, block in pairs.groupby("metric", sort=False) if len(pairs) else ():
        parts.append(_paired_markdown(scores.get(name), block))
    fitted = orders(frame)
    if len(fitted):
        parts.append(_orders_markdown(fitted))
    parts.append(f"{made_by}\n")
    return "\n".join(parts)


def _block_markdown(setting, metric, block):
    """One metric of one setting: a heading, and a row per (process, trajectory, variant)."""
    return f"## {heading(setting, metric, block)}\n\n{_markdown(texts(metric, block))}\n"


def heading(setting: str, metric: scores.Metric, block: pandas.DataFrame) -> str:
    """What a block of table1 is: its setting, metric and number of images."""
    text = f"{setting}: {metric.heading}, n = {block.n.iloc[0]}"
    exact = block.exact.iloc[0]
    return text if pandas.isna(exact) else f"{text}, −E log p = {exact:.3f}"


def texts(metric: scores.Metric, block: pandas.DataFrame) -> pandas.DataFrame:
    """A block of table1: `value ± standard error` of the rows (process, trajectory, variant) in
    columns of K, in Markdown.
    """
    best = block.groupby("K").value.agg("max" if metric.higher_is_better else "min")
    cells = [_cell_text(metric, row, best[row.K]) for row in block.itertuples()]
    rows = ["process", "trajectory", "variant"]
    wide = block.assign(text=cells).pivot(index=rows, columns="K", values="text")
    return _in_order(wide, block, rows)


def _cell_text(metric, row, best):
    """`value ± standard error`, in bold if it is the best of its column."""
    digits = metric.digits_of(row.value)
    text = f"{row.value:.{digits}f}"
    if row.value == best:
        text = f"**{text}**"
    if not pandas.isna(row.stderr):
        text += f" ± {row.stderr:.{digits}f}"
    return text + _published_text(row)


def _published_text(row):
    """The published value behind a cell, marked as in `LEGEND`; '' where there is none."""
    if pandas.isna(row.published):
        return ""
    text = max(f"{row.published:.2f}", f"{row.published:g}", key=len)
    if row.provenance == "quoted":
        text += "*"
    if pandas.isna(row.within):
        return f" ({text})"
    return f" [{text}]" if row.within else f" ≠ [{text}]"


def _markdown(wide):
    """A pivoted frame of texts as a Markdown table, empty where there is no cell."""
    return wide.fillna("").reset_index().to_markdown(index=False, disable_numparse=True)


def paired_bounds(
    setting: str, frame: pandas.DataFrame, process: str = BOUND_PROCESS
) -> list[tuple]:
    """How far each variant of the bound lies behind the best variant of the same K and trajectory.

    frame: per-image bounds as in `bound_cells`. Returns rows of the columns `PAIRED`; difference
    and its paired standard error are in bits/dim, or in nats for continuous data.
    """
    metric = next(metric for metric in scores.in_group("nll") if metric.column in frame)
    rows = []
    for (trajectory, K), block in frame.groupby(["trajectory", "K"], sort=False):
        wide = block.pivot(index="image", columns="variant", values=metric.column)
        wide = wide[list(block.variant.unique())]
        best = wide.mean().idxmin()
        behind = wide.sub(wide[best], axis=0)
        for variant in wide:
            difference = behind[variant]
            numbers = difference.mean(), difference.sem()
            rows.append((setting, metric.name, process, trajectory, K, variant, best, *numbers))
    return rows


def paired_scores(setting: str, process: str, report: dict) -> list[tuple]:
    """How far each variant's score lies behind the best variant of the same K and trajectory.

    Only of metrics that have replicates: the k-th of two cells are of the same images, which share
    x_N and noise, so the spread of their difference is the paired standard error (Efron &
    Tibshirani 1993, chapter 8). report: as for `fidelity_cells`. Returns rows of the columns
    `PAIRED`.
    """
    columns = {}
    for cell in report["cells"]:
        if "replicates" in cell:
            key = cell["metric"], cell["trajectory"], cell["K"]
            columns.setdefault(key, []).append(cell)
    rows = []
    for (name, trajectory, K), cells in columns.items():
        choose = max if scores.get(name).higher_is_better else min
        best = choose(cells, key=lambda cell: cell["value"])
        for cell in cells:
            spread = np.subtract(cell["replicates"], best["replicates"]).std(ddof=1)
            numbers = cell["value"] - best["value"], spread
            key = setting, name, process, trajectory, K
            rows.append((*key, cell["variant"], best["variant"], *numbers))
    return rows


def _paired_markdown(metric, pairs):
    """The paired differences of one metric: a heading, and a row per variant."""
    texts = []
    for row in pairs.itertuples():
        digits = metric.digits or 2
        behind = f"{row.difference:+.{digits}f} ± {row.stderr:.{digits}f}"
        texts.append("best" if row.variant == row.best else behind)
    rows = ["setting", "process", "trajectory", "variant"]
    wide = pairs.assign(text=texts).pivot(index=rows, columns="K", values="text")
    unit = f"{metric.unit}, " if metric.unit else ""
    return (
        f"## {metric.title}: behind the best of the process, trajectory and K "
        f"({unit}paired over images)\n\n"
        f"{_markdown(_in_order(wide, pairs, rows))}\n"
    )


def orders(frame: pandas.DataFrame) -> pandas.DataFrame:
    """The order p of convergence of every row: its distance from the law falls as evaluations^−p.

    Fitted by weighted least squares to the logarithms of those cells whose value is above `SURE`
    standard errors: what is below tells of the number of samples, not of the solver. A metric that
    falls as a power of the distance is divided by that (`bench.scores.Metric.power`). Columns
    `ORDERS`; the order is NaN where fewer than two cells are left.
    """
    rows = []
    names = [name for name in frame.metric.unique() if scores.get(name).power is not None]
    converging = frame[frame.metric.isin(names)]
    for key, block in converging.groupby(ROW, sort=False):
        sure = (block.stderr > 0) & (block.value > SURE * block.stderr)
        kept, power = block[sure], scores.get(key[1]).power
        order = stderr = np.nan
        if kept.network_evaluations.nunique() > 1:
            x, y = np.log(kept.network_evaluations), np.log(kept.value)
            weights = (kept.value / kept.stderr).to_numpy()
            (slope, _), covariance = np.polyfit(x, y, 1, w=weights, cov="unscaled")
            order, stderr = -slope / power, np.sqrt(covariance[0, 0]) / power
        rows.append((*key, order, stderr, len(kept)))
    return pandas.DataFrame(rows, columns=ORDERS)


def _orders_markdown(fitted):
    """The orders of convergence: a row per (process, trajectory, variant), a column per metric."""
    texts = []
    for row in fitted.itertuples():
        missing = "at the noise" if row.cells == 0 else "one cell"
        text = f"{row.order:.2f} ± {row.stderr:.2f} ({row.cells})"
        texts.append(missing if np.isnan(row.order) else text)
    rows = ["setting", "process", "trajectory", "variant"]
    wide = fitted.assign(text=texts).pivot(index=rows, columns="metric", values="text")
    return (
        "## Order of convergence to the law in network evaluations (cells it is fitted to)\n\n"
        f"Only cells count whose value is above {SURE} standard errors.\n\n"
        f"{_markdown(_in_order(wide, fitted, rows))}\n"
    )


def table2(frame: pandas.DataFrame, targets: dict[str, float]) -> pandas.DataFrame:
    """The least K whose FID reaches the setting's target, over the trajectories.

    targets: {setting: target FID}. least_K is `>K_max` where no K reaches it.
    """
    rows = []
    fid = frame[frame.metric == "fid"]
    for (setting, process, variant), block in fid.groupby(
        ["setting", "process", "variant"], sort=False
    ):
        target = targets[setting]
        reached = block[block.value <= target].sort_values(["K", "value"])
        if len(reached):
            first = reached.iloc[0]
            evaluations = first.network_evaluations
            least = str(first.K), evaluations, first.trajectory, first.value, first.stderr
        else:
            least = f">{block.K.max()}", None, None, None, None
        rows.append((setting, process, variant, target, *least))
    return pandas.DataFrame(rows, columns=TABLE2)


def metrics(frame: pandas.DataFrame) -> dict[str, dict]:
    """Numbers for `dvc metrics`, those that one decides by.

    {setting: {metric: {process: {K10: {best: VARIANT/TRAJECTORY, value: its value, default: that
    of the first row of the process}}}}}. There is no default at a K that the first row does not
    have.
    """
    result = {}
    for (setting, name, process), rows in frame.groupby(
        ["setting", "metric", "process"], sort=False
    ):
        of_process = {}
        _, default = next(iter(rows.groupby(["variant", "trajectory"], sort=False)))
        defaults = default.set_index("K").value.to_dict()
        for K, cells in rows.groupby("K"):
            place = scores.get(name).best(cells.value)
            if place is None:
                continue
            first = cells.loc[place]
            entry = {"best": f"{first.variant}/{first.trajectory}", "value": float(first.value)}
            if K in defaults:
                entry["default"] = defaults[K]
            of_process[f"K{K}"] = entry
        result.setdefault(setting, {}).setdefault(name, {})[process] = of_process
    return result


def curves(frame: pandas.DataFrame, group: str) -> pandas.DataFrame:
    """A metric against K and network evaluations on the first trajectory of each variant, a row for
    each cell; for `dvc plots`.

    group: of metrics, see `bench.scores.Metric.group`.
    """
    names = [metric.name for metric in scores.in_group(group)]
    first = frame.groupby(["process", "variant"]).trajectory.transform("first")
    block = frame[frame.metric.isin(names) & (frame.trajectory == first)]
    return block[["setting", "process", "variant", "K", "network_evaluations", "value"]]
