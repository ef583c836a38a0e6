"""What an experiment takes, known before anything of it runs: network passes, samples and disk, by stage.

A pass is one image through a network once. How many there are follows from the configuration alone:

    mean        steps · batch of its training
    extractor   steps · batch of its training, and the test images
    moments     N · draws, the most there are where relative_error ends them
    heads       steps · batch of their training
    bound       images · steps t that any cell visits, as one pass serves all cells
    samples     count · steps of the trajectory, summed over cells
    reference   training images and as many test images as a cell has, once for settings of the same data and extractor
    fidelity    count of every cell

and the last two as often as images are resized in a way of their own.

Optimal trajectories are not known before the moments are: the most steps that they can visit are counted. A pass in the
training of a network costs about three forward ones; the frozen trunk under heads in training makes forward ones.
"""

import math
from dataclasses import dataclass, replace

from bench import trajectory
from bench.runtime import files

TRAINING = 3  # forward passes that cost as much as a forward and a backward one
HEADER = 128  # bytes of an npy file before its numbers
BOUND_ROW = 11  # bytes of a row of bound.parquet: a float64 of its own, the image as an index, a share of the rest
EXACT_ROW = 3  # bytes of the index that is added where −E log p(x) is known


@dataclass(frozen=True)
class Row:
    """What a stage of a setting takes. passes, disk (bytes): None where not known; network: the passes', a `speed.Network`,
    None where not known; cost: in forward passes, where it is not the number of passes; at_most: may be fewer passes."""

    setting: str
    stage: str
    jobs: int = 1
    passes: int | None = 0
    network: object = None
    samples: int = 0
    disk: int | None = 0
    cost: int | None = None
    at_most: bool = False


@dataclass(frozen=True)
class Need:
    """What the tables of an experiment need of a setting: cells of the bound, of samples by process, and what these need."""

    bound: list
    samples: dict
    moments: bool
    heads: bool


def need(experiment, setting):
    """The `Need` of a setting, as the workflow's rules have it."""
    bound = setting.cells("bound", "ddpm") if experiment.bound_metrics else []
    sampled = (
        [process for process, _ in setting.processes.items()] if experiment.sample_metrics else []
    )
    variants = {
        name
        for process in {*sampled, *(["ddpm"] if bound else [])}
        for name in setting.variants(process)
    }
    heads = bool(setting.heads_of(variants))
    optimal = "optimal" in setting.trajectories()
    return Need(
        bound,
        {process: setting.cells("samples", process) for process in sampled},
        moments=setting.needs_moments(variants)
        or optimal
        or (heads and setting.heads_need_moments),
        heads=heads,
    )


def steps_visited(N, cells):
    """(how many steps t the cells' trajectories visit, whether that is the most it can be rather than the number)."""
    known = {t for _, kind, K in cells if kind != "optimal" for t in trajectory.fixed(kind, N, K)}
    optimal = [K for _, kind, K in cells if kind == "optimal"]
    if not optimal:
        return len(known), False
    most = min(N, len(known | {1, N}) + sum(K - 2 for K in optimal))
    return most, len(known) < most


def steps_taken(N, cells):
    """The lengths of the cells' trajectories, summed."""
    return sum(
        K if kind == "optimal" else len(trajectory.fixed(kind, N, K)) for _, kind, K in cells
    )


def npz(**arrays):
    """Bytes of an uncompressed npz file of arrays of so many bytes: each has a header, and two entries of the zip."""
    return 22 + sum(HEADER + 96 + 2 * len(f"{name}.npy") + size for name, size in arrays.items())


