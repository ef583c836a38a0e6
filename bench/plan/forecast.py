"""The plan of an experiment as a person reads it: what `bench.plan.passes` counts, and hours by how fast `bench.plan.speed` finds the
networks on this machine."""

import math
import os
import time

from tabulate import tabulate

from bench.data import dataset
from bench.plan import passes
from bench.runtime import paths

STAGES = ("setting", "stage", "jobs", "passes", "of", "samples", "disk", "hours")
NETWORKS = ("network", "architecture from", "parameters", "images/s", "images a pass")
REMARKS = """\
passes: one image through a network once. disk: of results/, without the checkpoint that a training keeps while it runs (four
times its network). hours: of this machine, one job after the other, each with {threads} threads: {startup:.1f} s to start, and
the passes; not the arithmetic on what networks say, which for networks as small as those of digits may take longer. The load
of the machine before it was measured was {load:.1f}: what else runs makes it slower.
"""


def start_up():
    """Seconds that it takes to load what a job with a network needs, the first time that this is called."""
    begun = time.perf_counter()
    from bench.plan import speed  # noqa: F401
    from bench.runtime import imports  # noqa: F401

    imports.unet_2d()
    return time.perf_counter() - begun


def report(experiment, startup):
    """The plan as a text: a row a stage, how fast each network is here, what is not known, and what was assumed.

    startup: seconds that every job takes before it does anything.
    """
    import torch

    from bench.plan import speed
    from bench.runtime import devices

    load = os.getloadavg()[0]
    networks = {name: _networks(name, setting) for name, setting in experiment.settings.items()}
    found = passes.rows(experiment, networks)
    passed = {row.network.key: row.network for row in reversed(found) if row.network and row.passes}
    speeds = speed.measure(list(passed.values()), device=devices.choose(experiment.device))
    hours = [_hours(row, speeds, startup) for row in found]
    lines = [
        [row.setting, row.stage, *_line([row], [time], passed)]
        for row, time in zip(found, hours, strict=True)
    ]
    lines.append(["total", "", *_line(found, hours, {})])
    remarks = REMARKS.format(startup=startup, threads=torch.get_num_threads(), load=load)
    rates = [
        [
            network.name,
            network.origin,
            f"{network.parameters:,}",
            f"{speeds[key][0]:,.3g}",
            speeds[key][1],
        ]
        for key, network in passed.items()
    ]
    return "\n".join(
        [
            _table(STAGES, lines, "llrrlrrr"),
            "",
            _table(NETWORKS, rates, "llrrr"),
            "",
            *_unknown(experiment, networks),
            remarks,
        ]
    )


def _networks(name, setting):
    """(`data.Size`, network of the mean model, network of the features) of a setting, each None where it is not known."""
    from bench.plan import speed

    size = dataset.size(setting.data.name, setting.data.options, paths.Setting(name).data)
    if size is None:
        return None, None, None
    features = speed.feature_network(name, setting, size.shape) if setting.extractor else None
    return size, speed.mean_network(name, setting, size.shape), features


def _unknown(experiment, networks):
    """A line for each setting of which something is not known, with the command after which it is."""
    for name, (size, mean, _) in networks.items():
        reader = experiment.setting(name).data.name
        if size is None:
            yield f"{name}: how large the data are is not known before {reader} has read them: bench data --setting {name}"
        elif mean is None:
            yield f"{name}: the architecture of the mean model is not known before it is imported: bench mean --setting {name}"


def _hours(row, speeds, startup):
    """The time of a row in hours, None where its passes or its network are not known."""
    if row.passes is None or (row.passes and row.network is None):
        return None
    cost = row.passes if row.cost is None else row.cost
    return ((cost / speeds[row.network.key][0] if cost else 0) + row.jobs * startup) / 3600


def _line(found, hours, passed):
    """The cells of a line of the table, the third and on, for the sum of some rows."""
    of = (
        {
            passed[row.network.key].name if row.network else "mean model"
            for row in found
            if row.passes
        }
        if len(found) == 1
        else ()
    )
    return [
        sum(row.jobs for row in found),
        _sum([row.passes for row in found], "{:,}".format, any(row.at_most for row in found)),
        "".join(of),
        _sum([row.samples for row in found], "{:,}".format),
        _sum([row.disk for row in found], _bytes),
        _sum(hours, lambda value: f"{value:,.0f}" if value >= 100 else f"{value:.2g}"),
    ]


def _sum(values, written, at_most=False):
    """The sum of what is known of `values` as a text, with a sign where some are not known or it is the most it can be."""
    known = [value for value in values if value is not None]
    if not known:
        return "?"
    missing = len(known) < len(values)
    sign = "≈ " if missing and at_most else "≥ " if missing else "≤ " if at_most else ""
    return sign + written(sum(known)) if sum(known) else ""


def _bytes(count):
    """A number of bytes in kB, MB, GB or TB."""
    power = min(int(math.log10(max(count, 1000))) // 3, 4)
    return f"{count / 1000**power:.3g} {' kMGT'[power]}B"


def _table(columns, lines, align):
    names = {"l": "left", "r": "right"}
    return tabulate(
        lines,
        columns,
        disable_numparse=True,
        colalign=[names[side] for side in align] if lines else None,
    )
