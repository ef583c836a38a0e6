"""The experiment as a validated value.

An experiment is params.yaml, with any overlay that Snakemake merged into it, and a file for each
setting. Sections that describe the grid (processes, moments, bound, samples, fidelity) are in
params.yaml. They hold for every setting whose own file does not have them. Sections that describe
what is measured (data, schedule, mean, heads, extractor) are in the setting's file. A key that ends
in `+` adds to a list: the overlay `processes: {ddpm: {variants+: [mine]}}` adds a row to every
setting that has this list, in whichever file it is. `load` returns the experiment resolved, or
raises an error of one line that names the file and the key.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from bench import covariance, schedule, scores, trajectory
from bench.data import dataset
from bench.experiment import additions, patterns, rows, setting_files, sizes, strict
from bench.experiment.resolved import Experiment, Setting
from bench.experiment.sections import PublishedSection
from bench.runtime import files, paths
from bench.runtime.errors import BenchError, dotted, problem, unknown
from bench.scores import extractors

PARAMS = "params.yaml"


def load(
    path: str | Path = PARAMS,
    overlays: Sequence[str | Path] = (),
    values: Mapping[str, Any] | None = None,
) -> Experiment:
    """The experiment of a YAML file, with overlays merged into it as Snakemake's --configfile does.

    path: params.yaml, beside the folder workflows/ that has the settings, or a resolved file.
    values: merged into the overlays, as Snakemake's --config is. Raises BenchError naming the file
    and the key.
    """
    return resolve(*_merged(path, overlays, values))


def load_with(
    path: str | Path, overlays: Sequence[str | Path], entry: str
) -> tuple[Experiment, str, list[str]]:
    """(the experiment of `load`, the name of a setting of it, options of Snakemake that name both).

    entry: the setting's name, or the path of its file. If the experiment does not have it, it
    stands in place of the experiment's own. BenchError as `load`, or for an unknown setting.
    """
    experiment = load(path, overlays)
    options = ["--configfile", *map(str, overlays)] if overlays else []
    if entry in experiment.settings:
        return experiment, entry, options
    raw, source, folder, changes = _merged(path, overlays, None)
    if setting_files.are_resolved(raw.get("settings")):
        raise unknown("setting", entry, experiment.settings)
    raw, changes = raw | {"settings": [entry]}, {**changes, "settings": [entry]}
    for mapping in (raw, changes):
        for key in ("only", "settings+"):  # of other settings
            mapping.pop(key, None)
    experiment = resolve(raw, source, folder, changes)
    (name,) = experiment.settings
    return experiment, name, [*options, "--config", f"name={name}", f"settings=[{entry}]"]


def _merged(path, overlays, values):
    """The arguments of `resolve` for those of `load`."""
    if str(path) == PARAMS and not Path(path).exists():
        raise BenchError(
            f"{path}: no such file in {Path.cwd()}; start the command in the clone, or name the "
            "file: --config path/to/params.yaml"
        )
    raw, changes = strict.read(path), {}
    if overlays:
        from snakemake.utils import update_config

        for overlay in overlays:
            update_config(changes, strict.read(overlay))
        check_name(changes, overlays[-1])
        update_config(changes, dict(values or {}))
        update_config(raw, changes)
    return raw, " + ".join(map(str, [path, *overlays])), Path(path).parent, changes


def load_study(
    folder: str | Path, overlay: Path, values: Mapping[str, Any] | None = None
) -> Experiment:
    """The experiment of a file of workflows/studies/ on the params.yaml of `folder`.

    values: of --config, which count before both. BenchError also unless the study has the name of
    its file, which is not that of another experiment, and its settings begin with it.
    """
    study = load(Path(folder) / PARAMS, [overlay], values)
    if (
        overlay.parent.parent / "experiments" / overlay.name
    ).exists() or study.name == paths.DEFAULT:
        raise BenchError(f"{overlay}: has the name of another experiment; rename it")
    if study.name != overlay.stem:
        raise BenchError(f"{overlay}: name: expected {overlay.stem}, found {study.name}")
    for name in study.settings:
        if not name.startswith(f"{study.name}-"):
            raise BenchError(
                f"{overlay}: settings.{name}: expected a name {study.name}-GROUP-NUMBER"
            )
    return study


def check_name(changes: dict[str, Any], overlay: str | Path) -> None:
    """BenchError unless `changes` have a name: else their tables would replace others.

    overlay: what the error calls the file that they are from.
    """
    if "name" not in changes:
        raise BenchError(
            f"{overlay}: name: missing; expected a line such as `name: mine`, with which the "
            "tables are in results/mine-tables/ and replace no others"
        )


def resolve(
    raw: dict[str, Any],
    path: str | Path = PARAMS,
    folder: str | Path = ".",
    changes: Mapping[str, Any] | None = None,
) -> Experiment:
    """Validates the merged mapping `raw` and reads the settings it names.

    raw["settings"]: a list of settings. Each is the name of a file in workflows/settings/ of
    `folder`, or the path of a YAML file, relative to the working folder. A mapping has the settings
    themselves: in a resolved file whole, elsewhere like others. path: what an error calls the file.
    changes: what of `raw` is from overlays or the command line. BenchError for the first mistake.
    """
    raw, added = additions.split(raw)
    additions.check(raw, added, path)
    raw, shared_rows = additions.extend(raw, added), []
    resolved = setting_files.are_resolved(raw.get("settings"))
    if not resolved:
        _check_place_of_filter(raw, changes, path)
        shared = {key: raw.pop(key) for key in list(raw) if key in Setting.model_fields}
        settings, owners = {}, {}
        read = setting_files.read_all(raw.get("settings"), path, folder)
        for name, (place, own) in read.items():
            own = additions.extend(own, added)
            owners |= {key: [*owners.get(key, []), place] for key in own}
            others = shared.keys() - own.keys()
            settings[name] = _validate(Setting, {**shared, **own}, place, others, path)
            if "processes" not in own:
                shared_rows.append(name)
        _check_effect(changes or {}, owners, len(settings), path)
        raw["settings"] = settings
    experiment = _complete(_validate(Experiment, raw, path), path, shared_rows)
    _check_names(experiment, path)
    if experiment.only is None:
        return experiment
    _check_filter(experiment, path)
    name = experiment.name if resolved else f"{experiment.name}-{paths.FILTERED}"
    return experiment.model_copy(update={"name": name})


def _check_place_of_filter(raw, changes, path):
    """BenchError for a filter that is neither in an overlay nor on the command line.

    DVC would take the tables of all rows, which such a run leaves alone, for its own.
    """
    if raw.get("only") is not None and "only" not in (changes or {}):
        raise BenchError(
            f"{path}: only: a filter is for one run; expected it in an overlay, or on the command "
            "line of snakemake: --config 'only=[npr]'"
        )


def _check_filter(experiment, path):
    """BenchError for a pattern of the filter that no cell fits."""
    cells = [
        patterns.parts(name, *cell)
        for name in experiment.settings
        for cell in experiment.measured_cells(name)
    ]
    try:
        patterns.check(experiment.only, cells)
    except BenchError as error:
        raise BenchError(f"{path}: only: {error}") from error


def _check_effect(changes, owners, count, path):
    """BenchError for a section of an overlay that no setting takes, as all have their own.

    If only some of the settings take it, a line on stderr says so. owners: {section: the settings'
    files that have it}; count: how many settings there are.
    """
    for key, value in changes.items():
        if key not in owners or additions.only_adds(value):
            continue
        having = ", ".join(str(setting_files.shown_path(file)) for file in owners[key])
        if len(owners[key]) < count:
            print(f"{path}: {key}: not for {having}, which has its own", file=sys.stderr)
            continue
        raise BenchError(
            f"{path}: {key}: no setting takes it, as {having} has its own; change it there, or in "
            "a copy with another name: `settings: [path/to/mine.yaml]`"
        )


def _complete(experiment, path, shared_rows):
    """The experiment with its plug-ins imported and its settings completed, see `rows.complete`."""
    for plugin in experiment.plugins:
        try:
            covariance.load(plugin)
        except BenchError as error:
            raise BenchError(f"{path}: plugins: {error}") from error
    settings, plugins = {}, list(experiment.plugins)
    for name, setting in experiment.settings.items():
        try:
            settings[name] = rows.complete(setting, name, name in shared_rows, plugins)
        except BenchError as error:
            raise BenchError(f"{path}: settings.{name}: {error}") from error
    return experiment.model_copy(update={"settings": settings, "plugins": plugins})


def _validate(model, value, path, shared=(), shared_path=None):
    """`model` built from `value`. The first problem becomes a line with the file of the key."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]["loc"][:1]
        where = shared_path if first and first[0] in shared else path
        raise BenchError(f"{setting_files.shown_path(where)}: {_problem(error, model)}") from error


