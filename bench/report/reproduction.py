"""Do the published numbers hold? Every published cell beside what was measured, and a verdict.

A published cell is compared where setting, metric, process, trajectory, variant and K agree with a
measured one. It holds if

    |measured − published| ≤ u + absolute + relative · |published| + 2 SE

with u half a unit of the last printed digit, SE the standard error of the measured value, and for
every metric a tolerance that bench/papers/tolerances.csv declares with its reason. A cell has no
verdict if it was measured under other circumstances than the paper's (M, η, clipping, the networks'
precision, the number of samples, the feature extractor), or if it is quoted and another copy of the
same cell contradicts it: one of them has a misprint. So each published cell is in one of five
classes.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal

import numpy as np
import pandas

from bench import process, thresholds
from bench.papers import table7
from bench.schedule import Schedule

KEY = ("metric", "process", "trajectory", "variant")
WITHIN, OFF, OTHER, CONTRADICTED, NOT = CLASSES = (
    "within",
    "off",
    "other circumstances",
    "contradicted",
    "not attempted",
)
COPY = ("source", "table", "dataset", *KEY, "K", "draws", "clip_levels")  # of one published cell
NOT_ATTEMPTED = {
    "measured": None,
    "stderr": None,
    "difference": None,
    "tolerance": None,
    "status": NOT,
    "reason": "",
}
LEAST_K = "least_K_fid6"
# Bao 2022a's Table 3 has the least K of an FID "around 6". The largest such FID is 6.12.
AROUND_SIX = (6.0, 6.12)
# The rows of that table that are not one variant of ours: the better of the process's baselines.
BASELINES = {"ddpm": ("beta_tilde", "beta"), "ddim": ("zero",)}


def compare(
    published: pandas.DataFrame, measured: list[dict], tolerances: dict[str, dict]
) -> pandas.DataFrame:
    """Adds columns measured, stderr, difference, tolerance, status and reason to published cells.

    published: as `published.read`. measured: dicts with setting, metric, process, trajectory,
    variant, K and value, and if there are any stderr, n, extractor, draws (M) and eta (of ddim).
    tolerances: as `published.tolerances`. status is one of `CLASSES`. tolerance is None for a cell
    that has no verdict.
    """
    measured_rows = {_key(row, row["setting"]): row for row in measured}
    rows = []
    for cell, other in zip(published.to_dict("records"), _contradictions(published), strict=True):
        row = measured_rows.get(_key(cell, cell["dataset"]))
        verdict = NOT_ATTEMPTED if row is None else _verdict(cell, row, tolerances)
        if row is not None and other:
            reason = f"quoted as {printed(cell)}, in another copy {other}"
            verdict = {**verdict, "tolerance": None, "status": CONTRADICTED, "reason": reason}
        rows.append({**cell, **verdict})
    return pandas.DataFrame(rows)


def _contradictions(published):
    """What another copy of each cell has in its place if the cell is quoted; '' where none differs.

    Copies differ if no number rounds to both.
    """
    copies = {}
    for cell in published.to_dict("records"):
        copies.setdefault(tuple(cell[name] for name in COPY), []).append(printed(cell))
    texts = []
    for cell in published.to_dict("records"):
        others = copies[tuple(cell[name] for name in COPY)]
        others = [text for text in others if _differ(text, printed(cell))]
        texts.append(others[0] if others and cell["provenance"] == "quoted" else "")
    return texts


def _differ(one, other):
    """Whether two printed numbers are apart by more than their last digits allow."""
    apart = abs(Decimal(one) - Decimal(other))
    return float(apart) > (resolution(one) + resolution(other)) * (1 + 1e-9)


def _key(row, setting):
    return (setting, *(row[name] for name in KEY), int(row["K"]))


def _verdict(cell, row, tolerances):
    """The columns that `compare` adds to a published cell that was measured."""
    declared, text = tolerances[cell["metric"]], printed(cell)
    stderr = 0.0 if pandas.isna(row.get("stderr")) else row["stderr"]
    difference = row["value"] - float(text)
    tolerance = (
        resolution(text)
        + declared["absolute"]
        + declared["relative"] * abs(float(text))
        + 2 * stderr
    )
    reason = _other_circumstances(cell, row, declared)
    status = WITHIN if abs(difference) <= tolerance else OFF
    return {
        "measured": row["value"],
        "stderr": row.get("stderr"),
        "difference": difference,
        "tolerance": None if reason else tolerance,
        "status": OTHER if reason else status,
        "reason": reason,
    }


def printed(cell: dict) -> str:
    """What the table prints for a published cell: its value, or K where the table is about K."""
    return cell["K"] if cell["metric"] == LEAST_K else cell["value"]


def resolution(text: str) -> float:
    """Half a unit of the last digit of a printed decimal; 0 for a printed 0, which is exact."""
    number = Decimal(text)
    return 0.5 * 10.0 ** number.as_tuple().exponent if number else 0.0


def _other_circumstances(cell, row, declared):
    """How the measured row differs from the published cell; '' if the two can be compared."""
    if cell["draws"] and str(row.get("draws")) != cell["draws"]:
        return f"M = {row.get('draws')}, published with {cell['draws']}"
    if row.get("eta") and cell["process"] == "ddim":
        return f"η = {row['eta']:g}, published with 0"
    if cell["clip_levels"] == "none":
        return "the last noisy step is clipped, published without"
    if declared["images"] and row.get("n") != declared["images"]:
        return f"{row.get('n')} samples, published with {declared['images']}"
    if row.get("dtype", "fp32") != "fp32":
        return f"networks in {row['dtype']}, published in fp32"
    if not str(row.get("extractor")).startswith(declared["extractor"]):
        return f"extractor {row.get('extractor')}, published with {declared['extractor']}"
    return row.get("reason", "")


def beside(comparison: pandas.DataFrame) -> dict[tuple, dict]:
    """The columns of cells.csv that show the published number, for each cell that was attempted.

    Keys: (setting, metric, process, trajectory, variant, K). If a cell was published twice, a
    number that can be compared comes first, and then a primary one.
    """
    attempted = comparison[comparison.status != NOT]
    judged = attempted.status.isin((WITHIN, OFF))
    rank = [~judged, attempted.provenance != "primary", np.arange(len(attempted))]
    numbers = {}
    for cell in attempted.iloc[np.lexsort(rank[::-1])].to_dict("records"):
        columns = {
            "published": float(printed(cell)),
            "published_source": f"{cell['source']} Table {cell['table']}",
            "provenance": cell["provenance"],
            "difference": cell["difference"],
            "tolerance": cell["tolerance"],
            "within": cell["status"] == WITHIN if cell["status"] in (WITHIN, OFF) else None,
        }
        numbers.setdefault(_key(cell, cell["dataset"]), columns)
    return numbers


def least_steps(
    published: pandas.DataFrame, frame: pandas.DataFrame, table2: pandas.DataFrame
) -> list[dict]:
    """Rows of `compare` for the least number of steps that reaches FID 6.

    published: as `published.read`, of which the cells of metric `LEAST_K` are compared. frame: the
    rows of cells.csv. table2: as `tables.table2`. A published K is attempted if that very K was
    sampled on the cell's trajectory. If no K reached the target, the value is infinite.
    """
    scores = frame[frame.metric == "fid"]
    rows = []
    for cell in published[published.metric == LEAST_K].to_dict("records"):
        same = _of_row(scores, cell)
        same = same[(same.trajectory == cell["trajectory"]) & (int(cell["K"]) == same.K)]
        if same.empty:
            continue
        reached = _of_row(table2, cell)
        least = [int(K) for K in reached.least_K if not K.startswith(">")]
        target = reached.target_fid.iloc[0]
        low, high = AROUND_SIX
        row = {
            **{name: cell[name] for name in (*KEY, "K")},
            "setting": cell["dataset"],
            "value": min(least, default=np.inf),
            "n": same.n.iloc[0],
            "extractor": same.extractor.iloc[0],
            "reason": "" if low <= target <= high else f"target FID {target:g}, published with 6",
        }
        rows.append(row)
    return rows


def _of_row(frame, cell):
    """The rows of `frame` that belong to a published cell's setting, process and variant."""
    variants = BASELINES.get(cell["variant"], (cell["variant"],))
    setting, family = frame.setting == cell["dataset"], frame.process == cell["process"]
    return frame[setting & family & frame.variant.isin(variants)]


