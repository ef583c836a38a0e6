"""Studies: what a question about the variants needs of several settings, over repeated trainings.

A study is an experiment of workflows/studies/. Its settings are called STUDY-GROUP-NUMBER, and
those of a group differ in the number alone. All random numbers follow from a setting's name, so
they are repetitions of one measurement: another training, other draws of the moments, other noise.
Their standard error covers all of that, where the one in cells.csv is of one training.

The variants of a setting share its mean model. So how far one is behind another is known better
than either value: `behind` is the mean of the differences within the settings.
"""

import re

import pandas

from bench import scores
from bench.experiment.resolved import Experiment
from bench.runtime.errors import BenchError

CELL = ["group", "process", "trajectory", "variant", "K", "network_evaluations", "metric"]
BLOCK = ["group", "process", "trajectory", "K", "metric"]  # of cells that are compared
COLUMNS = [*CELL, "value", "stderr", "repeats", "best", "behind", "behind_stderr"]
REPEAT = re.compile(r"(?P<study>[A-Za-z0-9_]+)-(?P<group>.+)-(?P<number>\d+)", re.ASCII)


def group_of(setting: str) -> str:
    """The group of a setting STUDY-GROUP-NUMBER; the setting itself if its name is another."""
    parts = REPEAT.fullmatch(setting)
    return parts["group"] if parts else setting


def check_groups(experiment: Experiment) -> None:
    """BenchError unless the settings of a group are alike.

    A mean model that is taken over counts as if it were the setting's own.
    """
    first = {}
    for name, setting in experiment.settings.items():
        keys = setting.model_dump(mode="json")
        source = experiment.mean_from(name)
        if source:
            keys["mean"] = experiment.setting(source).mean.model_dump(mode="json")
        other, expected = first.setdefault(group_of(name), (name, keys))
        differing = [key for key in keys if keys[key] != expected[key]]
        if differing:
            raise BenchError(
                f"settings.{name}: {differing[0]}: differs from that of {other}, and the names say "
                "that one repeats the other; give it a group of its own: STUDY-GROUP-NUMBER"
            )


def summarise(cells: pandas.DataFrame) -> pandas.DataFrame:
    """The mean of every cell over the settings of its group, with the columns `COLUMNS`.

    cells: with the columns setting, value, stderr and exact, and those of `CELL` but `group`.
    exact, −E log p(x), is subtracted if it is known. stderr: that of the mean, from how the
    repetitions differ; of a group of one setting its own. best: the best variant of the group,
    process, trajectory, K and metric. behind: the mean of how far the variant is behind it in each
    setting, ≥ 0, and its standard error, NaN for a group of one setting.
    """
    exact = pandas.to_numeric(cells.exact).fillna(0.0)
    rows = cells.assign(group=cells.setting.map(group_of), value=cells.value - exact)
    summary = rows.groupby(CELL, sort=False).agg(
        value=("value", "mean"),
        stderr=("value", "sem"),
        repeats=("value", "size"),
        own=("stderr", "first"),
    )
    summary = summary.reset_index()
    summary["stderr"] = summary.stderr.where(summary.repeats > 1, summary.own)
    behind = [_behind(block) for _, block in rows.groupby(BLOCK, sort=False)]
    return summary.merge(pandas.concat(behind), on=[*BLOCK, "variant"])[COLUMNS]


def _behind(block):
    """How far each variant is behind the best one of a block, as a frame."""
    sign = -1 if scores.get(block.metric.iloc[0]).higher_is_better else 1
    values = sign * block.pivot(index="setting", columns="variant", values="value")
    best = values.mean().idxmin()
    differences = values.sub(values[best], axis=0)
    frame = pandas.DataFrame({"behind": differences.mean(), "behind_stderr": differences.sem()})
    return frame.reset_index().assign(best=best, **block[BLOCK].iloc[0])