def _problem(error, model):
    """A problem of a pydantic error in a line: the key, and what was expected and found.

    An unknown key comes first, as another one may be missing because of it.
    """
    for found in error.errors():
        if found["type"] == "extra_forbidden":
            *outer, last = found["loc"]
            return f"{dotted(found['loc'])}: {unknown('key', last, _known_keys(model, outer))}"
    return problem(error)


def _known_keys(model, loc):
    """The field names of the section that `loc` leads to."""
    for name in loc:
        if name not in model.model_fields:
            continue  # the key of a mapping of sections, such as a setting's name
        annotation = model.model_fields[name].annotation
        for option in (annotation, *getattr(annotation, "__args__", ())):
            if isinstance(option, type) and issubclass(option, BaseModel):
                model = option
                break
    return list(model.model_fields)


def _check_names(experiment, path):
    """Names that are registered elsewhere, and numbers that must agree with one another."""
    for entry in experiment.metrics:
        try:
            scores.find(entry)
        except BenchError as error:
            raise BenchError(f"{path}: metrics: {error}") from error
    for name, setting in experiment.settings.items():
        try:
            _check_setting(experiment, setting)
            _check_taken_over(experiment, name)
            _check_cells(experiment, name)
        except BenchError as error:
            raise BenchError(f"{path}: settings.{name}: {error}") from error
        for metric in experiment.sample_metrics:
            try:
                _check_metric(metric, setting, f"settings.{name}")
            except BenchError as error:
                raise BenchError(f"{path}: metrics: {error}") from error