def schedule_rows(table3: list[dict]) -> list[dict]:
    """Rows of `compare` from the rows of `table7.recompute`."""
    rows = []
    for row in table3:
        same = {name: row[name] for name in ("setting", "process", "K", "value")}
        rows.append({**same, "metric": row["quantity"], "trajectory": "even", "variant": "-"})
    return rows


def analytic_rows(
    cells: list[dict], schedule: Schedule, moments: Mapping[str, np.ndarray]
) -> list[dict]:
    """Rows of `compare` for published estimates σ_2² of Analytic-DPM.

    cells: published cells of one setting. schedule, moments: the setting's, see `bench.moments`.
    """
    rows = []
    for cell in cells:
        forward = process.make(cell["process"], schedule, table7.DDIM_ETA)
        value, stderr = thresholds.analytic(moments, forward, int(cell["K"]))
        key = {name: cell[name] for name in (*KEY, "K")}
        rows.append({**key, "setting": cell["dataset"], "value": value, "stderr": stderr})
    return rows


def summary(comparison: pandas.DataFrame, *names: str) -> pandas.DataFrame:
    """How many published cells with the same `names` (columns) are in each of `CLASSES`.

    The last row has the sums.
    """
    counts = comparison.groupby(list(names), sort=False).status.value_counts().unstack(fill_value=0)
    counts = counts.reindex(columns=CLASSES, fill_value=0)
    counts.insert(0, "attempted", counts[WITHIN] + counts[OFF])
    counts["published"] = counts[list(CLASSES)].sum(axis=1)
    total = {name: "" for name in names} | {names[0]: "all"} | counts.sum().to_dict()
    return pandas.concat([counts.reset_index(), pandas.DataFrame([total])], ignore_index=True)


