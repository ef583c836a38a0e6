"""Formats of published checkpoints: one small file each, a table of what the keys' names mean.

A format is a module of this package with a function `read(state, …)`. It converts a state dict to a
`bench.mean.conversion.Network`, and raises BenchError for one of another architecture. A setting
names the module in `mean.published.format`. The function's other arguments are what the file does
not say about itself. They are keys of `mean.published`, checked against their annotations.
"""

import importlib
import inspect
import pkgutil
from types import ModuleType

from pydantic import BaseModel, ConfigDict, create_model

from bench.runtime.errors import unknown

FORMATS = sorted(module.name for module in pkgutil.iter_modules(__path__))


def get(name: str) -> ModuleType:
    """The format module called `name`; BenchError for an unknown one."""
    if name not in FORMATS:
        raise unknown("format", name, FORMATS)
    return importlib.import_module(f"{__name__}.{name}")


def options(name: str) -> type[BaseModel]:
    """The pydantic model of the arguments of the format `name` beside the state dict."""
    _, *parameters = inspect.signature(get(name).read).parameters.values()
    fields = {
        key.name: (key.annotation, ... if key.default is key.empty else key.default)
        for key in parameters
    }
    return create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
