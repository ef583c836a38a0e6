"""Short names of contents: the first 16 hexadecimal digits of a SHA-256."""

import hashlib
import json
from pathlib import Path
from typing import Any

from bench.runtime import files


def digest(value: Any) -> str:
    """The digest of bytes, or of the canonical JSON of any other value."""
    data = value if isinstance(value, bytes) else json.dumps(value, sort_keys=True).encode()
    return short(hashlib.sha256(data))


def short(sha256: Any) -> str:
    """The first 16 hexadecimal digits of a `hashlib.sha256`."""
    return sha256.hexdigest()[:16]


def digest_of(path: str | Path) -> str:
    """The digest of a file: of its name and bytes; or of all files in a folder that are not hidden.

    Raises BenchError if the path is missing or cannot be read.
    """
    with files.reading(path) as path:
        members = [path]
        if path.is_dir():
            members = [member for member in sorted(path.rglob("*")) if _counts(member)]
        return digest([[str(member.relative_to(path)), _of_bytes(member)] for member in members])


def _counts(member):
    return member.is_file() and not member.name.startswith(".")


def _of_bytes(path):
    """The digest of a file's bytes, which may be more than fit in memory."""
    with open(path, "rb") as file:
        return short(hashlib.file_digest(file, "sha256"))
