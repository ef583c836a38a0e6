"""Statistics of data sets as they are known, and the comparison of files with them.

known.yaml has the numbers with their sources. Another crop, filter or order of the images changes
them, and changes FID and bound with them. What nobody has published or measured is not judged: it
is listed, so that a person who has the files can report it.
"""

import hashlib
from importlib import resources
from typing import Any

import numpy as np
import yaml
from jaxtyping import Float64

from bench.data import dataset
from bench.data.dataset import Images, Raw

NOT_KNOWN = "not known"
# What a wrong number usually comes from, by the beginning of the quantity's name.
CAUSES = {
    "images": "missing files, or another split",
    "shape": "another size or crop",
    "levels": "images of another depth",
    "mean": "another crop or filter, or channels in another order",
    "std": "another crop or filter",
    "sha256": "another order of the images, another crop or filter, or another decoder",
}


def compare(name: str, given: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows with quantity, known, measured, verdict ('ok', 'differs', 'not judged') and source.

    name: a reader; given: its options. Numbers are known for the reader's own options alone. Images
    are read in pieces. Raises BenchError as the reader does.
    """
    entries, rows = _entries(name, given), []
    for quantity, measured in measure(dataset.reader(name).read(**given)).items():
        known, source = entries.get(quantity, (NOT_KNOWN, ""))
        verdict = "not judged"
        if quantity in entries:
            verdict = "ok" if _agree(known, measured) else "differs"
        rows.append(
            {
                "quantity": quantity,
                "known": known,
                "measured": _shown(measured),
                "verdict": verdict,
                "source": source,
            }
        )
    return rows


def cause(quantity: str) -> str:
    """What a wrong value of a quantity usually comes from."""
    return next(words for start, words in CAUSES.items() if quantity.startswith(start))


def measure(raw: Raw) -> dict[str, Any]:
    """{quantity: value} of a data set.

    Means and standard deviations are over all pixels of the training images; of images they are
    those of level/(levels − 1), in [0, 1].
    """
    scale = 1 if raw.levels is None else raw.levels - 1
    first, mean, std = _statistics(raw.train)
    values = {
        "images in train": len(raw.train),
        "images in test": len(raw.test),
        "shape": "×".join(map(str, raw.train.shape[1:])),
        "levels": raw.levels if raw.levels is not None else "none",
    }
    for channel, (of_mean, of_std) in enumerate(zip(mean / scale, std / scale, strict=True)):
        values[f"mean of channel {channel}"] = float(of_mean)
        values[f"std of channel {channel}"] = float(of_std)
    values["sha256 of the first training image"] = first
    values["sha256 of the first test image"] = _sha256(next(dataset.pieces(raw.test))[0])
    return values


def _statistics(
    images: np.ndarray | Images,
) -> tuple[str, Float64[np.ndarray, " channels"], Float64[np.ndarray, " channels"]]:
    """(the sha256 of the first image; the mean and the standard deviation of each channel)."""
    count, total, squares, first = 0, 0, 0, None
    for piece in dataset.pieces(images):
        if first is None:
            first = _sha256(piece[0])
        count += len(piece) * piece.shape[2] * piece.shape[3]
        total = total + piece.sum(axis=(0, 2, 3), dtype=np.float64)
        squares = squares + (piece.astype(np.float64) ** 2).sum(axis=(0, 2, 3))
    mean = total / count
    return first, mean, np.sqrt(np.maximum(squares / count - mean**2, 0))


def _sha256(image):
    """Of the bytes of an image (channels, height, width)."""
    return hashlib.sha256(np.ascontiguousarray(image)).hexdigest()


def _entries(name, given):
    """{quantity: (value as text, source)} of the reader with these options."""
    text = resources.files("bench.data").joinpath("known.yaml").read_text(encoding="utf-8")
    own = dataset.options(name)
    options = own.model_validate(given).model_dump()
    defaults = {key: field.default for key, field in own.model_fields.items()}
    if any(value != defaults[key] for key, value in options.items() if key != "path"):
        return {}
    entries = {}
    for group in yaml.safe_load(text).get(name, []):
        source = group.pop("source")
        entries |= {quantity: (str(value), source) for quantity, value in group.items()}
    return entries


def _agree(known, measured):
    """Whether a measured value is the known one, to the digits that this one has."""
    if isinstance(measured, float):
        digits = len(known.partition(".")[2])
        return abs(measured - float(known)) <= 0.5 * 10**-digits * (1 + 1e-6)
    return known == str(measured)


def _shown(value):
    return f"{value:.6f}" if isinstance(value, float) else str(value)
