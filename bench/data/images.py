"""Files of images, decoded by Pillow after their header was checked.

Pixels are taken as they are stored: rotation in camera data is ignored, transparency is dropped,
and of several frames the first is taken.
"""

import contextlib
import warnings
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import Annotated

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from pydantic import Field

from bench.runtime import files
from bench.runtime.errors import BenchError, reason

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")

# Pixels on a side that images are resized to.
Side = Annotated[int, Field(strict=True, ge=1, le=4096)]


@contextlib.contextmanager
def opened(
    where: str, file: str | Path | BufferedIOBase, size: tuple[int, int] | None = None
) -> Iterator[Image.Image]:
    """The Pillow image in a file, of which only the header was read.

    where: what the errors call the image. file: a path or an open binary file. size: the (width,
    height) that it must have. Raises BenchError if the image cannot be decoded or is not as
    expected, and also for every failure inside the `with` block.
    """
    if not isinstance(file, BufferedIOBase):
        files.check_readable(where, file, "expected an image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=FORMATS) as image:
                # Pillow clips integers beyond 255 in place of scaling them.
                if image.mode.startswith(("I", "F")):
                    raise BenchError(
                        f"{where}: found pixels of mode {image.mode}, expected 8 bits per channel"
                    )
                if size and image.size != size:
                    raise BenchError(
                        f"{where}: found {image.width}×{image.height} pixels, "
                        f"expected {size[0]}×{size[1]}"
                    )
                yield image
    except BenchError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise BenchError(
            f"{where}: found more than {Image.MAX_IMAGE_PIXELS} pixels, expected at most so many"
        ) from error
    except Exception as error:  # decoders have many of their own
        raise BenchError(
            f"{where}: cannot be decoded ({reason(error)}); expected an image"
        ) from error


def pixels(image: Image.Image) -> UInt8[np.ndarray, "3 height width"]:
    """The RGB levels of a Pillow image."""
    return np.asarray(image.convert("RGB")).transpose(2, 0, 1)
