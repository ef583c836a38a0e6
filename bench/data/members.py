"""Files of a data set, found by their names in a folder or in an archive of it.

An archive is a `.tgz` or a Debian package, which holds a tar archive. It is read in place, in one
pass, member by member. Nothing is extracted, so no path inside it becomes a path here.
"""

import contextlib
import gzip
import lzma
import os
import tarfile
from pathlib import Path, PurePosixPath

from bench.runtime.errors import BenchError, one_line

DEBIAN = b"!<arch>\n"
DEBIAN_DATA = "data.tar.xz"


def read(where, path, wanted, parse, expected, archives=()):
    """{name: parse(name for errors, name, open binary file)} of the files that exist.

    path: a folder or an archive. wanted: {path in the archive: name}. In a folder, the file a/b/c
    may also be b/c or c. If a folder has none of the files, the first archive in it is read;
    `archives` are patterns of the archives' names. expected: the data set in words, for the errors.
    Raises BenchError if the path is missing, or its content cannot be read.
    """
    if not os.path.exists(path):
        raise BenchError(f"{where}: no such file or folder; expected {expected}")
    with one_line(f"{where}: truncated or not readable", f"expected {expected}"):
        if not os.path.isdir(path):
            return _from_archive(where, path, wanted, parse)
        found = _find(Path(path), wanted)
        inside = (
            []
            if found
            else [archive for pattern in archives for archive in sorted(Path(path).glob(pattern))]
        )
        if inside:
            return _from_archive(f"{where}: {inside[0].name}", inside[0], wanted, parse)
        return {
            name: _parsed(f"{where}: {file.relative_to(path)}", name, file, parse)
            for name, file in found.items()
        }


def _find(folder, wanted):
    """{name: path} of the files in the folder."""
    found = {}
    for member, name in wanted.items():
        parts = PurePosixPath(member).parts
        for first in range(len(parts)):
            file = folder.joinpath(*parts[first:])
            if name not in found and file.is_file():
                found[name] = file
    return found


def _parsed(where, name, path, parse):
    with open(path, "rb") as file:
        return parse(where, name, file)


def _from_archive(where, path, wanted, parse):
    """What `read` returns, of an archive."""
    found = {}
    with _tar(where, path) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            name = wanted.get(member.name.removeprefix("./"))
            if name is None:
                continue
            if not member.isreg() or member.issparse() or name in found:
                what = (
                    "a second member of this name"
                    if name in found
                    else "a link, a folder or a device"
                )
                raise BenchError(f"{where}: {member.name}: found {what}; expected one regular file")
            found[name] = parse(f"{where}: {member.name}", name, archive.extractfile(member))
        while stream.read(1 << 20):  # gzip compares its checksum at the end
            pass
    return found


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
