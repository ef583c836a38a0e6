"""Records: what an artifact holds, what it was made of, and what made it.

With everything that is written to results/ goes a record: `.record` inside a folder, and
`.<name>.record` beside a file. It has the digests of the content and of the files that the job read
before, and the version, commit and command that made it. What is read is checked against its
record, so a flipped bit is an error and not a result.

A process checks a file once. A file larger than `LARGE` is checked once in a run of Snakemake,
which sets BENCH_RUN: a stamp in results/.checked/ says so to the jobs that follow.

No record have configurations, which people edit, hidden files, and files outside results/.
"""

import contextlib
import hashlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field, ValidationError

import bench
from bench.runtime import filesystem, paths
from bench.runtime.errors import BenchError, reason

LARGE = 64 << 20  # bytes
RUN = "BENCH_RUN"  # in the environment: the run of Snakemake
OF_FOLDER = ".record"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Maker(BaseModel):
    """What made an artifact. commit: of the git checkout that the package lies in, if it does."""

    model_config = ConfigDict(extra="forbid")

    version: str
    commit: str | None
    command: str | None


class Record(BaseModel):
    """The record of an artifact.

    content: {name of the file, within the folder if the artifact is one: SHA-256}; inputs: {path of
    what the job had read: SHA-256}.
    """

    model_config = ConfigDict(extra="forbid")

    content: dict[str, Sha256]
    inputs: dict[str, Sha256]
    made_by: Maker


@dataclass
class _Job:
    """What this process is at.

    inputs: {path: SHA-256} of what it has read; outputs: paths of what it has written.
    """

    command: str | None = None
    inputs: dict[str, str] = field(default_factory=dict)
    outputs: list[Path] = field(default_factory=list)


_job = _Job()
_digests = {}  # {(path, mtime, size, inode): SHA-256} of files that were checked


@contextlib.contextmanager
def job(command: str) -> Iterator[None]:
    """Records that are written in the `with` block name this command, and what is read in it."""
    global _job
    before, _job = _job, _Job(command)
    try:
        yield
    finally:
        _job = before


def maker() -> Maker:
    """What makes the files that this job writes."""
    return Maker(version=bench.__version__, commit=commit(), command=_job.command)


def note_output(path: Path) -> None:
    """Notes that the job has written a file or folder."""
    _job.outputs.append(path)


def inputs() -> dict[str, str]:
    """{path: SHA-256} of what the job has read in results/ so far, sorted by path."""
    return dict(sorted(_job.inputs.items()))


def outputs() -> list[Path]:
    """The targets in results/ that the job has written and that are still there, each once."""
    targets = dict.fromkeys(map(paths.target, _job.outputs))
    return [target for target in targets if _inside_results(target) and target.exists()]


def kept(path: str | Path) -> bool:
    """Whether a file or folder has a record, or is part of what has one."""
    inside = _inside_results(path)
    if inside is None or inside.name == paths.Tables().config.name:
        return False
    hidden = [part for part in inside.parts if part.startswith(".")]
    return hidden in ([], [paths.FEATURES.name])


def _inside_results(path):
    """The path relative to results/; None outside. Links are not followed."""
    path, results = Path(os.path.abspath(path)), Path(os.path.abspath(paths.RESULTS))
    if path == results or not path.is_relative_to(results):
        return None
    return path.relative_to(results)


def beside(path: str | Path) -> Path:
    """Where the record of a file is."""
    return Path(path).with_name(f".{Path(path).name}.record")


