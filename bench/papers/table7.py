"""Table 7 of Bao et al. 2022a, computed again: thresholds and bounds of σ_2² from the schedules
alone (`bench.thresholds`), for t = τ_2 of the even trajectory.
"""

from bench import process, schedule, thresholds, trajectory
from bench.process import Process

DDIM_ETA = 0.0


def value(quantity: str, forward: Process, K: int, clip_levels: float) -> float:
    """One number of the table.

    Parameters
    ----------
    quantity
        sigma2_clip_threshold, sigma2_lower_bound, or sigma2_upper_bound, the smaller one.
    forward
        The process.
    K
        Number of steps.
    clip_levels
        y of the threshold. Ignored for the bounds.
    """
    if quantity == "sigma2_clip_threshold":
        return thresholds.clip_threshold(clip_levels)
    lower, *upper = thresholds.bounds(forward, *trajectory.even(forward.schedule.N, K)[:2])
    return {"sigma2_lower_bound": lower, "sigma2_upper_bound": min(upper)}[quantity]


def recompute(cells: list[dict]) -> list[dict]:
    """A row for each published cell, with the value computed here.

    cells: as `bench.papers.published.sigma2_cells`. A row's `agrees` says whether the value rounds
    to the printed digits.
    """
    rows = []
    for cell in cells:
        chain = schedule.make(cell["schedule"], int(cell["N"]))
        forward = process.make(cell["process"], chain, DDIM_ETA)
        clip_levels = float(cell["clip_levels"] or "nan")
        computed = value(cell["metric"], forward, int(cell["K"]), clip_levels)
        digits = len(cell["value"].split("e")[0].replace(".", "")) - 1
        row = {
            "setting": cell["dataset"],
            "schedule": f"{cell['schedule']}-{cell['N']}",
            "process": cell["process"],
            "quantity": cell["metric"],
            "K": int(cell["K"]),
            "value": float(computed),
            "published": cell["value"],
            "published_source": f"{cell['source']} Table {cell['table']}",
            "agrees": float(f"{computed:.{digits}e}") == float(cell["value"]),
        }
        rows.append(row)
    return rows
