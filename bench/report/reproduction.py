"""Do the published numbers hold? Every published cell beside what was measured, and a verdict.

A published cell is compared where setting, metric, process, trajectory, variant and K agree with a measured one. It holds if

    |measured − published| ≤ u + absolute + relative · |published| + 2 SE

with u half a unit of the last printed digit, SE the standard error of the measured value, and for every metric a
tolerance that workflows/published/tolerances.csv declares with its reason. A cell that was measured under other
circumstances than the paper's (M, η, clipping, the networks' precision, the number of samples, the feature extractor) is
shown and not judged. So each published cell is in one of four classes, and its numbers say which.
"""

import re
from decimal import Decimal

import numpy as np
import pandas

from bench import process, thresholds

KEY = ("metric", "process", "trajectory", "variant")
WITHIN, OFF, OTHER, NOT = CLASSES = ("within", "off", "other circumstances", "not attempted")
LEAST_K = "least_K_fid6"
AROUND_SIX = (
    6.0,
    6.12,
)  # Bao 2022a's Table 3 asks for "around 6", and 6.12 is the largest FID that it takes for it
BASELINES = {
    "ddpm": ("ddpm", ("beta_tilde", "beta")),
    "ddim": ("ddim", ("zero",)),
    "improved_ddpm": ("ddpm", ("improved_ddpm",)),
}


def compare(published, measured, tolerances):
    """The frame of `published.read()` with measured, stderr, difference, tolerance, status (of `CLASSES`) and reason.

    measured: dicts with setting, metric, process, trajectory, variant, K, value and, where they are known, stderr, n,
    extractor, draws (M) and eta (of ddim); tolerances: as `published.tolerances`.
    """
    found = {_key(row, row["setting"]): row for row in measured}
    return pandas.DataFrame(
        [
            {**cell, **_verdict(cell, found.get(_key(cell, cell["dataset"])), tolerances)}
            for cell in published.to_dict("records")
        ]
    )


def _key(row, setting):
    return (setting, *(row[name] for name in KEY), int(row["K"]))


def _verdict(cell, row, tolerances):
    if row is None:
        return {
            "measured": None,
            "stderr": None,
            "difference": None,
            "tolerance": None,
            "status": NOT,
            "reason": "",
        }
    declared, text = tolerances[cell["metric"]], printed(cell)
    stderr = 0.0 if pandas.isna(row.get("stderr")) else row["stderr"]
    difference, reason = row["value"] - float(text), _circumstances(cell, row, declared)
    tolerance = (
        resolution(text)
        + declared["absolute"]
        + declared["relative"] * abs(float(text))
        + 2 * stderr
    )
    status = OTHER if reason else WITHIN if abs(difference) <= tolerance else OFF
    return {
        "measured": row["value"],
        "stderr": row.get("stderr"),
        "difference": difference,
        "tolerance": None if reason else tolerance,
        "status": status,
        "reason": reason,
    }


def printed(cell):
    """What a published cell says, as it is printed: its value, or K itself where that is what the table is about."""
    return cell["K"] if cell["metric"] == LEAST_K else cell["value"]


def resolution(text):
    """Half a unit of the last digit of a printed decimal; 0 for a printed 0, which is exact in these tables."""
    number = Decimal(text)
    return 0.5 * 10.0 ** number.as_tuple().exponent if number else 0.0


def _circumstances(cell, row, declared):
    """In what the measured row differs from how the cell was published; '' where they can be compared."""
    draws = re.search(r"M=(\d+)", cell["note"])
    if draws and row.get("draws") != int(draws[1]):
        return f"M = {row.get('draws')}, published with {draws[1]}"
    if row.get("eta") and cell["process"] == "ddim":
        return f"η = {row['eta']:g}, published with 0"
    if "not clipped" in cell["note"]:
        return "the last noisy step is clipped, published without"
    if declared["images"] and row.get("n") != declared["images"]:
        return f"{row.get('n')} samples, published with {declared['images']}"
    if row.get("dtype", "fp32") != "fp32":
        return f"networks in {row['dtype']}, published in fp32"
    if not str(row.get("extractor")).startswith(declared["extractor"]):
        return f"extractor {row.get('extractor')}, published with {declared['extractor']}"
    return row.get("reason", "")


def beside(comparison):
    """{(setting, metric, process, trajectory, variant, K): the columns of cells.csv that tell the published number}.

    A cell that was published twice shows the one that it can be compared with, then the one from a primary source.
    """
    attempted = comparison[comparison.status != NOT]
    rank = [attempted.status == OTHER, attempted.provenance != "primary", np.arange(len(attempted))]
    found = {}
    for cell in attempted.iloc[np.lexsort(rank[::-1])].to_dict("records"):
        within = None if cell["status"] == OTHER else cell["status"] == WITHIN
        found.setdefault(
            _key(cell, cell["dataset"]),
            {
                "published": float(printed(cell)),
                "published_source": f"{cell['source']} Table {cell['table']}",
                "provenance": cell["provenance"],
                "difference": cell["difference"],
                "tolerance": cell["tolerance"],
                "within": within,
            },
        )
    return found


