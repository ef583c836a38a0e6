"""From measured cells to the tables: everything here is arithmetic on the rows of results/cells.csv.

cells.csv is tidy, one row a cell and metric; table1 is the papers' layout of it, table2 the least number of
steps that reaches a target FID, and paired.csv how sharp the differences between variants of the bound are:
they share images, noise and steps, so that a difference has a smaller standard error than its parts.
"""

import pandas

ROW = ["setting", "metric", "process", "trajectory", "variant"]
COLUMNS = [
    "setting",
    "process",
    "trajectory",
    "variant",
    "K",
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
]
BOUNDS = ("nll_bpd", "nll_nats")  # the metric `nll` of data with levels, and of continuous data
TITLES = {
    "nll_bpd": "NLL bound (bits/dim, lower is better)",
    "nll_nats": "NLL bound (nats, lower is better)",
    "fid": "FID (lower is better)",
    "fid_legacy_pytorch": "FID, clean-fid's legacy_pytorch resizing (lower is better)",
    "fid_clean": "FID, clean-fid's clean resizing (lower is better)",
    "kid": "KID (lower is better)",
    "precision": "Precision (higher is better)",
    "recall": "Recall (higher is better)",
    "isc": "Inception score (higher is better)",
}
RISING = ("precision", "recall", "isc")  # metrics whose best value is the largest
LEGEND = """Value ± standard error, the best of a column in bold. In brackets the published value: `[1.00]` from the paper itself,
`[1.00*]` quoted from another paper's copy, `≠ [1.00]` where it differs from the measured one by more than the tolerance of the
metric, `(1.00)` where it was measured under other circumstances and is not judged. `reproduction.md` has tolerances and counts.
"""


def unit(frame):
    """Which of `BOUNDS` a setting's frame of per-image bounds holds."""
    return next(name for name in BOUNDS if name in frame)


def named(metric):
    """The names in cells.csv of a metric of the configuration."""
    return BOUNDS if metric == "nll" else (metric,)


def bound_cells(setting, frame):
    """Rows of cells.csv from a setting's per-image bounds.

    frame: columns trajectory, variant, K, image, one of `BOUNDS`, and exact_nats where the law of the data is known;
    `exact` is its mean −E log p(x), and the standard error then that of the bound's excess over it.
    """
    metric, known = unit(frame), "exact_nats" in frame
    rows = []
    for (trajectory, variant, K), block in frame.groupby(
        ["trajectory", "variant", "K"], sort=False
    ):
        values = block[metric]
        stderr = (values - block.exact_nats).sem() if known else values.sem()
        rows.append(
            {
                "setting": setting,
                "process": "ddpm",
                "trajectory": trajectory,
                "variant": variant,
                "K": K,
                "metric": metric,
                "value": values.mean(),
                "stderr": stderr,
                "n": len(values),
                "dtype": "fp32",
                "exact": block.exact_nats.mean() if known else None,
            }
        )
    return rows


def fidelity_cells(setting, process, report):
    """Rows of cells.csv from what the fidelity stage wrote for one process; `reference` tells its content's hash."""
    about = report["reference"]
    what = about.get("statistics") or f"{about['split']} {about['n']}"
    common = {
        "setting": setting,
        "process": process,
        "dtype": report["dtype"],
        "reference": f"{what} {about['sha256']}",
    }
    return [{**common, **row} for row in report["cells"]]


def cells(rows, published):
    """The frame of cells.csv. published: {(setting, metric, process, trajectory, variant, K): columns}, `reproduction.beside`."""
    keys = [tuple(row[name] for name in (*ROW, "K")) for row in rows]
    return pandas.DataFrame(
        [{**row, **published.get(key, {})} for row, key in zip(rows, keys, strict=True)],
        columns=COLUMNS,
    )


def table1(frame):
    """The papers' layout: a row per (setting, metric, process, trajectory, variant), a column per K."""
    return _pivot(frame[frame.metric.isin(TITLES)], "value").reset_index()


def _pivot(frame, value):
    """Rows in order of appearance, K ascending; NaN where a cell was not measured."""
    wide = frame.pivot_table(
        index=ROW, columns="K", values=value, sort=False, dropna=False, observed=True
    )
    order = frame[ROW].drop_duplicates()
    return wide.reindex(pandas.MultiIndex.from_frame(order))[sorted(wide.columns)]


def table1_markdown(frame, pairs):
    """table1 for reading: a block per setting and metric, `value ± stderr`, the best of each column in bold.

    A published value stands behind its cell in brackets, as `LEGEND` explains. pairs: the frame of `paired`.
    """
    parts = ["# Table 1\n"] + ([LEGEND] if frame.published.notna().any() else [])
    for (setting, metric), block in frame[frame.metric.isin(TITLES)].groupby(
        ["setting", "metric"], sort=False
    ):
        best = block.groupby("K").value.agg("max" if metric in RISING else "min")
        text = block.assign(text=[_cell_text(row, best[row.K]) for row in block.itertuples()])
        wide = text.pivot(index=["process", "trajectory", "variant"], columns="K", values="text")
        wide = wide.reindex(pandas.MultiIndex.from_frame(block[ROW[2:]].drop_duplicates())).fillna(
            ""
        )
        exact = (
            "" if pandas.isna(block.exact.iloc[0]) else f", −E log p = {block.exact.iloc[0]:.3f}"
        )
        parts.append(
            f"## {setting}: {TITLES[metric]}, n = {block.n.iloc[0]}{exact}\n\n{_markdown(wide.reset_index())}\n"
        )
    if len(pairs):
        parts.append(_paired_markdown(pairs))
    return "\n".join(parts)


