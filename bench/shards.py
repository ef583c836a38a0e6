"""Shards: the parts into which the work of a stage is cut, a job each.

What a network is given together stays together: a batch of images, a group of steps. The last bits
of its output may depend on the size of a batch. So a shard has whole ones, and the number of shards
changes no byte.

    moments              groups of steps that share a pass
    bound, bound_2m      batches of test images
    samples              batches of each cell's images
    reference            chunks of real images
    fidelity             cells: nothing is kept between (features of 50 000 samples are 400 MB)

There are no more shards than units. What a stage cannot share out has one job: trainings, and what
takes no pass.
"""

# draws of a step before a standard error is looked at, or a coefficient made of their means, in
# `bench.moments`
FIRST = 16


def cut(units: int, shards: int) -> list[tuple[int, int]]:
    """(first, one past the last) unit of each shard: at most `shards`, and no shard without one."""
    shards = min(shards, units)
    return [(units * i // shards, units * (i + 1) // shards) for i in range(shards)]


def cut_batches(count: int, batch: int, shards: int) -> list[tuple[int, int]]:
    """(first, one past the last) of `count` things in each shard, in batches of `batch`."""
    batches = -(-count // batch)
    return [(i * batch, min(j * batch, count)) for i, j in cut(batches, shards)]


def steps_together(draws: int, batch: int, relative_error: float | None) -> int:
    """How many steps share a pass of the moments, as far as they are wanted.

    A step asks for all of its draws, for `batch` of them, or for its first ones where a standard
    error decides. Then groups mix, and a network's last bits may depend on the number of shards.
    """
    rows = batch if relative_error is None else FIRST
    return max(1, batch // min(draws, rows))
