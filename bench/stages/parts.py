"""What a shard leaves for the stage that it is a part of: a folder of arrays.

It has the digest of everything that the arrays follow from. So a stage that puts its shards
together takes none of another configuration.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.experiment.resolved import Experiment
from bench.runtime import digests, files
from bench.runtime.errors import BenchError
from bench.stages import VERSIONS

DIGEST = "digest"


def find(parts: Sequence[tuple[int, int]], shard: int) -> tuple[int, int]:
    """The part of a stage that a shard is. BenchError if there is no such shard.

    parts: as of `Setting.parts`.
    """
    check_number(shard, len(parts))
    return parts[shard]


def check_number(shard: int, count: int) -> None:
    """BenchError unless a shard is one of `count`."""
    if not 0 <= shard < count:
        raise BenchError(
            f"--shard: expected 0 ≤ shard < {count}, as many as this stage has with the key "
            f"`shards` of the configuration, found {shard}"
        )


def digest(
    experiment: Experiment,
    name: str,
    stage: str,
    part: tuple[int, int],
    inputs: Iterable[Path],
    **others: Any,
) -> str:
    """The digest of what a part of a stage of a setting follows from.

    inputs: files and folders that it reads. others: values of the configuration.
    """
    setting = experiment.setting(name)
    return digests.digest(
        {
            "seed": experiment.seed,
            "setting": name,
            "stage": [stage, VERSIONS[stage]],
            "part": part,
            "batch": setting.samples.batch,
            "schedule": setting.schedule.model_dump(),
            "inputs": {path.name: digests.digest_of(path) for path in inputs},
            **others,
        }
    )


def write(folder: Path, arrays: Mapping[str, np.ndarray], made_by: str) -> None:
    """Writes the arrays of a shard, and the digest of what they follow from."""
    files.write_arrays(folder, {**arrays, DIGEST: np.array([made_by])})


def read(folder: Path, made_by: str, whole: Path) -> dict[str, np.ndarray]:
    """{name: memory-mapped array} of a shard. BenchError if it is missing or of another digest.

    whole: the stage's own output.
    """
    remedy = remake(folder, whole)
    with files.reading(folder, remedy):
        names = {path.stem for path in folder.glob("*.npy")} | {DIGEST}
    arrays = files.read_arrays(folder, names, remedy)
    check(folder, str(arrays.pop(DIGEST)[0]), made_by, remedy)
    return arrays


def remake(shard: Path, whole: Path) -> str:
    """The command that makes what a shard leaves: that of the whole stage, if there is nothing.

    Snakemake keeps what is there, so something wrong has to be forced.
    """
    return files.remake(shard if shard.exists() else whole)


def check(path: Path, found: str, expected: str, remedy: str) -> None:
    """BenchError unless a shard has the digest that is expected. remedy: how the error ends."""
    if found != expected:
        raise BenchError(
            f"{path}: found a shard of another configuration ({found}), expected {expected}; "
            f"{remedy}"
        )
