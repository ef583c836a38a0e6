"""Randomness as a function of its name.

Every random number is a function of (experiment seed, purpose, setting, further names, index) and
of nothing else: not of batch size, shard, worker or order. Normals come from the counter-based
generator Philox-4x64 (Salmon et al. 2011): its key is a hash of the names, its counter is advanced
to the row asked for, and each raw word becomes one normal through the inverse of the normal
distribution function. So rows [10, 20) are the same numbers whether they are drawn alone or as part
of [0, 1000).
"""

import hashlib

import numpy as np
from jaxtyping import Float64
from scipy.special import ndtri

WORDS_PER_COUNT = 4  # Philox-4x64 yields four 64-bit words for each value of its counter


def philox(*names: object) -> np.random.Philox:
    """A Philox bit generator whose 128-bit key is the BLAKE2 hash of the names."""
    key = hashlib.blake2b("\x1f".join(map(str, names)).encode(), digest_size=16).digest()
    return np.random.Philox(key=np.frombuffer(key, dtype=np.uint64))


def generator(*names: object) -> np.random.Generator:
    """A numpy Generator for draws that are taken in one go (permutations, batches of indices,
    resampling)."""
    return np.random.Generator(philox(*names))


def normal(names: tuple, first: int, count: int, dim: int) -> Float64[np.ndarray, "count dim"]:
    """Standard normals of rows first .. first + count − 1, float64 of shape (count, dim).

    names: a tuple that names the stream; a row depends on (names, row index, dim) only.
    """
    blocks = -(-dim // WORDS_PER_COUNT)
    bits = philox(*names).advance(first * blocks).random_raw(count * blocks * WORDS_PER_COUNT)
    uniform = (bits >> np.uint64(12)) * 2.0**-52 + 2.0**-53  # in (0, 1), symmetric, never 0 or 1
    return ndtri(uniform).reshape(count, -1)[:, :dim]
