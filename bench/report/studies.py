"""Studies: what a question about the variants needs of several settings, over repeated trainings.

A study is an experiment of workflows/studies/. Its settings are called STUDY-GROUP-NUMBER, and
those of a group differ in the number alone. All random numbers follow from a setting's name, so
they are repetitions of one measurement: another training, other draws of the moments, other noise.
Their standard error covers all of that, where the one in cells.csv is of one training.
"""

import re

import pandas

CELL = ["group", "process", "trajectory", "variant", "K", "network_evaluations", "metric"]
COLUMNS = [*CELL, "value", "stderr", "repeats"]
REPEAT = re.compile(r"(?P<study>[A-Za-z0-9_]+)-(?P<group>.+)-(?P<number>\d+)", re.ASCII)


def group_of(setting: str) -> str:
    """The group of a setting STUDY-GROUP-NUMBER; the setting itself if its name is another."""
    parts = REPEAT.fullmatch(setting)
    return parts["group"] if parts else setting


def summarise(cells: pandas.DataFrame) -> pandas.DataFrame:
    """The mean of every cell over the settings of its group, with the columns `COLUMNS`.

    cells: with the columns setting, value and stderr, and those of `CELL` but `group`. stderr: that
    of the mean, from how the repetitions differ; of a group of one setting its own.
    """
    rows = cells.assign(group=cells.setting.map(group_of))
    blocks = rows.groupby(CELL, sort=False)
    summary = blocks.agg(
        value=("value", "mean"),
        stderr=("value", "sem"),
        repeats=("value", "size"),
        own=("stderr", "first"),
    ).reset_index()
    summary["stderr"] = summary.stderr.where(summary.repeats > 1, summary.own)
    return summary[COLUMNS]