INTRODUCTION = """# Reproduction

Every published cell is in one of five classes: *within* or *off* the tolerance of its metric,
measured under *other circumstances* than the paper's, *contradicted*, or *not attempted*. Attempted
are the first two. *Primary* numbers are the paper's own, *quoted* ones were read off another paper
that copies them: those of Bao2022b and Ou2025 off SANI (Lavda et al. 2026). A quoted number that
another copy contradicts has no verdict. The tolerance is absolute + relative · |published| as
declared below, half a unit of the last printed digit, and two standard errors of the measured
value. 96 cells of Bao2022a's Table 7 follow from the schedules alone and are attempted in every
run. Cell by cell: `reproduction.csv`.

Settings of this run: {settings}. Of the others only cells that follow from schedules are attempted.
"""


def markdown(
    comparison: pandas.DataFrame, tolerances: dict[str, dict], settings: Iterable[str]
) -> str:
    """reproduction.md: counts, cells that are off, reasons of those without verdict, tolerances.

    comparison: as `compare`. settings: names of those that were run.
    """
    comparison = comparison.rename(columns={"source": "paper", "dataset": "setting"})
    off = comparison[comparison.status == OFF]
    other = comparison[comparison.status.isin((OTHER, CONTRADICTED))]
    parts = [
        INTRODUCTION.format(settings=", ".join(settings)),
        _markdown(summary(comparison, "paper", "table", "provenance")),
        _markdown(summary(comparison, "setting")),
        f"## Off: {len(off)}\n",
        _markdown(_listed(off)) if len(off) else "None.\n",
    ]
    if len(other):
        groups = other.groupby(["paper", "table", "setting", "reason"], sort=False)
        reasons = groups.size().rename("cells").reset_index()
        parts += [f"## Without verdict: {len(other)}\n", _markdown(reasons)]
    parts += ["## Tolerances\n", _markdown(_declared(tolerances))]
    return "\n".join(parts)


def _declared(tolerances):
    """The tolerances as a frame for reading."""
    rows = []
    for row in tolerances.values():
        numbers = {name: f"{row[name]:g}" for name in ("absolute", "relative")}
        rows.append({**row, **numbers, "images": row["images"] or ""})
    return pandas.DataFrame(rows)


def _listed(cells):
    """Cells with measured and published values, for reading."""
    frame = cells.assign(
        published=[printed(cell) for cell in cells.to_dict("records")],
        measured=[f"{value:.4g}" for value in cells.measured],
        difference=[f"{value:+.3g}" for value in cells.difference],
        tolerance=[f"{value:.2g}" for value in cells.tolerance],
    )
    numbers = ["measured", "published", "difference", "tolerance"]
    return frame[["paper", "table", "provenance", "setting", *KEY, "K", *numbers]]


def _markdown(frame):
    return frame.to_markdown(index=False, disable_numparse=True) + "\n"