def _check_metric(metric, setting, key):
    """BenchError unless a setting, whose key is `key`, has what a metric of samples needs."""
    if setting.extractor is None:
        raise BenchError(f"{metric.name} needs {key}.extractor, which is not configured")
    if metric.extractor not in (None, setting.extractor.name):
        raise BenchError(
            f"{metric.name} needs {key}.extractor.name {metric.extractor}, "
            f"found {setting.extractor.name}"
        )
    known = hasattr(dataset.reader(setting.data.name), "law_of")
    if "law" in metric.needs and not (known and setting.extractor.name == "coordinates"):
        raise BenchError(
            f"{metric.name} needs data whose law is known; expected {key}.data.name mixture with "
            f"extractor.name coordinates, found {setting.data.name} with {setting.extractor.name}"
        )
    reference = f"{key}.fidelity.reference"
    if setting.fidelity.reference and "features of the reference" in metric.needs:
        raise BenchError(
            f"{metric.name} needs features of images, and {reference} is a file of statistics; "
            f"leave out {metric.name}, or {reference}"
        )
    if setting.fidelity.reference and metric.resizing:
        raise BenchError(
            f"{metric.name} resizes images its own way, and {reference} is a file of statistics "
            f"for one resizing; leave out {metric.name}, or {reference}"
        )


def _check_setting(experiment, setting):
    _check_options("data", setting.data, dataset.options(setting.data.name))
    _check_paths(setting)
    if setting.mean.published:
        check_published(setting.mean.published)
    if setting.extractor:
        extractors.check(setting.extractor.name)
    if setting.schedule.name not in schedule.SCHEDULES:
        raise BenchError(
            f"schedule.name: {unknown('schedule', setting.schedule.name, schedule.SCHEDULES)}"
        )
    rows.check(setting)
    sizes.check(experiment, setting)
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


