"""What samples are compared with: features of real images, or published statistics of them.

results/.features/<digest>/ holds the features of the first images of a split, one npy file a layer.
The digest is of the data's content, the split, the number of images, the version of the code and
the extractor's name, which has a digest of its weights. So settings of the same data share them.
Features are extracted in chunks that stay on disk until all are there. So an interrupted extraction
goes on, and several jobs can share one. A second process that needs the same features waits.

A statistics file, as pytorch-fid, TTUR and clean-fid distribute it, is an npz with the mean `mu`
and the covariance `sigma` of features. FID needs no more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Real
from torch import Tensor
from torch.nn import Module
from tqdm import tqdm

from bench.data.dataset import Data
from bench.runtime import digests, files, paths
from bench.runtime.errors import BenchError
from bench.scores import fidelity, frechet, neighbours

CHUNK = 1024  # images whose features are written together


@dataclass(frozen=True)
class Reference:
    """What samples are compared with.

    features: None if only their published mean and covariance are known.
    """

    gaussian: frechet.Gaussian
    features: Real[np.ndarray, "n d"] | None = None

    @cached_property
    def radii(self) -> Float64[Tensor, " n"]:
        """The radii of the balls around the features, see `bench.scores.neighbours.radii`."""
        return neighbours.radii(self.features)


def features(extractor: Module, data: Data, split: str, count: int, version: str = "") -> Path:
    """The folder with the features of the first `count` images of a split.

    extractor: as in `bench.scores.fidelity.features`; split: 'train' or 'test'; version: of the
    code that extracts. Nothing is extracted that is there and whole. Raises BenchError if the
    folder cannot be written.
    """
    folder, made_by = _place(extractor, data, split, count, version)
    with files.alone(folder):
        if not _whole(folder, count):
            parts = []
            with _bar(data, split, count) as bar:
                for first in range(0, count, CHUNK):
                    parts.append(_chunk(extractor, data, split, count, first, folder, bar))
            with files.writing(folder) as partial:
                partial.mkdir()
                files.write_json(partial / "made_by.json", made_by)
                for name in parts[0]:
                    np.save(partial / f"{name}.npy", np.concatenate([one[name] for one in parts]))
            files.remove(_chunks(folder))
    return folder


def extract(
    extractor: Module, data: Data, split: str, count: int, version: str, firsts: Sequence[int]
) -> None:
    """Extracts some chunks of what `features` puts together, those that begin at `firsts`.

    firsts: multiples of `CHUNK`. The other arguments are those of `features`.
    """
    folder, _ = _place(extractor, data, split, count, version)
    if _whole(folder, count):
        return
    images = sum(min(CHUNK, count - first) for first in firsts)
    with _bar(data, split, images) as bar:
        for first in firsts:
            with files.alone(_chunks(folder) / f"{first}.npz"):
                _chunk(extractor, data, split, count, first, folder, bar)


def _place(extractor, data, split, count, version):
    """(the folder of features, what they are made by)"""
    made_by = {
        "data": data.sha256,
        "split": split,
        "count": count,
        "extractor": extractor.get_name(),
        "layers": list(extractor.get_requested_features_list()),
        "version": version,
    }
    return paths.FEATURES / digests.digest(made_by), made_by


def read(folder: Path | str, remedy: str) -> dict[str, np.ndarray]:
    """{layer: memory-mapped features} of a folder of `features`; remedy: how an error ends."""
    with files.reading(folder, remedy):
        layers = {path.stem for path in Path(folder).glob("*.npy")}
    return files.read_arrays(folder, {"features", *layers}, remedy)


def _whole(folder, count):
    """Whether the features of `count` images are there."""
    try:
        return all(len(rows) == count for rows in read(folder, "").values())
    except BenchError:
        return False


def _chunks(folder):
    """Where the chunks of a folder of features are until it is whole."""
    return folder.with_name(f".{folder.name}.chunks")


def _bar(data, split, images):
    """A progress bar of an extraction."""
    title = f"features of {data.name} {split}"
    return tqdm(total=images, desc=title, unit="image", mininterval=1.0)


def _chunk(extractor, data, split, count, first, folder, bar):
    """{layer: features} of one chunk, which is extracted and written unless it is there."""
    path = _chunks(folder) / f"{first}.npz"
    images = getattr(data, split)[first : min(first + CHUNK, count)]
    try:
        found = files.read_npz(path)
        bar.update(len(images))
    except BenchError:  # missing or damaged
        found = fidelity.features(extractor, images, data.levels, bar.update)
        files.write_npz(path, **found)
    return found


def statistics(path: Path | str, dimension: int | None = None) -> frechet.Gaussian:
    """The `bench.scores.frechet.Gaussian` of a statistics file.

    BenchError if it is no such file, or not of `dimension` features.
    """
    where = f"fidelity.reference: {path}"
    remedy = "expected an npz file with the arrays mu (d,) and sigma (d, d)"
    arrays = files.read_npz(path, remedy)
    missing = [name for name in ("mu", "sigma") if name not in arrays]
    if missing:
        raise BenchError(
            f"{where}: {missing[0]} not found among {', '.join(arrays)[:80]}; {remedy}"
        )
    mu, sigma = arrays["mu"], arrays["sigma"]
    if mu.ndim != 1 or sigma.shape != 2 * mu.shape or not len(mu):
        raise BenchError(f"{where}: found mu {mu.shape} and sigma {sigma.shape}; {remedy}")
    if mu.dtype.kind != "f" or sigma.dtype.kind != "f":
        raise BenchError(f"{where}: found mu {mu.dtype} and sigma {sigma.dtype}; expected floats")
    if dimension not in (None, len(mu)):
        raise BenchError(
            f"{where}: found statistics of {len(mu)} features, expected the extractor's {dimension}"
        )
    mu, sigma = mu.astype(np.float64), sigma.astype(np.float64)
    if not (np.isfinite(mu).all() and np.isfinite(sigma).all()):
        raise BenchError(f"{where}: expected finite mu and sigma")
    if (sigma.diagonal() < 0).any() or abs(sigma - sigma.T).max() > 1e-5 * abs(sigma).max():
        raise BenchError(
            f"{where}: sigma is no covariance; expected it symmetric, with a diagonal ≥ 0"
        )
    return frechet.Gaussian(mu, (sigma + sigma.T) / 2)
