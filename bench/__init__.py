"""Reference benchmark of reverse-process variances for diffusion models.

`import bench` gives the functions of `bench.library`. They are imported when they are used: they
need torch, which takes seconds.
"""

from typing import Any

__version__ = "0.1.0"
__all__ = ["draw_samples", "evaluate_bound", "make_pipeline", "measure_variances", "prepare"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from bench import library

    return getattr(library, name)
