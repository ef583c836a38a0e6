"""Lets `import torchvision` succeed beside a CPU-only torch.

PyPI's torchvision is built against CUDA torch; beside a CPU build its compiled operators do not load, and the
import dies when it registers fake kernels for `nms` and `qnms`. Declaring the two schemas first is all that
diffusers, torch-fidelity and clean-fid need. Where torchvision's own operators load, this does nothing.
"""

import importlib.util
from pathlib import Path

SCHEMAS = {"nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
           "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"}


def declare():
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
        declare.library = library  # a library's definitions live as long as it does
