"""What an experiment takes, stage by stage: images through networks, samples and disk.

All of it follows from the configuration:

    mean        steps · batch of the training
    extractor   steps · batch of the training, and the test images
    moments     N · draws; fewer where moments.relative_error ends them early
    heads       steps · batch of the training, of which the trunk's pass serves all heads
    bound       images · steps t that any cell visits: one pass serves all cells
    samples     count · steps of the trajectory, summed over cells
    reference   training images, and as many test images as a cell has; once for equal data
    fidelity    count of every cell

A product with the Jacobian of the mean model counts as `covariance.PRODUCT` passes, wherever a
head's loss or a variant takes one. A scoring pass is repeated for every resizing of the images. The
steps of an optimal trajectory are not known before the moments are; the plan counts the most that
it can visit.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from bench import covariance, second_moments, trajectory, variances
from bench.moments import SCALARS
from bench.plan.needs import needs

TRAINING = 3  # forward passes that cost as much as a forward and a backward one
BOUND_ROW = 29  # bytes of a row of bound.parquet: a float64, three float32, the image's index


@dataclass(frozen=True)
class Row:
    """What a stage of a setting takes.

    network: name of the network that `passes` images go through; trained: how many of them train
    it; disk: bytes, None if not known; at_most: whether there may be fewer passes.
    """

    setting: str
    stage: str
    network: str | None = None
    passes: int = 0
    trained: int = 0
    samples: int = 0
    disk: int | None = 0
    jobs: int = 1
    at_most: bool = False

    @property
    def cost(self) -> int:
        """The number of forward passes that take as long."""
        return self.passes + (TRAINING - 1) * self.trained


def steps_visited(N: int, cells: Iterable[tuple]) -> tuple[int, bool]:
    """How many steps t the trajectories of `cells` visit, and whether that is an upper limit.

    cells: [(variant, trajectory, K), …].
    """
    fixed = [(kind, K) for _, kind, K in cells if kind != "optimal"]
    visited = {t for kind, K in fixed for t in trajectory.fixed(kind, N, K)}
    optimal = [K for _, kind, K in cells if kind == "optimal"]
    if not optimal:
        return len(visited), False
    most = min(N, len(visited | {N}) + sum(K - 1 for K in optimal))
    return most, len(visited) < most


def bound_products(N: int, dim: int, levels: int | None, cells: Iterable[tuple]) -> int:
    """How many products with the network's Jacobian an image takes in the bound.

    cells: [(variant, trajectory, K), …]. If the data have levels, the last term takes no variance.
    """
    at = {}  # the variants that take some, by step
    for name, kind, K in cells:
        if step_products(dim, [name]):  # no variant that has an optimal trajectory takes products
            for t in trajectory.fixed(kind, N, K)[1 if levels else 0 :]:
                at.setdefault(t, set()).add(name)
    return sum(step_products(dim, names) for names in at.values())


def step_products(dim: int, names: Iterable[str]) -> int:
    """How many products an image takes at a step of the bound, for the variants `names`.

    Variants that take all `dim` share them.
    """
    taken = {}  # by those that share
    for name in names:
        products = covariance.get(name).products(dim, in_bound=True)
        taken["all" if products == dim else name] = products
    return sum(taken.values())


def sample_evaluations(setting: Any, process: str, dim: int) -> float:
    """Network evaluations of an image of each cell of a process, summed.

    setting: see `bench.experiment.resolved`.
    """
    cells = setting.cells("samples", process)
    return sum(setting.network_evaluations(process, *cell, dim) for cell in cells)


def rows_of(experiment: Any, name: str, size: Any, mean: Any, features: Any) -> list[Row]:
    """The rows of a setting, in the order of its stages.

    size: `dataset.Size`; mean: the `speed.Network` of the mean model, None if not known; features:
    the one of the feature extractor, None if features take no network.
    """
    setting, chosen, rows = experiment.setting(name), experiment.selection(name), []

    def add(stage, network=None, passes=0, **others):
        rows.append(Row(name, stage, network, passes, **others))

    need, N, dim = needs(experiment, chosen), setting.schedule.N, math.prod(size.shape)
    image = dim * (1 if size.levels else 8)
    add("data", disk=(size.train + size.test) * (image + 8 * size.labels))
    steps = _training(setting.mean.train)
    add("mean", name, steps, trained=steps, disk=mean and 4 * mean.parameters)
    if need.samples and features:
        steps = _training(setting.extractor.train)
        passes = steps + size.test if steps else 0
        add("extractor", features.name, passes, trained=steps, disk=4 * features.parameters)
    if need.moments:
        at_a_step = 8 * len(SCALARS) + 4 * second_moments.numbers(
            setting.moments_by_coordinate(), size.shape
        )
        at_most = setting.moments.relative_error is not None
        passes, jobs = N * setting.moments.draws, _jobs(setting.parts("moments"))
        disk = (N + 1) * at_a_step
        add("moments", name, passes, disk=disk, jobs=jobs, at_most=at_most)
    if need.heads:
        heads = [covariance.get(head).head for head in setting.heads.trained]
        evaluations = 1 + covariance.PRODUCT * sum(head.products for head in heads)
        images = _training(setting.heads.train) if heads else 0
        add("heads", name, math.ceil(images * evaluations))
    add("trajectories")
    for stage, cells in (("bound", need.bound), ("bound_2m", need.bound_2m)):
        if cells:
            images, (steps, at_most) = setting.bound.images, steps_visited(N, cells)
            disk = len(cells) * images * BOUND_ROW
            steps += covariance.PRODUCT * bound_products(N, dim, size.levels, cells)
            jobs = _jobs(setting.parts(stage))
            add(stage, name, math.ceil(images * steps), disk=disk, jobs=jobs, at_most=at_most)
    if need.bound:
        steps = len(variances.visited(setting.schedule.make(), chosen.shown_bounds(), size.levels))
        products = step_products(dim, chosen.bound_variants)
        images = min(variances.IMAGES, size.test)
        add("variances", name, math.ceil(images * steps * (1 + covariance.PRODUCT * products)))
    count = setting.samples.count
    for process, cells in need.samples.items():
        samples = count * len(cells)
        jobs = len(chosen.parts("samples")) * len(chosen.variants_by_need(process))
        steps = math.ceil(count * sample_evaluations(chosen, process, dim))
        add(f"samples {process}", name, steps, samples=samples, disk=samples * image, jobs=jobs)
    if need.samples:
        section, resizings = setting.fidelity, len(experiment.resizings)
        train = 0 if section.reference else section.reference_images or size.train
        images = resizings * (train + min(count, size.test))
        network, width = (features.name, features.outputs) if features else (None, dim)
        passes, jobs = images if features else 0, _jobs(range(setting.shards))
        add("reference", network, passes, disk=4 * images * width, jobs=jobs)
    for process, cells in need.samples.items():
        passes = resizings * count * len(cells) if features else 0
        jobs = _jobs(chosen.parts("fidelity", process))
        add(f"fidelity {process}", network, passes, jobs=jobs)
    return rows


def _jobs(parts):
    """The jobs of a stage: one, or those of its shards and the one that puts them together."""
    return len(parts) + 1 if len(parts) > 1 else 1


def _training(section):
    """Images of a training, 0 if there is none."""
    return section.steps * section.batch if section else 0


def rows(experiment: Any, sizes: dict) -> list[Row]:
    """The rows of several settings. sizes: {setting: (size, mean, features)} as in `rows_of`."""
    result, references = [], []
    for name, networks in sizes.items():
        setting = experiment.setting(name)
        reference = (setting.data, setting.extractor, setting.fidelity.reference_images)
        for row in rows_of(experiment, name, *networks):
            if row.stage == "reference" and reference in references:
                row = replace(row, passes=0, disk=0)
            result.append(row)
        references.append(reference)
    return result
