"""Features of images, in one pass of an extractor that serves every metric."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Shaped

BATCH = 128  # images that are given to an extractor together


def features(
    extractor: torch.nn.Module,
    images: Shaped[np.ndarray, "n channels height width"],
    levels: int | None,
    progress: Callable[[int], object] = lambda count: None,
) -> dict[str, Shaped[np.ndarray, "n _"]]:
    """{"features": (n, d)}, and "logits" (n, classes) if the extractor has a last layer.

    Parameters
    ----------
    extractor : a torch-fidelity feature extractor, used on the device where it is.
    images : levels from 0 to `levels` − 1, which the extractor gets as 0..255; or continuous data
        (levels None), which it gets as they are.
    progress : called with the number of images after every batch.
    """
    device = next((parameter.device for parameter in extractor.parameters()), torch.device("cpu"))
    batches = []
    with torch.inference_mode():
        for first in range(0, len(images), BATCH):
            batch = torch.from_numpy(to_bytes(images[first : first + BATCH], levels)).to(device)
            batches.append([layer.cpu() for layer in extractor(batch)])
            progress(len(batch))
    layers = [torch.cat(parts).numpy() for parts in zip(*batches, strict=True)]
    return dict(zip(("features", "logits"), layers, strict=False))


def to_bytes(images: Shaped[np.ndarray, "..."], levels: int | None) -> Shaped[np.ndarray, "..."]:
    """Levels as uint8 in 0..255; continuous data as they are."""
    if levels is None:
        return np.array(images)
    return np.rint(images * (255 / (levels - 1))).astype(np.uint8)
