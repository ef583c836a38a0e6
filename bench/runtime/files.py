"""Files that are whole or absent.

Everything is written to `.<name>.<machine>-<process>.partial` beside its final name and renamed
when complete, so that a killed job leaves nothing that looks finished. No two processes share such
a name. So if two write the same, because a lock did not exclude one of them, the files of the two
do not mix: those of one stay, whole, and the other may end with an error.

Everything is read through this module, so that a missing, truncated or corrupt file is named
together with the command that makes it again. What lies in results/ is checked against its record,
see `bench.runtime.records`.
"""

import contextlib
import errno
import json
import os
import shlex
import shutil
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.lib import format as npy
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError

from bench.runtime import filesystem, paths, records
from bench.runtime.errors import BenchError, one_line, problem

PATIENCE = 1.0  # seconds of waiting for another process before a line says so
OPTIONS = "BENCH_SNAKEMAKE"  # in the environment: of the run of Snakemake, its files and config


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path. The file or folder written there gets its final name on success.

    A folder replaces a folder, a file never does. In results/ a record is written with it. Raises
    BenchError that names the path if the folder cannot be written or the disk is full.
    """
    path = Path(path)
    partial = filesystem.beside(path, "partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for leftover in filesystem.leftovers(path):
            remove(leftover)
        yield partial
        if path.is_dir() and not partial.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        records.write(partial, path)
        _replace(path, partial)
        records.note_output(path)
    except (OSError, SafetensorError) as error:
        raise BenchError(
            f"{path}: cannot be written ({getattr(error, 'strerror', None) or error})"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            remove(partial)


def _replace(path, partial):
    """Renames `partial` to `path`. A folder there goes at once: a kill leaves no part of it."""
    old = filesystem.beside(path, "old")
    if path.is_dir():
        os.replace(path, old)
    os.replace(partial, path)
    remove(old)


@contextlib.contextmanager
def alone(path: str | Path) -> Iterator[None]:
    """Lets one process at a time into the `with` block of a path, which need not exist.

    A process that waits says so on stderr. The lock is on a file `.<name>.lock` beside it, which
    stays. The kernel releases it when a process ends, however it ends. Raises BenchError if the
    file cannot be made.
    """
    path = Path(path)
    lock = FileLock(path.with_name(f".{path.name.lstrip('.')}.lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        print(f"{path}: another process is at work on it; waiting for its end", file=sys.stderr)
        lock.acquire()
    except OSError as error:
        if error.errno in filesystem.NO_LOCKS:
            raise filesystem.no_locks(path, error) from error
        raise BenchError(f"{path}: cannot be written ({error.strerror or error})") from error
    try:
        yield
    finally:
        lock.release()


def check_new(path: str | Path, key: str) -> None:
    """BenchError that begins with `key` unless `path` is a regular file or nothing.

    What a person names as an output is not replaced if it is a folder, a device or a link.
    """
    if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
        raise BenchError(f"{key}: {path}: found {kind(path)}, expected a file or nothing there")


def kind(path: str | Path) -> str:
    """What is at `path`, in words; a link is a link."""
    mode = os.lstat(path).st_mode
    kinds = {"a folder": stat.S_ISDIR, "a file": stat.S_ISREG, "a link": stat.S_ISLNK}
    kinds |= {"a FIFO": stat.S_ISFIFO, "a device": stat.S_ISCHR, "a socket": stat.S_ISSOCK}
    return next((name for name, test in kinds.items() if test(mode)), "a device")


def check_readable(where: str, path: str | Path, remedy: str) -> None:
    """BenchError that begins with `where` if `path` is there and neither file nor folder.

    A FIFO would be waited for without end, and /dev/zero read without end.
    """
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        what = kind(os.path.realpath(path))
        raise BenchError(f"{where}: found {what}, which is not read; {remedy}")


def remove(path: str | Path) -> None:
    """Deletes a file with its record, or a folder, if it is there."""
    path = Path(path)
    if path.is_dir():
        shutil.rmtree(path)
        return
    path.unlink(missing_ok=True)
    if records.kept(path):
        records.beside(path).unlink(missing_ok=True)


def write_json(path: str | Path, value: Any) -> None:
    """Writes a value as indented JSON."""
    with writing(path) as partial:
        partial.write_text(json.dumps(value, indent=2) + "\n")


def write_text(path: str | Path, text: str) -> None:
    """Writes a text in UTF-8."""
    with writing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_csv(path: str | Path, frame: Any) -> None:
    """Writes a pandas frame without its index; floats in the fewest digits that read back equal."""
    with writing(path) as partial:
        frame.to_csv(partial, index=False)


def write_parquet(path: str | Path, frame: Any) -> None:
    """Writes a pandas frame without its index."""
    with writing(path) as partial:
        frame.to_parquet(partial, index=False)


def write_npz(path: str | Path, **arrays: Any) -> None:
    """Writes named arrays as an uncompressed npz file; equal arrays give equal bytes."""
    with writing(path) as partial, open(partial, "wb") as file:
        np.savez(file, **arrays)


def write_arrays(folder: str | Path, arrays: Mapping[str, Any]) -> None:
    """Writes {name: array} as a folder of <name>.npy files; equal arrays give equal bytes."""
    with writing(folder) as partial:
        partial.mkdir()
        for name, array in arrays.items():
            np.save(partial / f"{name}.npy", array)


def write_npy(
    path: str | Path, shape: tuple[int, ...], dtype: np.dtype, pieces: Iterable[np.ndarray]
) -> None:
    """Writes an npy array piece by piece. pieces: contiguous arrays of its rows, in order.

    The file is not renamed at the end, so it belongs in a folder that is being written (see
    `writing`). There is no memory map, which would kill the process on a full disk. Raises
    BenchError if the pieces are not those of the shape.
    """
    with open(path, "wb") as file:
        npy.write_array_header_1_0(
            file, {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        )
        count = 0
        for piece in pieces:
            if piece.shape[1:] != shape[1:] or piece.dtype != dtype:
                raise BenchError(
                    f"{path}: found {piece.dtype} {piece.shape[1:]}, expected {dtype} {shape[1:]}"
                )
            file.write(piece)
            count += len(piece)
        if count != shape[0]:
            raise BenchError(f"{path}: found {count} rows, expected {shape[0]}")


@contextlib.contextmanager
def reading(path: str | Path, remedy: str | None = None) -> Iterator[Path]:
    """Turns any failure to read `path` into one line that names it and the remedy.

    So is a content that is not the one of its record, see `bench.runtime.records`. The default
    remedy is the command that makes the file, see `remake`.
    """
    path = Path(path)
    remedy = remedy or remake(path)
    if not os.path.exists(path):
        raise BenchError(f"{path}: missing; {remedy}")
    check_readable(str(path), path, remedy)
    with one_line(f"{path}: corrupt or truncated", remedy):
        records.check(path, remedy)
        yield path


def check(path: str | Path) -> None:
    """BenchError unless a file or folder is there and is the one of its record; see `reading`."""
    with reading(path):
        pass


def remake(path: str | Path) -> str:
    """The command that makes a file: the end of an error about it. It forces an existing target."""
    target, options = paths.target(path), shlex.split(os.environ.get(OPTIONS, ""))
    if target.exists():
        options = ["--forcerun", str(target), *options]
    if options:
        options += ["--"]  # or --configfile and --forcerun take the target, too
    again = " again" if Path(path).exists() else ""
    command = shlex.join(["snakemake", "--cores", "all", *options, str(target)])
    return f"make it{again} with: {command}"


@contextlib.contextmanager
def options_beside(config: str | Path) -> Iterator[None]:
    """`remake` names in the `with` block the options of the run that wrote a configuration.

    That run left them beside it: a configuration does not say which files it was made of.
    """
    path = Path(config).with_name(paths.Tables().options.name)
    with naming_options(path.read_text(encoding="utf-8") if path.is_file() else ""):
        yield


@contextlib.contextmanager
def naming_options(options: str) -> Iterator[None]:
    """`remake` names these options in the `with` block. Those of a run that is going on come
    first.

    options: as a line of the shell.
    """
    if OPTIONS in os.environ or not options:
        yield
        return
    os.environ[OPTIONS] = options
    try:
        yield
    finally:
        del os.environ[OPTIONS]


def read_json(path: str | Path, kind: Any = Any, remedy: str | None = None) -> Any:
    """The value of a JSON file, of a type `kind` that pydantic checks.

    BenchError that names the key if the value is of another.
    """
    with reading(path, remedy):
        try:
            return TypeAdapter(kind).validate_json(Path(path).read_bytes(), strict=True)
        except ValidationError as error:
            if error.errors()[0]["type"] == "json_invalid":
                raise ValueError(error.errors()[0]["msg"]) from error
            raise BenchError(f"{path}: {problem(error)}; {remedy or remake(path)}") from error


def read_npz(path: str | Path, remedy: str | None = None) -> dict[str, np.ndarray]:
    """All arrays of an npz file as a dict; object arrays are refused."""
    with reading(path, remedy), np.load(path, allow_pickle=False) as archive:
        names = archive.files
        if len(set(names)) < len(names):
            raise ValueError("an array stands there twice")
        return {name: archive[name] for name in names}


def read_npy(path: str | Path, remedy: str | None = None) -> np.ndarray:
    """A memory-mapped npy array; object arrays are refused."""
    with reading(path, remedy):
        return np.load(path, mmap_mode="r", allow_pickle=False)


def read_arrays(
    folder: str | Path, names: Iterable[str], remedy: str | None = None
) -> dict[str, np.ndarray]:
    """{name: memory-mapped array} of a folder that `write_arrays` wrote.

    Memory is taken only for the values that are read. Raises BenchError if one of `names` is
    missing or damaged.
    """
    return {name: read_npy(Path(folder) / f"{name}.npy", remedy) for name in names}


def read_csv(path: str | Path, columns: Iterable[str] = ()) -> Any:
    """A pandas frame from a csv file. BenchError if it lacks one of `columns`."""
    import pandas

    with reading(path):
        return _with_columns(path, pandas.read_csv(path), columns)


def read_parquet(path: str | Path, columns: Iterable[str] = ()) -> Any:
    """A pandas frame from a parquet file. BenchError if it lacks one of `columns`."""
    import pandas

    with reading(path):
        return _with_columns(path, pandas.read_parquet(path), columns)


def _with_columns(path, frame, columns):
    for column in columns:
        if column not in frame:
            raise BenchError(f"{path}: column {column!r}: missing; {remake(path)}")
    return frame


def read_safetensors(path: str | Path, remedy: str | None = None) -> dict[str, Any]:
    """The tensors of a safetensors file as a state dict on the CPU."""
    from safetensors.torch import load_file

    with reading(path, remedy):
        return load_file(path)


def write_safetensors(path: str | Path, state: Mapping[str, Any]) -> None:
    """Writes a state dict."""
    from safetensors.torch import save_file

    with writing(path) as partial:
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, partial)
