"""Sizes are compared with the memory that the machine has, and given in words."""

import psutil
import pytest

from bench.runtime import memory
from bench.runtime.errors import BenchError


def test_what_fits_is_accepted_and_a_byte_more_refused():
    total = psutil.virtual_memory().total
    memory.check("key", 1, total, "it")
    with pytest.raises(BenchError, match="key: found 1, with which it would take"):
        memory.check("key", 1, total + 1, "it")


@pytest.mark.parametrize(
    "size, words", [(1, "1 GB"), (8 * 10**15, "8,000,000 GB"), (2_999_999_999, "2 GB")]
)
def test_words(size, words):
    assert memory.gigabytes(size) == words
