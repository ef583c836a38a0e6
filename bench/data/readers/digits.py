"""Handwritten digits, 8×8×1 with 17 grey levels, 1797 images, as shipped inside scikit-learn.

The test split is every tenth image, so that both splits hold every writer.
"""

import numpy as np

from bench.data.dataset import Raw, Size


def read() -> Raw:
    """The digits as a `Raw`, with their labels."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = digits.images.astype(np.uint8)[:, None]
    labels = digits.target.astype(np.int64)
    test = np.arange(len(images)) % 10 == 0
    return Raw(
        train=images[~test],
        test=images[test],
        levels=17,
        train_labels=labels[~test],
        test_labels=labels[test],
    )


def size() -> Size:
    """The size of what `read` returns."""
    return Size((1, 8, 8), train=1617, test=180, levels=17)
