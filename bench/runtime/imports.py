"""Imports of diffusers, torch-fidelity and clean-fid: such that they succeed beside a CPU-only torch, and without what is
slow to load and of no use here.

PyPI's torchvision is built against CUDA torch; beside a CPU build its compiled operators do not load, and the
import dies when it registers fake kernels for `nms` and `qnms`. Declaring the two schemas first is all that
diffusers, torch-fidelity and clean-fid need. Where torchvision's own operators load, nothing is declared.

While they are imported, these packages also load torch._dynamo (to mark what torch.compile treats apart, as torch's optimisers
do when they are used), every network that diffusers has beside the one asked for, and with those torchvision, scipy.stats and
scipy.integrate: seconds at the start of every stage. Nothing here is compiled, and none of that is called: `light` puts
stand-ins there.
"""

import contextlib
import importlib
import importlib.util
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

SCHEMAS = {
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


def _unmarked(what=None, *args, **kwargs):
    """A decorator that returns what it is given, be it used with parentheses or without."""
    return _unmarked if what is None else what


def _is_compile_supported(device_type):
    from torch._dynamo.utils import is_compile_supported

    return is_compile_supported(device_type)


# module → what is taken from it: marks that are left out, a function that waits for its call, or, of a package whose own code
# imports all that is in it, nothing but its submodules
STAND_INS = {
    "torch._dynamo": {
        "allow_in_graph": _unmarked,
        "disable": _unmarked,
        "graph_break": lambda: None,
    },
    "torch._dynamo.utils": {"is_compile_supported": _is_compile_supported},
    "scipy.stats": {},
    "diffusers.models.transformers": {},
    "diffusers.models.unets": {},
}


class _StandIn(ModuleType):
    """Stands for a module that is not imported before someone takes what is not given in `STAND_INS`."""

    def __getattr__(self, name):
        if name.startswith(
            "__"
        ):  # `inspect` asks every module for such names, which is no use of it
            raise AttributeError(name)
        _remove_stand_ins()  # all of them: the modules import each other
        return getattr(importlib.import_module(self.__name__), name)


class _StandIns:
    """What Python's import asks for a module first: a finder, and the loader of what it finds."""

    def find_spec(self, name, path=None, target=None):
        if name not in STAND_INS:
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is not None:
            spec.loader = self
        return spec

    def create_module(self, spec):
        return _StandIn(spec.name)

    def exec_module(self, module):
        vars(module).update(STAND_INS[module.__name__])


_stand_ins = _StandIns()


def _remove_stand_ins():
    if _stand_ins in sys.meta_path:
        sys.meta_path.remove(_stand_ins)
    for name, module in [
        (name, sys.modules.get(name)) for name in reversed(STAND_INS)
    ]:  # what is in a package before it
        if isinstance(module, _StandIn):
            del sys.modules[name]
            parent, _, child = name.rpartition(".")
            vars(sys.modules[parent]).pop(child, None)


@contextlib.contextmanager
def light():
    """Within it, diffusers, torch-fidelity and clean-fid are imported, and torch's optimisers used. Afterwards every module is
    as if there were no stand-ins: one that was not imported before can be. (Functions of optimisers that were called within
    it stay without their mark.)"""
    declare_torchvision()
    outermost = _stand_ins not in sys.meta_path
    if outermost:
        sys.meta_path.insert(0, _stand_ins)
    try:
        yield
    finally:
        if outermost:
            _remove_stand_ins()


def unet_2d():
    """diffusers' UNet2DModel."""
    with light():
        import diffusers.hooks  # noqa: F401 - its networks would import them later, when they are moved to a device
        from diffusers.models.unets.unet_2d import UNet2DModel

    return UNet2DModel


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
