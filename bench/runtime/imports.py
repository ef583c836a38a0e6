"""Imports of diffusers, torch-fidelity and clean-fid if torchvision's operators do not load.

PyPI's torchvision is built against CUDA torch. Beside a CPU build of torch its operators do not
load, and `import torchvision` fails when it registers fake kernels for `nms` and `qnms`. The three
packages import torchvision and call neither operator, so it is enough to declare the two schemas
first. Call `declare_torchvision` before every import of one of the three; a test checks that no
module of `bench` forgets it.
"""

import contextlib
import importlib.util
from pathlib import Path

from bench.runtime.errors import BenchError, unknown

SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"  # of nms and of qnms


def declare_torchvision() -> None:
    """Declares torchvision's operators `nms` and `qnms`, unless its compiled ones can be loaded."""
    import torch  # not above: whoever reads the configuration imports this module

    spec = importlib.util.find_spec("torchvision")
    if spec is None or hasattr(torch.ops.torchvision, "nms"):
        return
    for compiled in Path(spec.origin).parent.glob("_C*.so"):
        with contextlib.suppress(OSError):  # built against another torch
            torch.ops.load_library(str(compiled))
    if not hasattr(torch.ops.torchvision, "nms"):
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(name + SCHEMA)
        declare_torchvision.library = library  # the declarations live as long as the library


def unet_2d() -> type:
    """diffusers' UNet2DModel. What it warns of when it reads weights is an error here."""
    declare_torchvision()
    from diffusers import UNet2DModel
    from diffusers.utils import logging

    logging.set_verbosity_error()
    return UNet2DModel


def scheduler_mixin() -> type:
    """The base of diffusers' schedulers, whose warnings are not shown."""
    declare_torchvision()
    from diffusers import SchedulerMixin
    from diffusers.utils import logging

    logging.set_verbosity_error()
    return SchedulerMixin


def scheduler(name: str) -> type:
    """The class of diffusers' scheduler called `name`. BenchError for an unknown one."""
    base = scheduler_mixin()
    declare_torchvision()
    import diffusers

    cls = getattr(diffusers, name, None) if name.isidentifier() else None
    if not (isinstance(cls, type) and issubclass(cls, base)):
        known = [each for each in dir(diffusers) if each.endswith("Scheduler")]
        raise BenchError(f"scheduler: {unknown('scheduler', name, known)}")
    return cls
