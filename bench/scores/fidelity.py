"""Features of images, in one pass of an extractor that serves every metric."""

from collections.abc import Callable

import numpy as np
import torch

BATCH = 128  # images that are given to an extractor together


def features(
    extractor: torch.nn.Module,
    images: np.ndarray,
    levels: int | None,
    progress: Callable[[int], object] = lambda count: None,
) -> dict[str, np.ndarray]:
    """{"features": (n, d)}, and "logits" (n, classes) if the extractor has a last layer.

    Parameters
    ----------
    extractor : a torch-fidelity feature extractor, used on the device where it is.
    images : (n, channels, h, w). Integer levels are shown to the extractor as 0..255, continuous
        data (levels None) as they are.
    progress : called with the number of images after every batch.
    """
    device = next((parameter.device for parameter in extractor.parameters()), torch.device("cpu"))
    batches = []
    with torch.inference_mode():
        for first in range(0, len(images), BATCH):
            shown = torch.from_numpy(_shown(images[first : first + BATCH], levels)).to(device)
            batches.append([layer.cpu() for layer in extractor(shown)])
            progress(len(shown))
    layers = [torch.cat(parts).numpy() for parts in zip(*batches, strict=True)]
    return dict(zip(("features", "logits"), layers, strict=False))


def _shown(images, levels):
    """Levels as uint8 in 0..255; continuous data as they are."""
    if levels is None:
        return np.array(images)
    return np.rint(images * (255 / (levels - 1))).astype(np.uint8)
