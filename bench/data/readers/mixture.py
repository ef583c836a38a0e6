"""Vectors from a Gaussian mixture with random full covariances: data whose every answer is known (`bench.mixture`).

The mixture and its draws are a function of the options alone, not of the experiment's seed: like any data set they stay
what they are when the Monte Carlo noise of an experiment is changed.
"""

from bench.data.dataset import Raw, Size
from bench.runtime.fields import Count


def read(components: Count, dim: Count, train: Count, test: Count):
    """`train` and `test` draws in `dim` dimensions from a mixture of `components` Gaussians, as a `Raw` with its law."""
    law = law_of(components, dim)
    splits = (
        law.draw(("data", components, dim, split), count).numpy()[:, :, None, None]
        for split, count in (("train", train), ("test", test))
    )
    return Raw(*splits, levels=None, law=law)


def size(components, dim, train, test):
    """How large what `read` returns is."""
    return Size((dim, 1, 1), train, test, levels=None, labels=False)


def law_of(components, dim):
    """The `bench.mixture.Mixture` that the data of these options are drawn from."""
    from bench import mixture

    return mixture.random(("data", components, dim), components, dim)
