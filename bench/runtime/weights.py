"""Weights of networks, as they are read: floating point numbers, and finite."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from bench.runtime import files
from bench.runtime.errors import BenchError


def read(path: str | Path, remedy: str | None = None) -> dict[str, Tensor]:
    """The state dict of a safetensors file, on the CPU.

    remedy: the end of an error, by default the command that makes the file. BenchError if the file
    is missing or damaged, or if its values are not as `check` wants them.
    """
    state = files.read_safetensors(path, remedy)
    check(state, path, remedy or files.remake(path))
    return state


def check(state: Mapping[str, Tensor], where: object, remedy: str) -> None:
    """BenchError that names the first tensor of integers, or with NaN or infinite values.

    where: what the error calls the state dict; remedy: how it ends.
    """
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            fault = f"found {tensor.dtype}, expected floating point numbers"
        elif not torch.isfinite(tensor.float()).all():
            fault = "found NaN or infinite values, expected finite ones"
        else:
            continue
        raise BenchError(f"{where}: {name}: {fault}; {remedy}")


def check_keys(missing: list[str], unexpected: list[str], where: object, remedy: str) -> None:
    """BenchError if a state dict lacks a tensor of a network, or has another one."""
    for what, names in (("missing", missing), ("unknown", unexpected)):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            listed = ", ".join(sorted(names)[:3])
            raise BenchError(f"{where}: {what} tensors: {listed}{more}; {remedy}")
