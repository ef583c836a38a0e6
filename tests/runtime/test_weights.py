"""Weights are taken if they are floating point numbers of any width, all of them finite."""

import pytest
import torch

from bench.runtime import weights
from bench.runtime.errors import BenchError

TYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn]


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_floats_of_any_width(dtype):
    weights.check({"a": torch.ones(3).to(dtype), "b": torch.zeros(0, dtype=dtype)}, "here", "")


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64], ids=str)
def test_other_types(dtype):
    with pytest.raises(BenchError, match=f"^here: b: found {dtype}, expected floating.*; again$"):
        weights.check({"a": torch.ones(1), "b": torch.ones(1).to(dtype)}, "here", "again")


def test_names_of_missing_and_unknown_tensors():
    weights.check_keys([], [], "here", "again")
    with pytest.raises(BenchError, match="^here: missing tensors: a, b, c and 1 more; again$"):
        weights.check_keys(["d", "c", "b", "a"], ["e"], "here", "again")
    with pytest.raises(BenchError, match="^here: unknown tensors: e; again$"):
        weights.check_keys([], ["e"], "here", "again")