def least_steps(published, frame, table2):
    """Rows of `compare` for the least number of steps that reaches FID 6, published as cells of metric `LEAST_K`.

    frame: cells.csv's; table2: as `tables.table2`. A published K is attempted where that very K was sampled on the
    trajectory of the note; where the target was reached nowhere, the value is infinite.
    """
    rows = []
    for cell in published[published.metric == LEAST_K].to_dict("records"):
        family, variants = BASELINES.get(cell["variant"]) or (
            cell["note"].split()[0],
            (cell["variant"],),
        )
        trajectory = "quadratic_ddim" if "quadratic" in cell["note"] else "even"
        cells, targets = [
            frame[
                (frame.setting == cell["dataset"])
                & (frame.process == family)
                & frame.variant.isin(variants)
            ]
            for frame in (frame[frame.metric == "fid"], table2)
        ]
        here = cells[(cells.trajectory == trajectory) & (int(cell["K"]) == cells.K)]
        if len(here):
            least = min((int(K) for K in targets.least_K if not K.startswith(">")), default=np.inf)
            target = targets.target_fid.iloc[0]
            low, high = AROUND_SIX
            reason = "" if low <= target <= high else f"target FID {target:g}, published with 6"
            rows.append(
                {
                    **{name: cell[name] for name in (*KEY, "K")},
                    "setting": cell["dataset"],
                    "value": least,
                    "n": here.n.iloc[0],
                    "extractor": here.extractor.iloc[0],
                    "reason": reason,
                }
            )
    return rows


def schedule_rows(table3):
    """Rows of `compare` from the rows of `thresholds.table`."""
    return [
        {
            "setting": row["setting"],
            "metric": row["quantity"],
            "process": row["process"],
            "trajectory": "even",
            "variant": "-",
            "K": row["K"],
            "value": row["value"],
        }
        for row in table3
    ]


def analytic_rows(cells, schedule, moments):
    """Rows of `compare` for published estimates σ_2² of Analytic-DPM, from the moments of their setting."""
    rows = []
    for cell in cells:
        forward = process.make(cell["process"], schedule, thresholds.DDIM_ETA)
        value, stderr = thresholds.analytic(moments, forward, int(cell["K"]))
        rows.append(
            {
                **{name: cell[name] for name in (*KEY, "K")},
                "setting": cell["dataset"],
                "value": value,
                "stderr": stderr,
            }
        )
    return rows


def summary(comparison, *names):
    """How many published cells with the same `names` (columns) are in each of `CLASSES`; the last row has the sums."""
    counts = comparison.groupby(list(names), sort=False).status.value_counts().unstack(fill_value=0)
    counts = counts.reindex(columns=CLASSES, fill_value=0)
    counts.insert(0, "attempted", counts[WITHIN] + counts[OFF])
    counts["published"] = counts[list(CLASSES)].sum(axis=1)
    total = {name: "" for name in names} | {names[0]: "all"} | counts.sum().to_dict()
    return pandas.concat([counts.reset_index(), pandas.DataFrame([total])], ignore_index=True)


def markdown(comparison, tolerances):
    """results/reproduction.md: the counts, the cells that are off, why others were not judged, and the tolerances."""
    comparison = comparison.rename(columns={"source": "paper", "dataset": "setting"})
    off, other = (comparison[comparison.status == status] for status in (OFF, OTHER))
    counted = [
        summary(comparison, *names) for names in (("paper", "table", "provenance"), ("setting",))
    ]
    parts = [INTRODUCTION, *map(_markdown, counted)]
    parts += [f"## Off: {len(off)}\n", _markdown(_listed(off)) if len(off) else "None.\n"]
    if len(other):
        reasons = (
            other.groupby(["paper", "table", "setting", "reason"], sort=False)
            .size()
            .rename("cells")
            .reset_index()
        )
        parts += [f"## Other circumstances: {len(other)}\n", _markdown(reasons)]
    declared = [
        {
            **row,
            "absolute": f"{row['absolute']:g}",
            "relative": f"{row['relative']:g}",
            "images": row["images"] or "",
        }
        for row in tolerances.values()
    ]
    return "\n".join([*parts, "## Tolerances\n", _markdown(pandas.DataFrame(declared))])


INTRODUCTION = """# Reproduction

Every published cell is in one of four classes: *within* or *off* the tolerance of its metric, measured under *other
circumstances* than the paper's, or *not attempted*. Attempted are the first two. *Primary* numbers are the paper's own,
*quoted* ones were read off another paper that copies them. The tolerance is absolute + relative · |published| as declared
below, half a unit of the last printed digit, and two standard errors of the measured value. 96 cells of Bao2022a's Table 7
follow from the schedules alone and are attempted in every run. Cell by cell: `reproduction.csv`.
"""


def _listed(cells):
    """Cells with measured and published values, for reading."""
    frame = cells.assign(
        published=[printed(cell) for cell in cells.to_dict("records")],
        measured=[f"{value:.4g}" for value in cells.measured],
        difference=[f"{value:+.3g}" for value in cells.difference],
        tolerance=[f"{value:.2g}" for value in cells.tolerance],
    )
    return frame[
        [
            "paper",
            "table",
            "provenance",
            "setting",
            *KEY,
            "K",
            "measured",
            "published",
            "difference",
            "tolerance",
        ]
    ]


def _markdown(frame):
    return frame.to_markdown(index=False, disable_numparse=True) + "\n"
