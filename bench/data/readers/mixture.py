"""Vectors from a Gaussian mixture with random full covariances (`bench.mixture`).

Every question about these data has a known answer. The mixture and its draws depend on the options
alone, not on the experiment's seed: if the Monte Carlo noise changes, the data stay the same.
"""

from typing import Any

from bench.data.dataset import Raw, Size
from bench.runtime import memory
from bench.runtime.fields import Count


def read(components: Count, dim: Count, train: Count, test: Count) -> Raw:
    """Draws in `dim` dimensions from a mixture of `components` Gaussians, with its law."""
    of_law, row = 3 * 8 * dim**2, 2 * 8 * dim  # bytes: a matrix and its factors; draws twice
    memory.check("data.components", components, components * of_law, "the covariances")
    for key, count in (("train", train), ("test", test)):
        memory.check(f"data.{key}", count, count * row, "the draws")
    law = law_of(components, dim)
    splits = (
        law.draw(("data", components, dim, split), count).numpy()[:, :, None, None]
        for split, count in (("train", train), ("test", test))
    )
    return Raw(*splits, levels=None, law=law)


def size(components: int, dim: int, train: int, test: int) -> Size:
    """The size of what `read` returns."""
    return Size((dim, 1, 1), train, test, levels=None, labels=False)


def law_of(components: int, dim: int) -> Any:
    """The `bench.mixture.Mixture` that the data of these options are drawn from."""
    from bench import mixture

    return mixture.random(("data", components, dim), components, dim)