def _check_cells(experiment, name):
    """BenchError for a setting of which there is nothing to measure."""
    setting = experiment.setting(name)
    cells = []
    for process, _ in setting.processes.items():
        cells += setting.cells("samples", process) if experiment.sample_metrics else []
        cells += setting.cells("bound", process) if experiment.wants_bound(name, process) else []
    if not cells:
        raise BenchError(
            f"no cell has a metric of {', '.join(experiment.metrics)}: expected rows of ddpm or "
            "ddpm_2m for nll, and for the others a trajectory of samples that the rows have"
        )


def _check_taken_over(experiment, name):
    """BenchError unless a setting that takes over the mean model of another one is for the same."""
    other, checkpoint = experiment.mean_from(name), experiment.setting(name).mean.checkpoint
    if other is None:
        parts = Path(checkpoint or "").parts
        if parts[:1] == (paths.RESULTS.name,) and not Path(checkpoint).exists():
            raise BenchError(
                f"mean.checkpoint: {checkpoint}: no such folder, and "
                f"{unknown('setting', parts[1] if parts[1:] else '', experiment.settings)}"
            )
        return
    if other == name or experiment.mean_from(other):
        raise BenchError(
            f"mean.checkpoint: expected the mean model of a setting that trains or imports it, "
            f"found that of {other}"
        )
    own, its = experiment.setting(name), experiment.setting(other)
    for section in ("data", "schedule"):
        if getattr(own, section) != getattr(its, section):
            raise BenchError(
                f"mean.checkpoint: expected the mean model of a setting with the same {section}, "
                f"found that of {other}"
            )
    if its.mean.oracle:
        raise BenchError(f"mean.checkpoint: expected a network, found the exact mean of {other}")


def _check_paths(setting):
    """BenchError for a FIFO or a device. Snakemake itself would read it, to compare its content."""
    published, extractor = setting.mean.published, setting.extractor
    paths = {
        "data.path": setting.data.options.get("path"),
        "mean.checkpoint": setting.mean.checkpoint,
        "mean.published.path": published and published.path,
        "extractor.weights": extractor and extractor.weights,
        "fidelity.reference": setting.fidelity.reference,
    }
    for name, path in published.heads.items() if published else ():
        paths[f"mean.published.heads.{name}"] = path
    for key, path in paths.items():
        if path:
            files.check_readable(f"{key}: {path}", path, "expected a regular file or a folder")


def assignments(texts: Iterable[str], option: str) -> dict[str, Any]:
    """A mapping of keys from texts KEY=VALUE, whose values are read as YAML.

    a.b=VALUE sets the key b of the mapping a. option: the command line option, for the message of
    the BenchError that a text of another form raises.
    """
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
        if last in place:
            raise BenchError(f"{option} {text}: found {key} twice; expected it once")
        place[last] = strict.parse(value, f"{option} {text}")
    return values


def published(values: dict[str, Any]) -> PublishedSection:
    """The section `mean.published` of a mapping of keys. BenchError for the first wrong key."""
    section = _validate(PublishedSection, values, "mean.published")
    check_published(section)
    return section


def check_published(section: PublishedSection) -> None:
    """BenchError unless the format exists and takes the further keys of `mean.published`."""
    # It imports torch, which takes seconds and is needed for no other section.
    from bench.mean import formats

    try:
        model = formats.options(section.format)
    except BenchError as error:
        raise BenchError(f"mean.published.format: {error}") from error
    _check_options("mean.published", section, model)
    rows.check_heads("mean.published.heads", section.heads)
    for name in section.heads:
        if covariance.get(name).head.outputs == "image":
            raise BenchError(
                f"mean.published.heads.{name}: a published file has a number for each coordinate, "
                f"and {name} reads numbers of an image as a whole; leave it out, and train it: "
                f"`targets: {{{name}: simple}}` under heads"
            )


def _check_options(key, section, model):
    """BenchError unless `model` takes the keys of a section that are not its own."""
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


def write(experiment: Experiment, path: str | Path | None = None) -> None:
    """Writes the resolved experiment as YAML that `load` reads back. Prints it if path is None."""
    text = yaml.safe_dump(experiment.model_dump(mode="json"), sort_keys=False)
    if path is None:
        print(text, end="")
    else:
        head = (
            "# Resolved from params.yaml, its overlays and the settings' files by the workflow.\n"
        )
        files.write_text(path, head + text)