def rows_of(experiment, name, size, mean, features):
    """The rows of a setting, in the order of its stages.

    size: `data.Size`, None where it is not known; mean, features: `speed.Network` of the mean model and of the features,
    None where it is not known, and for features that take none.
    """
    setting = experiment.setting(name)
    wanted = need(experiment, setting)
    N, dim, item = (
        setting.schedule.N,
        size and math.prod(size.shape),
        1 if size is None or size.levels else 8,
    )
    seen = lambda images: (
        images if features else (size and 0)
    )  # features without a network take no passes
    rows = [Row(name, "data", disk=size and _data(size, dim * item)), _mean(name, setting, mean)]
    if wanted.samples:
        rows.append(_extractor(name, setting, size, features))
    if wanted.moments:
        rows.append(
            Row(
                name,
                "moments",
                passes=N * setting.moments.draws,
                network=mean,
                disk=size and _moments(N, dim),
                at_most=setting.moments.relative_error is not None,
            )
        )
    if wanted.heads:
        steps = (
            setting.heads.train.steps * setting.heads.train.batch if setting.heads.trained else 0
        )
        rows.append(Row(name, "heads", passes=steps, network=mean, disk=mean and 4 * mean.heads))
    rows.append(Row(name, "trajectories"))
    if wanted.bound:
        images, (steps, at_most) = setting.bound.images, steps_visited(N, wanted.bound)
        row = BOUND_ROW if size is None or size.levels else BOUND_ROW + EXACT_ROW
        rows.append(
            Row(
                name,
                "bound",
                passes=images * steps,
                network=mean,
                at_most=at_most,
                disk=len(wanted.bound) * images * row,
            )
        )
    for process, cells in wanted.samples.items():
        count, shards = setting.samples.count, setting.samples.shards
        jobs = shards * len(setting.variants_by_need(process))
        disk = size and len(cells) * (count * dim * item + shards * npz(images=0, digest=64))
        rows.append(
            Row(
                name,
                f"samples {process}",
                jobs,
                count * steps_taken(N, cells),
                mean,
                count * len(cells),
                disk,
            )
        )
    if wanted.samples:
        section, views = setting.fidelity, len(experiment.resizings)
        train = 0 if section.reference else section.reference_images or (size and size.train)
        images = size and views * (train + min(setting.samples.count, size.test))
        rows.append(
            Row(
                name,
                "reference",
                passes=seen(images),
                network=features,
                disk=size and 4 * images * (features.features if features else dim),
            )
        )
    for process, cells in wanted.samples.items():
        rows.append(
            Row(
                name,
                f"fidelity {process}",
                passes=seen(views * setting.samples.count * len(cells)),
                network=features,
            )
        )
    return rows


def _data(size, image):
    labels = 8 * (size.train + size.test) + 2 * HEADER if size.labels else 0
    return (size.train + size.test) * image + 2 * HEADER + labels


def _mean(name, setting, network):
    steps = setting.mean.train.steps * setting.mean.train.batch if setting.mean.train else 0
    return Row(
        name,
        "mean",
        passes=steps,
        network=network,
        disk=network and 4 * network.parameters,
        cost=TRAINING * steps,
    )


def _extractor(name, setting, size, network):
    train = setting.extractor.train
    if train is None:
        return Row(name, "extractor", disk=4 * network.parameters if network else size and 0)
    steps = train.steps * train.batch
    return Row(
        name,
        "extractor",
        passes=size and steps + size.test,
        network=network,
        disk=network and 4 * network.parameters,
        cost=size and TRAINING * steps + size.test,
    )


def _moments(N, dim):
    from bench.moments import QUANTITIES, WITH_ERRORS

    arrays = {**{quantity: 8 * (N + 1) * dim for quantity in QUANTITIES}, "draws": 8 * (N + 1)}
    for quantity in WITH_ERRORS:
        arrays |= {f"{quantity}_se": 8 * (N + 1) * dim, f"{quantity}_mean_se": 8 * (N + 1)}
    return npz(**arrays)


def rows(experiment, networks):
    """The rows of all settings. networks: {name: (`data.Size`, mean, features)}, as `rows_of` takes them."""
    found, references = [], set()
    for name, setting in experiment.settings.items():
        extractor = setting.extractor and setting.extractor.model_dump()
        reference = files.digest(
            [setting.data.model_dump(), extractor, setting.fidelity.reference_images]
        )
        for row in rows_of(experiment, name, *networks[name]):
            again = row.stage == "reference" and reference in references
            found.append(
                replace(row, passes=row.passes and 0, disk=row.disk and 0) if again else row
            )
        references.add(reference)
    return found
