"""The experiment as a validated value.

An experiment is params.yaml, with any overlay that Snakemake merged into it, and one file a setting. Sections
that describe the grid (processes, moments, bound, samples, fidelity) stand in params.yaml and hold for every
setting whose own file does not have them; sections that describe what is measured (data, schedule, mean,
heads, extractor) stand in the setting's file. `load` returns all of it resolved, or one line saying which key
of which file is wrong.
"""

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bench import covariance, schedule, trajectory
from bench.errors import BenchError, unknown
from bench.files import digest, write_text
from bench.process import PROCESSES

METRICS = ("nll_bpd", "fid", "kid")
SETTINGS = Path(__file__).parent.parent / "workflows" / "settings"

Count = Annotated[int, Field(strict=True, ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ScheduleSection(Section):
    """Noise schedule: its name and the number N of steps of the full chain."""

    name: str
    N: Count

    def make(self):
        return schedule.make(self.name, self.N)


class TrainSection(Section):
    """One training: optimiser steps, images a step, peak learning rate of Adam, warm-up steps, EMA decay."""

    steps: Count
    batch: Count
    learning_rate: Positive
    warmup: Annotated[int, Field(strict=True, ge=0)] = 0
    ema: Annotated[float, Field(ge=0, lt=1)]


class MeanSection(Section):
    """The mean model: a UNet2DModel trained here (`unet`, `train`), or a folder in diffusers' layout (`checkpoint`)."""

    unet: dict | None = None
    train: TrainSection | None = None
    checkpoint: str | None = None

    @model_validator(mode="after")
    def trained_or_imported(self):
        if (self.checkpoint is None) == (self.unet is None) or (self.unet is None) != (self.train is None):
            raise ValueError("expected either unet and train, or checkpoint")
        return self


class DataSection(Section):
    name: str


class HeadsSection(Section):
    """Heads on the frozen trunk: name → mode, and their common training."""

    targets: dict[Literal["npr", "sn"], Literal["simple", "complex"]]
    train: TrainSection


class ExtractorSection(Section):
    """The feature extractor of FID and KID."""

    name: str
    train: TrainSection


class ProcessSection(Section):
    variants: Annotated[list[str], Field(min_length=1)]


class DdimSection(ProcessSection):
    eta: Annotated[float, Field(ge=0, le=1)] = 0.0


class ProcessesSection(Section):
    ddpm: ProcessSection | None = None
    ddim: DdimSection | None = None

    @model_validator(mode="after")
    def at_least_one(self):
        if self.ddpm is None and self.ddim is None:
            raise ValueError("expected at least one of ddpm, ddim")
        return self

    def items(self):
        """(name, section) of the processes asked for."""
        return [(name, section) for name, section in self if section is not None]

    def eta(self, name):
        """η of a process; 1 for ddpm."""
        return 1.0 if name == "ddpm" else getattr(self, name).eta


class MomentsSection(Section):
    draws: Count


class GridSection(Section):
    K: Annotated[list[Count], Field(min_length=1)]
    trajectories: Annotated[list[str], Field(min_length=1)]


class BoundSection(GridSection):
    images: Count


class SamplesSection(GridSection):
    count: Annotated[int, Field(strict=True, ge=2)]
    shards: Count = 1


class FidelitySection(Section):
    target_fid: Positive
    resamples: Annotated[int, Field(strict=True, ge=2)]


class ClipSection(Section):
    ddpm: Positive
    ddim: Positive


class Setting(Section):
    """One block of the tables: data + noise schedule + mean model, and the grid it is measured on."""

    data: DataSection
    schedule: ScheduleSection
    mean: MeanSection
    heads: HeadsSection | None = None
    clip_levels: ClipSection
    extractor: ExtractorSection | None = None
    processes: ProcessesSection
    moments: MomentsSection
    bound: BoundSection
    samples: SamplesSection
    fidelity: FidelitySection

    @property
    def head_names(self):
        return list(self.heads.targets) if self.heads else []

    def variants(self, process):
        """Names of the variants asked for in a process, [] where the process is not asked for."""
        if process not in PROCESSES:
            raise unknown("process", process, PROCESSES)
        section = getattr(self.processes, process)
        return section.variants if section else []

    def grid(self, stage, process, variant):
        """[(trajectory, K), …] of the cells of `stage` ('bound' or 'samples') for one variant of a process.

        An `optimal` trajectory exists only for variants that define its cost, and is DDPM's.
        """
        section = getattr(self, stage)
        return [(name, K) for name in section.trajectories for K in section.K
                if name != "optimal" or (process == "ddpm" and has_optimal(variant))]


    def trajectories(self):
        """{(trajectory, variant): sorted Ks} of everything the grid needs; variant is '*' unless it is `optimal`."""
        wanted = {}
        for stage, names in (("bound", ["ddpm"]), ("samples", PROCESSES)):
            for process in names:
                for variant in self.variants(process):
                    for name, K in self.grid(stage, process, variant):
                        wanted.setdefault((name, variant if name == "optimal" else "*"), set()).add(K)
        return {key: sorted(Ks) for key, Ks in wanted.items()}

    def heads_of(self, variants):
        """Names of the heads that some of `variants` read, in the order of heads.targets."""
        wanted = {covariance.get(name).head for name in variants}
        return [name for name in self.head_names if name in wanted]

    def needs_moments(self, variants):
        """Whether some of `variants` read the moments, for their variance or for an optimal trajectory."""
        return any(covariance.get(name).uses_moments for name in variants)


def has_optimal(variant):
    """Whether a variant defines edge costs, and so an optimal trajectory."""
    return type(covariance.get(variant)).edge_costs is not covariance.Variant.edge_costs


class Experiment(Section):
    """Everything a run is made of; `settings` holds every setting resolved."""

    seed: Annotated[int, Field(strict=True, ge=0)]
    metrics: Annotated[list[str], Field(min_length=1)]
    settings: dict[str, Setting]

    @property
    def fidelity_metrics(self):
        return [metric for metric in self.metrics if metric != "nll_bpd"]

    def setting(self, name):
        if name not in self.settings:
            raise unknown("setting", name, self.settings)
        return self.settings[name]

    def digest(self):
        """A short hash of the whole resolved configuration."""
        return digest(self.model_dump(mode="json"))


def load(path="params.yaml"):
    """The experiment described by the YAML file at `path`. Raises BenchError naming the file and the key."""
    return resolve(read_yaml(path), path)


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
    names = raw.get("settings")
    if isinstance(names, dict):
        experiment = _validate(Experiment, raw, path)
    elif isinstance(names, list) and names:
        shared = {key: raw[key] for key in raw if key in Setting.model_fields}
        settings = {name: _validate(Setting, {**shared, **_setting_file(name)}, _setting_path(name), shared, path)
                    for name in names}
        rest = {key: value for key, value in raw.items() if key not in shared}
        experiment = _validate(Experiment, {**rest, "settings": settings}, path)
    else:
        raise BenchError(f"{path}: settings: expected a list of setting names, found {names!r}")
    _check_names(experiment, path)
    return experiment


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
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        where = shared_path if first["loc"] and first["loc"][0] in shared else path
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            message = str(unknown("key", first["loc"][-1], _known_keys(model, first["loc"][:-1])))
        elif first["type"] == "missing":
            message = "missing"
        elif first["type"] != "value_error":
            message = f"{message[0].lower()}{message[1:]}, found {first['input']!r}"
        raise BenchError(f"{_shown(where)}: {key}: {message}") from error


def _shown(path):
    """The path relative to the working folder where that is shorter."""
    path = Path(path)
    return path.relative_to(Path.cwd()) if path.is_absolute() and path.is_relative_to(Path.cwd()) else path


def _known_keys(model, loc):
    """The field names of the section that `loc` leads to."""
    for name in loc:
        fields = getattr(model, "model_fields", {})
        if name not in fields:
            return []
        annotation = fields[name].annotation
        options = [annotation, *getattr(annotation, "__args__", ())]
        model = next((option for option in options if isinstance(option, type) and issubclass(option, BaseModel)), None)
    return list(getattr(model, "model_fields", {}))


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
            raise BenchError(f"{path}: metrics: {experiment.fidelity_metrics[0]} needs settings.{name}.extractor, "
                             "which is not configured")


def _check_setting(setting):
    if setting.schedule.name not in schedule.SCHEDULES:
        raise BenchError(f"schedule.name: {unknown('schedule', setting.schedule.name, schedule.SCHEDULES)}")
    for process, section in setting.processes.items():
        for variant in section.variants:
            try:
                covariance.check(variant, process, setting.head_names)
            except BenchError as error:
                raise BenchError(f"processes.{process}.variants: {error}") from error
    for stage in ("bound", "samples"):
        section = getattr(setting, stage)
        for name in section.trajectories:
            if name not in trajectory.TRAJECTORIES:
                raise BenchError(f"{stage}.trajectories: {unknown('trajectory', name, trajectory.TRAJECTORIES)}")
            for K in section.K:
                _check_steps(stage, name, K, setting.schedule.N)


def _check_steps(stage, name, K, N):
    least = 2 if name in ("even", "optimal") else 1
    if not least <= K <= N:
        raise BenchError(f"{stage}.K: expected {least} ≤ K ≤ schedule.N = {N} for trajectory {name!r}, found {K}")
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
        write_text(path, "# Resolved from params.yaml, its overlays and workflows/settings; written by the workflow.\n" + text)
