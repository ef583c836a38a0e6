"""The experiment as a validated value.

An experiment is params.yaml, with any overlay that Snakemake merged into it, and one file a setting. Sections
that describe the grid (processes, moments, bound, samples, fidelity) stand in params.yaml and hold for every
setting whose own file does not have them; sections that describe what is measured (data, schedule, mean,
heads, extractor) stand in the setting's file. `load` returns all of it resolved, or one line saying which key
of which file is wrong.
"""

from pathlib import Path

import yaml
from pydantic import BaseModel, ValidationError

from bench import covariance, schedule, trajectory
from bench.data import dataset
from bench.experiment import rows
from bench.experiment.resolved import Experiment, Setting
from bench.experiment.sections import PublishedSection
from bench.runtime.errors import BenchError, unknown
from bench.runtime.files import write_text
from bench.scores import extractors

METRICS = ("nll", "fid", "kid", "precision", "recall", "isc")
OF_FEATURES = ("kid", "precision", "recall")  # metrics that need the features of the reference
SETTINGS = Path(__file__).parent.parent.parent / "workflows" / "settings"


def load(path="params.yaml", overlays=()):
    """The experiment described by the YAML file at `path`, with YAML files laid over it as Snakemake's --configfile does.

    Raises BenchError naming the file and the key.
    """
    raw, changes = read_yaml(path), {}
    if overlays:
        from snakemake.utils import update_config

        for overlay in overlays:
            update_config(changes, read_yaml(overlay))
        update_config(raw, changes)
    return resolve(raw, " + ".join(map(str, [path, *overlays])))


def read_yaml(path):
    """A YAML mapping, read with the safe loader."""
    try:
        value = yaml.safe_load(Path(path).read_text())
    except OSError as error:
        raise BenchError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BenchError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error
    if not isinstance(value, dict):
        raise BenchError(f"{path}: expected a mapping of keys, found {type(value).__name__}")
    return value


def resolve(raw, path="params.yaml"):
    """Validates the merged mapping `raw` and reads the settings it names.

    `settings` is a list of names of files in workflows/settings, or, in a resolved file, the mapping itself.
    """
    names, shared_rows = raw.get("settings"), []
    if isinstance(names, dict):
        experiment = _validate(Experiment, raw, path)
    elif isinstance(names, list) and names:
        shared = {key: raw[key] for key in raw if key in Setting.model_fields}
        own = {name: _setting_file(name) for name in names}
        settings = {
            name: _validate(Setting, {**shared, **own[name]}, _setting_path(name), shared, path)
            for name in names
        }
        rest = {key: value for key, value in raw.items() if key not in shared}
        experiment = _validate(Experiment, {**rest, "settings": settings}, path)
        shared_rows = [name for name in names if "processes" not in own[name]]
    else:
        raise BenchError(f"{path}: settings: expected a list of setting names, found {names!r}")
    experiment = _complete(experiment, path, shared_rows)
    _check_names(experiment, path)
    return experiment


def _complete(experiment, path, shared_rows):
    """The experiment with its plug-ins imported and its settings completed, see `rows.complete`."""
    for plugin in experiment.plugins:
        covariance.load(plugin)
    settings, plugins = {}, list(experiment.plugins)
    for name, setting in experiment.settings.items():
        try:
            settings[name] = rows.complete(setting, name, name in shared_rows, plugins)
        except BenchError as error:
            raise BenchError(f"{path}: settings.{name}: {error}") from error
    return experiment.model_copy(update={"settings": settings, "plugins": plugins})


def _setting_path(name):
    return SETTINGS / f"{name}.yaml"


def _setting_file(name):
    if not _setting_path(name).is_file():
        raise unknown("setting", name, [file.stem for file in SETTINGS.glob("*.yaml")])
    return read_yaml(_setting_path(name))


