"""Feature extractors for the scores of samples, registered with torch-fidelity.

An extractor is a module of this package. A setting names it in `extractor.name`, or one of another
package: an entry point of the group `bench.extractors`, or `package.module`. Its function
`prepare(data, section, names, folder, checkpoint, on_loss)` writes what it needs to `folder`. Its
function `load(folder)` returns a `torch_fidelity` FeatureExtractorBase (see `register`), which maps
images to one feature vector each, and to logits if it has a last layer. Images are uint8 in 0..255,
or the floats of continuous data. `RESIZING` may say in words how it resizes images.
"""

import pkgutil
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, NotRequired

from typing_extensions import TypedDict

from bench.runtime import imports, plugins

EXTRACTORS = sorted(module.name for module in pkgutil.iter_modules(__path__))


class About(TypedDict):
    """What is read of every extractor.json. test_accuracy: of one that was trained."""

    test_accuracy: NotRequired[float]


def get(name: str) -> ModuleType | Any:
    """The extractor module called `name`, or what has its functions in another package.

    BenchError for an unknown one, or for one without `prepare` or `load`.
    """
    functions = ["prepare", "load"]
    return plugins.load_module(
        "extractor", "bench.extractors", __name__, EXTRACTORS, functions, name
    )


def check(name: str) -> None:
    """BenchError as `get` raises it. A module of this package is not imported: it takes seconds."""
    if name not in EXTRACTORS:
        get(name)


def register(
    name: str, layers: Sequence[str], network: Any, extract: Callable[[Any, Any], tuple]
) -> Any:
    """`extract(network, images)` as torch-fidelity's extractor `name`.

    network: a torch module, as is what is returned. extract: returns the values of `layers` from
    one pass. layers: the name of the layer of features and, if there is one, of the layer of
    logits, which the inception score needs. A name stands for one network: a second one under the
    same name is ignored.
    """
    imports.declare_torchvision()
    from torch_fidelity.feature_extractor_base import FeatureExtractorBase
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY, register_feature_extractor
    from torch_fidelity.utils import create_feature_extractor

    class Extractor(FeatureExtractorBase):
        def __init__(self, name: str, features_list: list[str], **options: Any) -> None:
            super().__init__(name, features_list)
            self.network = network

        def forward(self, images: Any) -> tuple:
            return extract(self.network, images)

        @staticmethod
        def get_provided_features_list() -> Sequence[str]:
            return layers

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return layers[-1 if metric == "isc" else 0]

        @staticmethod
        def can_be_compiled() -> bool:
            return False

    if name not in FEATURE_EXTRACTORS_REGISTRY:
        register_feature_extractor(name, Extractor)
    return create_feature_extractor(name, list(layers), cuda=False, verbose=False)