def members(path: Path) -> list[Path]:
    """The file `path` itself, or the files in a folder that are not hidden, in order."""
    if not path.is_dir():
        return [path]
    found = sorted(path.rglob("*"))
    return [member for member in found if member.is_file() and not member.name.startswith(".")]


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, which may be more than fit in memory."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(partial: Path, path: Path) -> None:
    """Writes the record of what is about to be renamed from `partial` to `path`, if it has one.

    So whoever is killed in between leaves a file that is not the one of its record.
    """
    if not kept(path):
        return
    names = {partial: path.name} if partial.is_file() else {}
    content = {
        names.get(member, member.relative_to(partial).as_posix()): sha256(member)
        for member in members(partial)
    }
    record = Record(content=content, inputs=_job.inputs, made_by=maker())
    text = record.model_dump_json(indent=1)
    if partial.is_dir():
        (partial / OF_FOLDER).write_text(text, encoding="utf-8")
        return
    unfinished = filesystem.beside(beside(path), "partial")
    try:
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, beside(path))
    finally:
        unfinished.unlink(missing_ok=True)


def check(path: Path, remedy: str) -> None:
    """Checks a file, or every file of a folder, against its record, and notes it as an input.

    Raises BenchError, which ends in `remedy`, if there is no record, or if the content is another.
    A file without a record of its own (see `kept`) is noted only.
    """
    nearest = _nearest(path / OF_FOLDER) if path.is_dir() and kept(path) else None
    if nearest:
        for name in _read(nearest[0], path, remedy).content:
            file = nearest[0].parent / name
            if file.is_relative_to(path) and not file.exists():
                raise BenchError(f"{file}: missing; {remedy}")
    for file in members(path):
        _job.inputs[str(file)] = _checked(file, remedy)


def _checked(path, remedy):
    """The SHA-256 of a file. BenchError if its record says another."""
    status = path.stat()
    key = os.path.abspath(path), status.st_mtime_ns, status.st_size, status.st_ino
    if key in _digests:
        return _digests[key]
    if not kept(path):
        _digests[key] = sha256(path)
        return _digests[key]
    nearest = _nearest(path)
    expected = _read(nearest[0], path, remedy).content.get(nearest[1]) if nearest else None
    if expected is None:
        raise BenchError(
            f"{path}: found no record of it, expected the one that is written with it; {remedy}"
        )
    found = _once_a_run(path, key, expected) if status.st_size > LARGE else sha256(path)
    if found != expected:
        raise BenchError(
            f"{path}: corrupt or truncated (found SHA-256 {found[:16]}, expected {expected[:16]} "
            f"as in its record); {remedy}"
        )
    _digests[key] = found
    return found


def _nearest(path):
    """(record, name in it) of a file, beside it or of a folder that it lies in; None without."""
    if beside(path).is_file():
        return beside(path), path.name
    depth = len(_inside_results(path).parts) - 1
    for folder in list(path.parents)[:depth]:
        if (folder / OF_FOLDER).is_file():
            return folder / OF_FOLDER, path.relative_to(folder).as_posix()
    return None


def _read(record, path, remedy):
    """The `Record` in a file, of `path`."""
    try:
        return Record.model_validate_json(record.read_bytes())
    except (ValidationError, OSError) as error:
        why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else reason(error)
        raise BenchError(
            f"{path}: its record {record.name} cannot be read ({why}); {remedy}"
        ) from error


def _once_a_run(path, key, expected):
    """The SHA-256 of a file, which is `expected` if this run has found it so before."""
    run = os.environ.get(RUN)
    if not run:
        return sha256(path)
    stamp = paths.CHECKED / hashlib.sha256(key[0].encode()).hexdigest()[:16]
    text = " ".join(map(str, (run, *key, expected)))
    stamp.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(stamp.with_name(f"{stamp.name}.lock")):  # jobs that start together check it once
        if stamp.is_file() and stamp.read_text() == text:
            return expected
        found = sha256(path)
        if found == expected:
            with contextlib.suppress(OSError):  # on a full disk the next job checks again
                stamp.write_text(text)
        return found


@cache
def commit() -> str | None:
    """The git commit of the code, with '-dirty' if the tree has uncommitted changes.

    None if the package does not lie in a checkout.
    """
    folder = Path(bench.__file__).parents[1]
    if not (folder / ".git").exists():  # an installed package may lie in another's checkout
        return None
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        described = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return described.stdout.strip()
