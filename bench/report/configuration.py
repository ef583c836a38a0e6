"""What identifies a configuration in MLflow, and the parameters that say what it is.

A configuration is what the numbers of a setting follow from: the seed and the setting. Three things
are no part of it. Paths are not: the content of what lies there is, so a renamed file is the same
configuration. Rows and metrics are not: one more changes no number of the others. What may differ
between two runs of the same configuration is not: versions of the code and the device.
"""

from collections.abc import Mapping
from typing import Any

from bench.experiment.resolved import Experiment
from bench.report import registration
from bench.runtime import digests, paths

LEFT_OUT = {
    "mean": {"checkpoint": True, "published": {"path", "heads", "sha256", "md5"}},
    "extractor": {"weights"},
    "fidelity": {"reference", "target_fid"},  # the second is a line of table2 alone
    "samples": {"batch"},  # which changes no number
    "shards": True,  # the same
}
ROWS = {"variants", "solvers"}
OF_TRAINING = {  # the sections of a setting that its trainings depend on, beside the data
    "mean": ("schedule", "mean"),
    "extractor": ("extractor",),
    "heads": ("schedule", "mean", "heads"),
}


def parameters(
    experiment: Experiment, name: str, data: Mapping[str, Any], contents: Mapping[str, str]
) -> dict[str, Any]:
    """{dotted key: value} of the configuration of setting `name`.

    data: the content of data.json, which stands for the setting's section. contents: {key: digest}
    of other files that the configuration names, such as `imported`.
    """
    setting = experiment.setting(name).model_dump(mode="json", exclude=LEFT_OUT)
    return _flat({"seed": experiment.seed, **setting, "data": data}) | dict(contents)


def of_training(
    experiment: Experiment, name: str, stage: str, data: Mapping[str, Any]
) -> dict[str, Any]:
    """{dotted key: value} of what the training `stage` of setting `name` depends on."""
    setting = experiment.setting(name).model_dump(mode="json", exclude=LEFT_OUT)
    sections = {section: setting[section] for section in OF_TRAINING[stage]}
    contents = imported(experiment, name) if stage == "heads" else {}
    return _flat({"seed": experiment.seed, **sections, "data": data}) | contents


def imported(experiment: Experiment, name: str) -> dict[str, str]:
    """{key: digest} of the mean model of a setting, if it was not trained here."""
    mean = experiment.setting(name).mean
    if mean.train or mean.oracle:
        return {}
    return {"mean.sha256": registration.digest(paths.Setting(name).mean)}


def digest(parameters: Mapping[str, Any]) -> str:
    """The short name of a configuration."""
    return digests.digest(dict(parameters))


def _flat(section, prefix=""):
    """A nested mapping as {dotted key: value}, without rows and keys whose value is None."""
    flat = {}
    for key, value in section.items():
        if key in ROWS or value is None:
            continue
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