def _validate(model, value, path, shared=(), shared_path=None):
    """`model` built from `value`; the first problem becomes one line with the file that holds the key."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]["loc"][:1]
        where = shared_path if first and first[0] in shared else path
        raise BenchError(f"{_shown(where)}: {_problem(error, model)}") from error


def _problem(error, model):
    """The first problem of a pydantic error in a line: the key, and what was expected and found."""
    first = error.errors()[0]
    key = ".".join(map(str, first["loc"]))
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = str(unknown("key", first["loc"][-1], _known_keys(model, first["loc"][:-1])))
    elif first["type"] == "missing":
        message = "missing"
    elif first["type"] != "value_error":
        message = f"{message[0].lower()}{message[1:]}, found {first['input']!r}"
    return f"{key}: {message}"


def _shown(path):
    """The path relative to the working folder where that is shorter."""
    path = Path(path)
    return (
        path.relative_to(Path.cwd())
        if path.is_absolute() and path.is_relative_to(Path.cwd())
        else path
    )


def _known_keys(model, loc):
    """The field names of the section that `loc` leads to."""
    for name in loc:
        if name not in model.model_fields:
            continue  # the key of a mapping of sections, such as a setting's name
        annotation = model.model_fields[name].annotation
        options = [annotation, *getattr(annotation, "__args__", ())]
        model = next(
            option
            for option in options
            if isinstance(option, type) and issubclass(option, BaseModel)
        )
    return list(model.model_fields)


def _check_names(experiment, path):
    """Names that are registered elsewhere, and numbers that must agree with one another."""
    for metric in experiment.metrics:
        if metric not in METRICS:
            raise BenchError(f"{path}: metrics: {unknown('metric', metric, METRICS)}")
    for name, setting in experiment.settings.items():
        try:
            _check_setting(setting)
        except BenchError as error:
            raise BenchError(f"{path}: settings.{name}: {error}") from error
        if experiment.fidelity_metrics and setting.extractor is None:
            raise BenchError(
                f"{path}: metrics: {experiment.fidelity_metrics[0]} needs settings.{name}.extractor, "
                "which is not configured"
            )
        for metric in experiment.metrics:
            if metric in OF_FEATURES and setting.fidelity.reference:
                raise BenchError(
                    f"{path}: metrics: {metric} needs features of images, and settings.{name}.fidelity.reference "
                    "is a file of statistics; expected fid and isc alone"
                )


def _check_setting(setting):
    _check_options("data", setting.data, dataset.options(setting.data.name))
    if setting.mean.published:
        check_published(setting.mean.published)
    if setting.extractor:
        extractors.check(setting.extractor.name)
    if setting.fidelity.also and (
        setting.extractor is None or setting.extractor.name != "inception"
    ):
        found = setting.extractor and setting.extractor.name
        raise BenchError(f"fidelity.also: clean_fid needs extractor.name inception, found {found}")
    if setting.schedule.name not in schedule.SCHEDULES:
        raise BenchError(
            f"schedule.name: {unknown('schedule', setting.schedule.name, schedule.SCHEDULES)}"
        )
    rows.check(setting)
    for stage in ("bound", "samples"):
        section = getattr(setting, stage)
        for key, names in (("trajectories", section.trajectories), ("also", section.also or {})):
            for name in names:
                if name not in trajectory.TRAJECTORIES:
                    raise BenchError(
                        f"{stage}.{key}: {unknown('trajectory', name, trajectory.TRAJECTORIES)}"
                    )
        for name, K in section.cells:
            _check_steps(stage, name, K, setting.schedule.N)


def assignments(texts, option):
    """A mapping of keys from texts KEY=VALUE, where a.b=VALUE is a key of the mapping a; values are read as YAML."""
    values = {}
    for text in texts:
        key, equals, value = text.partition("=")
        *outer, last = key.split(".")
        place = values
        for name in outer:
            place = place.setdefault(name, {})
            if not isinstance(place, dict):
                raise BenchError(f"{option} {text}: {name} is a value already; expected a mapping")
        if not (equals and all([*outer, last])):
            raise BenchError(f"{option} {text}: expected KEY=VALUE")
        try:
            place[last] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise BenchError(
                f"{option} {text}: not valid YAML ({' '.join(str(error).split())})"
            ) from error
    return values


def published(values):
    """The `sections.PublishedSection` of a mapping of keys. BenchError for the first that is wrong."""
    section = _validate(PublishedSection, values, "mean.published")
    check_published(section)
    return section


def check_published(section):
    """The keys of `mean.published` that are the format's own are what it takes."""
    from bench.mean import (
        formats,  # with torch, which takes seconds to import and is needed for no other section
    )

    try:
        model = formats.options(section.format)
    except BenchError as error:
        raise BenchError(f"mean.published.format: {error}") from error
    _check_options("mean.published", section, model)
    rows.check_heads("mean.published.heads", section.heads)


def _check_options(key, section, model):
    """The keys of a section that it does not have itself are fields of `model`."""
    try:
        model.model_validate(section.options)
    except ValidationError as error:
        raise BenchError(f"{key}.{_problem(error, model)}") from error


def _check_steps(stage, name, K, N):
    least = 2 if name in ("even", "optimal") else 1
    if not least <= K <= N:
        raise BenchError(
            f"{stage}.K: expected {least} ≤ K ≤ schedule.N = {N} for trajectory {name!r}, found {K}"
        )
    if name != "optimal":
        try:
            trajectory.fixed(name, N, K)
        except BenchError as error:
            raise BenchError(f"{stage}.K: {error}") from error


def write(experiment, path=None):
    """Writes the resolved experiment as YAML that `load` reads back to an equal one; prints it where no path is given."""
    text = yaml.safe_dump(experiment.model_dump(mode="json"), sort_keys=False)
    if path is None:
        print(text, end="")
    else:
        write_text(
            path,
            "# Resolved from params.yaml, its overlays and workflows/settings; written by the workflow.\n"
            + text,
        )
