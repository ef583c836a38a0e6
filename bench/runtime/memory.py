"""What does not fit this machine's memory is refused before anything is allocated."""

import psutil

from bench.runtime.errors import BenchError, shown


def check(key: str, value: object, size: int, what: str) -> None:
    """BenchError unless `size` bytes fit this machine's memory.

    key, value: of the configuration or the command line; what: takes the memory.
    """
    total = psutil.virtual_memory().total
    if size > total:
        raise BenchError(
            f"{key}: found {shown(value)}, with which {what} would take {gigabytes(size)}; "
            f"expected what fits the {gigabytes(total)} of this machine's memory"
        )


def gigabytes(size: int) -> str:
    """A number of bytes in words."""
    return f"{max(1, size // 10**9):,} GB"
