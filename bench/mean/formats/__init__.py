"""Formats of published checkpoints: one small file each, a table of what the keys' names mean.

A format is a module of this package with a function `read(state, …)`. It converts a state dict to a
`bench.mean.conversion.Network`, and raises BenchError for one of another architecture. A setting
names the module in `mean.published.format`, or a format of another package: an entry point of the
group `bench.formats`, or `package.module`. The function's other arguments are what the file does
not say about itself. They are keys of `mean.published`, checked against their annotations.
"""

import pkgutil
from types import ModuleType
from typing import Any

from pydantic import BaseModel

from bench.runtime import plugins
from bench.runtime.fields import arguments

FORMATS = sorted(module.name for module in pkgutil.iter_modules(__path__))


def get(name: str) -> ModuleType | Any:
    """The format module called `name`, or what has its functions in another package.

    BenchError for an unknown one, or for one without `read`.
    """
    return plugins.load_module("format", "bench.formats", __name__, FORMATS, ["read"], name)


def options(name: str) -> type[BaseModel]:
    """The pydantic model of the arguments of the format `name` beside the state dict."""
    return arguments(name, get(name).read, first=1)
