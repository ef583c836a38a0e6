"""Files from the internet: whole and checked, or absent.

A file is downloaded to `.<name>.partial` beside its final name and renamed when it is complete and
its checksum is right. A download that is cut off leaves the partial file, from which the next one
goes on. It does so only if there is a checksum: without one, nothing shows whether the beginning is
still that of the same file.
"""

import hashlib
import http.client
import os
import re
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from bench.runtime import files
from bench.runtime.errors import BenchError, reason

ADDRESS = r"(?i:https?|file)://[\x21-\x7e]+"
TIMEOUT = 30.0  # seconds without a byte
CHUNK = 1 << 16


def fetch(url: str, path: str | Path, sha256: str | None = None, md5: str | None = None) -> Path:
    """Downloads `url` to `path`, unless a file with the right checksums is there; returns the path.

    url: http, https or file; sha256, md5: checksums in hexadecimal. Without one, any file at `path`
    is right; one with a wrong checksum stays until a right one replaces it. Waits for another
    process that downloads to the same path. Raises BenchError if the address cannot be reached,
    the download ends early, a checksum is wrong (the download is removed), or the file cannot be
    written.
    """
    path, checksums = Path(path), {"sha256": sha256, "md5": md5}
    if not re.fullmatch(ADDRESS, url):
        raise BenchError(
            f"{url!r}: expected an address that begins with http://, https:// or file://, "
            "without spaces"
        )
    if path.is_dir():
        raise BenchError(f"{path}: found a folder, expected a file or nothing")
    try:
        if path.exists() and not wrong(path, checksums):
            return path
        with files.alone(path):
            # What another process downloaded while this one waited for it is not downloaded again.
            if not path.exists() or wrong(path, checksums):
                partial = path.with_name(f".{path.name}.partial")
                _download(url, path, partial, resume=bool(sha256 or md5))
                _finish(url, path, partial, checksums)
    except OSError as error:
        raise BenchError(f"{path}: cannot be written ({error.strerror or error})") from error
    return path


def _finish(url, path, partial, checksums):
    """Gives the partial file its name, or removes it if a checksum is wrong."""
    problem = wrong(partial, checksums)
    if problem:
        partial.unlink()
        raise BenchError(f"{path}: {problem}; what came from {url} was removed")
    os.replace(partial, path)


def wrong(path: str | Path, checksums: dict[str, str | None]) -> str | None:
    """The first checksum that a file does not have, in words; None if all are right.

    checksums: {"sha256" or "md5": hexadecimal digits or None}.
    """
    kinds = {"sha256": hashlib.sha256, "md5": lambda: hashlib.md5(usedforsecurity=False)}
    for kind, expected in checksums.items():
        if expected:
            with open(path, "rb") as file:
                actual = hashlib.file_digest(file, kinds[kind]).hexdigest()
            if actual != expected.lower():
                return f"found {kind} {actual}, expected {expected.lower()}"
    return None


def _download(url, path, partial, resume):
    """Writes what is at `url` to the partial file, behind what is there if `resume`."""
    there = partial.stat().st_size if resume and partial.exists() else 0
    response, have = _open(url, path, there)
    length = response.headers.get("Content-Length") or ""
    total = have + int(length) if length.isdecimal() else None
    bar = tqdm(
        total=total,
        initial=have,
        desc=path.name,
        unit="B",
        unit_scale=True,
        unit_divisor=1024,
        mininterval=1.0,
    )
    with response, bar, open(partial, "ab") as file:
        file.truncate(have)
        while chunk := _called(url, path, response.read, CHUNK):
            file.write(chunk)
            bar.update(len(chunk))
    size = partial.stat().st_size
    if total is not None and size != total:
        raise BenchError(
            f"{path}: the download from {url} ended after {size} of {total} bytes; run it again"
        )


def _open(url, path, have):
    """(response, first byte): the file from byte `have` on, or all if the server sends no part."""
    if not have:
        return _called(url, path, _opener().open, url, timeout=TIMEOUT), 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"})
    try:
        response = _called(url, path, _opener().open, request, timeout=TIMEOUT)
    except BenchError as error:
        # 416: the partial file is as long as the file or longer.
        if getattr(error.__cause__, "code", None) == 416:
            return _open(url, path, 0)
        raise
    if response.status != 206:
        return response, 0
    begins = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if begins and int(begins[1]) == have:
        return response, have
    response.close()
    return _open(url, path, 0)


def _opener():
    """An opener of the three schemes; urllib's own would follow a redirection to ftp."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        "Proxy",
        "Unknown",
        "HTTP",
        "HTTPS",
        "File",
        "HTTPDefaultError",
        "HTTPRedirect",
    ):
        opener.add_handler(getattr(urllib.request, f"{handler}Handler")())
    opener.add_handler(urllib.request.HTTPErrorProcessor())
    return opener


def _called(url, path, function, *arguments, **keywords):
    """What a function of the network returns. Raises BenchError that names `url` if it fails."""
    try:
        return function(*arguments, **keywords)
    except urllib.error.HTTPError as error:
        error.close()
        raise BenchError(
            f"{path}: {url} answers {error.code} {' '.join(str(error.reason).split())[:80]}"
        ) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = reason(getattr(error, "reason", error))
        raise BenchError(
            f"{path}: {url} cannot be read ({why}); run it again when it is"
        ) from error
