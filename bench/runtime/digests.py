"""Short names of contents: the first 16 hexadecimal digits of a SHA-256."""

import hashlib
import json
from pathlib import Path
from typing import Any

from bench.runtime import files, records

LENGTH = 16


def digest(value: Any) -> str:
    """The digest of bytes, or of the canonical JSON of any other value."""
    data = value if isinstance(value, bytes) else json.dumps(value, sort_keys=True).encode()
    return short(hashlib.sha256(data))


def short(sha256: Any) -> str:
    """The first 16 hexadecimal digits of a `hashlib.sha256`."""
    return sha256.hexdigest()[:LENGTH]


def digest_of(path: str | Path) -> str:
    """The digest of a file: of its name and bytes; or of all files in a folder that are not hidden.

    Raises BenchError if the path is missing or cannot be read.
    """
    with files.reading(path) as path:
        contents = [
            [str(member.relative_to(path)), records.sha256(member)[:LENGTH]]
            for member in records.members(path)
        ]
        return digest(contents)
