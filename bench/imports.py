"""Imports of diffusers, torch-fidelity and clean-fid: such that they succeed beside a CPU-only torch, and without what is
slow to load and of no use here.

PyPI's torchvision is built against CUDA torch; beside a CPU build its compiled operators do not load, and the
import dies when it registers fake kernels for `nms` and `qnms`. Declaring the two schemas first is all that
diffusers, torch-fidelity and clean-fid need. Where torchvision's own operators load, nothing is declared.

While they are imported, these packages also load torch._dynamo (to mark what torch.compile treats apart, and for torchvision's
roi_align) and scipy.stats (for schedulers), seconds at the start of every stage. Nothing here is compiled, and none of that
is called: `light` puts stand-ins there for the time of the import.
"""

import contextlib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

SCHEMAS = {"nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
           "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"}


def _unmarked(what=None, *args, **kwargs):
    """A decorator that returns what it is given, be it used with parentheses or without."""
    return _unmarked if what is None else what


def _is_compile_supported(device_type):
    from torch._dynamo.utils import is_compile_supported

    return is_compile_supported(device_type)


# module → what is taken from it while others are imported: marks that are left out, and a function that waits for its call
STAND_INS = {"torch._dynamo": {"allow_in_graph": _unmarked, "disable": _unmarked},
             "torch._dynamo.utils": {"is_compile_supported": _is_compile_supported},
             "scipy.stats": {}}


class _StandIn(ModuleType):
    """Stands for a module that is not imported before someone takes what is not `given`."""

    def __init__(self, name, given):
        super().__init__(name)
        self.__spec__ = importlib.util.find_spec(name)
        self.__path__ = self.__spec__.submodule_search_locations or []  # where its submodules are found
        vars(self).update(given)

    def __getattr__(self, name):
        if name.startswith("__"):  # `inspect` asks every module for its file, which is no use of it
            raise AttributeError(name)
        _remove_stand_ins()  # all of them: the modules import each other
        return getattr(importlib.import_module(self.__name__), name)


def _remove_stand_ins():
    for name in STAND_INS:
        if isinstance(sys.modules.get(name), _StandIn):
            del sys.modules[name]


@contextlib.contextmanager
def light():
    """Within it, diffusers, torch-fidelity and clean-fid are imported. Afterwards every module is as if there were no
    stand-ins: one that was not imported before can be."""
    declare_torchvision()
    for name, given in STAND_INS.items():
        if name not in sys.modules:
            sys.modules[name] = _StandIn(name, given)
    try:
        yield
    finally:
        _remove_stand_ins()


def declare_torchvision():
    """Declares the operators that torchvision's import expects, unless its compiled ones can be loaded."""
    import torch

    spec = importlib.util.find_spec("torchvision")
    if spec is None or hasattr(torch.ops.torchvision, "nms"):
        return
    try:
        torch.ops.load_library(str(next(Path(spec.origin).parent.glob("_C*.so"))))
    except (OSError, StopIteration):
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name, schema in SCHEMAS.items():
            library.define(name + schema)
        declare_torchvision.library = library  # a library's definitions live as long as it does