def _cell_text(row, best):
    digits = 3 if row.metric in BOUNDS else 1 if row.value >= 10 else 2 if row.value >= 1 else 4
    text = f"{row.value:.{digits}f}"
    text = f"**{text}**" if row.value == best else text
    error = "" if pandas.isna(row.stderr) else f" ± {row.stderr:.{digits}f}"
    return f"{text}{error}{_published_text(row)}"


def _published_text(row):
    """The published value behind a cell, marked as in `LEGEND`; '' where there is none."""
    if pandas.isna(row.published):
        return ""
    text = max(f"{row.published:.2f}", f"{row.published:g}", key=len) + (
        "*" if row.provenance == "quoted" else ""
    )
    return (
        f" ({text})" if pandas.isna(row.within) else f" [{text}]" if row.within else f" ≠ [{text}]"
    )


def _markdown(frame):
    return frame.to_markdown(index=False, disable_numparse=True)


def paired(setting, frame):
    """How far each variant of the bound lies behind the best one of its column, with the paired standard error.

    frame: per-image bounds as in `bound_cells`. Returns a frame: setting, trajectory, K, variant, best,
    difference, stderr (bits/dim, or nats for continuous data).
    """
    rows, metric = [], unit(frame)
    for (trajectory, K), block in frame.groupby(["trajectory", "K"], sort=False):
        wide = block.pivot(index="image", columns="variant", values=metric)[
            list(block.variant.unique())
        ]
        best = wide.mean().idxmin()
        behind = wide.sub(wide[best], axis=0)
        rows += [
            {
                "setting": setting,
                "trajectory": trajectory,
                "K": K,
                "variant": variant,
                "best": best,
                "difference": behind[variant].mean(),
                "stderr": behind[variant].sem(),
            }
            for variant in wide
        ]
    return pandas.DataFrame(rows)


def _paired_markdown(pairs):
    text = pairs.assign(
        text=[
            f"{row.difference:+.3f} ± {row.stderr:.3f}" if row.variant != row.best else "best"
            for row in pairs.itertuples()
        ]
    )
    wide = text.pivot(index=["setting", "trajectory", "variant"], columns="K", values="text")
    wide = wide.reindex(
        pandas.MultiIndex.from_frame(pairs[["setting", "trajectory", "variant"]].drop_duplicates())
    )
    return (
        "## NLL bound: behind the best of the column (bits/dim or nats, paired over images)\n\n"
        f"{_markdown(wide.fillna('').reset_index())}\n"
    )


def table2(frame, targets):
    """The least K whose FID reaches the setting's target, over the trajectories; `>K_max` where none does.

    targets: {setting: target FID}.
    """
    rows = []
    for (setting, process, variant), block in frame[frame.metric == "fid"].groupby(
        ["setting", "process", "variant"], sort=False
    ):
        reached = block[block.value <= targets[setting]].sort_values(["K", "value"])
        first = reached.iloc[0] if len(reached) else None
        rows.append(
            {
                "setting": setting,
                "process": process,
                "variant": variant,
                "target_fid": targets[setting],
                "least_K": f">{block.K.max()}" if first is None else str(first.K),
                "trajectory": None if first is None else first.trajectory,
                "fid": None if first is None else first.value,
                "stderr": None if first is None else first.stderr,
            }
        )
    return pandas.DataFrame(
        rows,
        columns=[
            "setting",
            "process",
            "variant",
            "target_fid",
            "least_K",
            "trajectory",
            "fid",
            "stderr",
        ],
    )


def metrics(frame):
    """Headline numbers for `dvc metrics`: every variant at the fewest steps of the even trajectory.

    {setting: {<metric>_K<K>: {process: {variant: value}}}}
    """
    result = {}
    for (setting, metric, process), block in frame.groupby(
        ["setting", "metric", "process"], sort=False
    ):
        fewest = block[(block.K.min() == block.K) & (block.trajectory == block.trajectory.iloc[0])]
        values = {row.variant: row.value for row in fewest.itertuples()}
        result.setdefault(setting, {}).setdefault(f"{metric}_K{fewest.K.iloc[0]}", {})[process] = (
            values
        )
    return result


def curves(frame, metric):
    """A metric against K on the first trajectory, a row a cell; for `dvc plots`."""
    block = frame[frame.metric.isin(named(metric)) & (frame.trajectory == frame.trajectory.iloc[0])]
    return block[["setting", "process", "variant", "K", "value"]]
