"""Files of a data set, found by their names in a folder or in an archive of it.

An archive is a `.tgz` or a Debian package, which holds a tar archive. It is read in place, in one
pass, member by member. Nothing is extracted, so no path inside it becomes a path here.
"""

import contextlib
import gzip
import lzma
import os
import tarfile
from collections.abc import Callable, Iterable
from io import BufferedIOBase
from pathlib import Path, PurePosixPath
from typing import Any

from bench.runtime import files
from bench.runtime.errors import BenchError, one_line

DEBIAN = b"!<arch>\n"
DEBIAN_DATA = "data.tar.xz"


def read(
    where: str,
    path: str | Path,
    wanted: dict[str, str],
    parse: Callable[[str, str, BufferedIOBase], Any],
    expected: str,
    archives: Iterable[str] = (),
) -> dict[str, Any]:
    """{name: parse(name for errors, name, open binary file)} of the files that exist.

    where: what the errors call the path. path: a folder or an archive. wanted: {path in the
    archive: name}. In a folder, the file a/b/c
    may also be b/c or c. If a folder has none of the files, the first archive in it is read;
    `archives` are patterns of the archives' names. expected: the data set in words, for the errors.
    Raises BenchError if the path is missing, or its content cannot be read.
    """
    if not os.path.exists(path):
        raise BenchError(f"{where}: no such file or folder; expected {expected}")
    files.check_readable(where, path, f"expected {expected}")
    with one_line(f"{where}: truncated or not readable", f"expected {expected}"):
        if not os.path.isdir(path):
            return _from_archive(where, path, wanted, parse)
        members = _find(Path(path), wanted)
        archive = None if members else _first(Path(path), archives)
        if archive:
            return _from_archive(f"{where}: {archive.name}", archive, wanted, parse)
        values = {}
        for name, file in members.items():
            with open(file, "rb") as content:
                values[name] = parse(f"{where}: {file.relative_to(path)}", name, content)
        return values


def _first(folder, patterns):
    """The first file of the folder that matches a pattern, or None."""
    for pattern in patterns:
        for file in sorted(folder.glob(pattern)):
            if file.is_file():
                return file
    return None


def _find(folder, wanted):
    """{name: path} of the files in the folder."""
    members = {}
    for member, name in wanted.items():
        parts = PurePosixPath(member).parts
        for first in range(len(parts)):
            file = folder.joinpath(*parts[first:])
            if name not in members and file.is_file():
                members[name] = file
    return members


def _from_archive(where, path, wanted, parse):
    """What `read` returns for an archive."""
    values = {}
    with _tar(where, path) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            name = wanted.get(member.name.removeprefix("./"))
            if name is None:
                continue
            if not member.isreg() or member.issparse() or name in values:
                fault = "a link, a folder or a device"
                if name in values:
                    fault = "a second member of this name"
                raise BenchError(
                    f"{where}: {member.name}: found {fault}; expected one regular file"
                )
            values[name] = parse(f"{where}: {member.name}", name, archive.extractfile(member))
        while stream.read(1 << 20):  # gzip compares its checksum at the end
            pass
    return values


@contextlib.contextmanager
def _tar(where, path):
    """The tar archive inside a file, as an open stream."""
    with open(path, "rb") as file:
        if file.read(len(DEBIAN)) != DEBIAN:
            file.seek(0)
            with gzip.open(file) as stream:
                yield stream
            return
        # An ar archive: each member has a header of 60 bytes; its content has an even length.
        while header := file.read(60):
            name = header[:16].decode("latin1").rstrip(" /")
            if name == DEBIAN_DATA:
                with lzma.open(file) as stream:
                    yield stream
                return
            size = int(header[48:58])
            file.seek(size + size % 2, os.SEEK_CUR)
        raise BenchError(f"{where}: {DEBIAN_DATA} not found; expected it in a Debian package")
