"""Feature extractors for FID and KID, registered with torch-fidelity.

An extractor is a module of this package with `prepare(data, section, names, folder, checkpoint, on_loss)`, which
writes what it needs to `folder`, and `load(folder)`, which returns a `torch_fidelity` FeatureExtractorBase that
maps uint8 images in 0..255 to one feature vector each. Its name in a setting's `extractor.name` is the module's.
"""

import importlib
import pkgutil

from bench.errors import unknown

EXTRACTORS = sorted(module.name for module in pkgutil.iter_modules(__path__))


def get(name):
    """The extractor module called `name`; BenchError for an unknown one."""
    if name not in EXTRACTORS:
        raise unknown("extractor", name, EXTRACTORS)
    return importlib.import_module(f"{__name__}.{name}")
