"""What samples are compared with: features of real images, or published statistics of them.

results/.features/<digest>/ holds the features of the first images of a split, one npy file a layer.
The digest is of the data's content, the split, the number of images, the version of the code and
the extractor's name, which has a digest of its weights. So settings of the same data share them.
Features are extracted in chunks that stay on disk, so an interrupted extraction goes on. A second
process that needs the same features waits.

A statistics file, as pytorch-fid, TTUR and clean-fid distribute it, is an npz with the mean `mu`
and the covariance `sigma` of features. FID needs no more.
"""

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
    made_by = {
        "data": data.sha256,
        "split": split,
        "count": count,
        "extractor": extractor.get_name(),
        "layers": list(extractor.get_requested_features_list()),
        "version": version,
    }
    folder = paths.FEATURES / digests.digest(made_by)
    with files.alone(folder):
        if not _whole(folder, count):
            images, title = getattr(data, split)[:count], f"features of {data.name} {split}"
            _extract(extractor, images, data.levels, folder, made_by, title)
    return folder


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


def _extract(extractor, images, levels, folder, made_by, title):
    """Writes the features of images to `folder`, from chunks that are written beside it."""
    chunks = folder.with_name(f".{folder.name}.chunks")
    parts = []
    with tqdm(total=len(images), desc=title, unit="image", mininterval=1.0) as bar:
        for first in range(0, len(images), CHUNK):
            path, part = chunks / f"{first}.npz", images[first : first + CHUNK]
            try:
                parts.append(files.read_npz(path))
                bar.update(len(part))
            except BenchError:  # missing or damaged
                parts.append(fidelity.features(extractor, part, levels, bar.update))
                files.write_npz(path, **parts[-1])
    with files.writing(folder) as partial:
        partial.mkdir()
        files.write_json(partial / "made_by.json", made_by)
        for name in parts[0]:
            np.save(partial / f"{name}.npy", np.concatenate([part[name] for part in parts]))
    files.remove(chunks)


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
