"""The sections of an experiment, as pydantic models: their keys, types, units and ranges.

`bench.experiment.resolved` puts them together. `bench.experiment.loading` reads their files.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, model_validator

from bench import schedule, solver
from bench.runtime.fields import Count, Name, Names, Number, Positive, Steps
from bench.solver import SOLVER


def of_a_setting(name: str) -> str:
    """`name` unchanged. ValueError if its folder in results/ would be that of tables."""
    if name in ("plots", "figures", "pages") or name.endswith("-tables"):
        raise ValueError(f"expected another name than that of a folder of tables, found {name!r}")
    return name


SettingName = Annotated[Name, AfterValidator(of_a_setting)]


class Section(BaseModel):
    """A mapping of the configuration. It takes no unknown key, and its values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ScheduleSection(Section):
    """Noise schedule: its name and the number N of steps of the full chain."""

    name: str
    N: Count

    def make(self) -> schedule.Schedule:
        """The schedule itself."""
        return schedule.make(self.name, self.N)


class TrainSection(Section):
    """A training with Adam: steps, images a step, peak learning rate, warm-up steps, EMA decay."""

    steps: Count
    batch: Count
    learning_rate: Positive
    warmup: Annotated[int, Field(strict=True, ge=0)] = 0
    ema: Annotated[Number, Field(ge=0, lt=1)]


class MeanTrainSection(TrainSection):
    """The training of a mean model.

    objective: without it E‖ε − ε̂‖² alone. 'hybrid' trains the variance of `improved_ddpm` in the
    same network, by the bound (`bench.mean.train`); that head is then 'imported'.
    """

    objective: Literal["hybrid"] | None = None

    @property
    def heads(self) -> list[str]:
        """Names of the heads that are trained with the mean."""
        return ["improved_ddpm"] if self.objective == "hybrid" else []


class OracleSection(Section):
    """The exact ε*, plus a smooth bias field whose root mean square is `imperfection`."""

    imperfection: Annotated[Number, Field(ge=0)] = 0.0


class PublishedSection(Section):
    """A published file of a U-Net, and what the file does not say; see `bench.mean.published`.

    format: a module of bench/mean/formats/. Its own options are keys too. sha256, md5: of the file,
    checked before the file is read. first_timestep: the network's input at t = 1.
    rescale_timesteps: whether the input is t · 1000/N. heads: {variant: file} of heads that were
    trained on this network, in the same format.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    format: str
    path: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")] | None = None
    md5: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{32}$")] | None = None
    first_timestep: Annotated[int, Field(strict=True, ge=0, le=1)] = 0
    rescale_timesteps: StrictBool = True
    heads: dict[str, str] = {}

    @property
    def options(self) -> dict[str, Any]:
        """The format's own options."""
        return dict(self.model_extra)


class MeanSection(Section):
    """The mean model, from one of four sources.

    unet, train: arguments of a UNet2DModel, and its training here. checkpoint: a folder in
    diffusers' layout, or a hub id. published: a file that others published. oracle: the exact
    answer.
    """

    unet: dict | None = None
    train: MeanTrainSection | None = None
    checkpoint: str | None = None
    published: PublishedSection | None = None
    oracle: OracleSection | None = None

    @model_validator(mode="after")
    def one_source(self) -> "MeanSection":
        """Exactly one source is given, and `train` if and only if `unet` is."""
        sources = (self.unet, self.checkpoint, self.published, self.oracle)
        given = [source for source in sources if source is not None]
        if len(given) != 1 or (self.unet is None) != (self.train is None):
            found = [key for key in type(self).model_fields if getattr(self, key) is not None]
            raise ValueError(
                "expected either unet and train, or one of checkpoint, published, oracle; found "
                f"{', '.join(found) or 'none'} (`unet: null, train: null` takes them away from a "
                "setting that is like another)"
            )
        return self


class DataSection(Section):
    """The data set: the name of a reader in bench/data/readers/, and the reader's own options."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str

    @property
    def options(self) -> dict[str, Any]:
        """The keys beside the name."""
        return dict(self.model_extra)


Mode = Literal["simple", "complex", "mlp"]


class HeadsSection(Section):
    """Heads on the frozen trunk of the mean model.

    targets: {variant: mode} of heads that are trained or imported, even if no row needs them.
    default: the mode of the heads of all other variants in the rows; without it, rows that need
    them are left out. train: the training that all heads share that are not imported. A resolved
    setting has no default, and every head in `targets`.
    """

    default: Mode | None = None
    targets: dict[str, Literal["simple", "complex", "mlp", "imported"]] = {}
    train: TrainSection | None = None

    @model_validator(mode="after")
    def trained_or_imported(self) -> "HeadsSection":
        """There is a training if a head needs one."""
        if self.train is None and (self.trained or self.default):
            raise ValueError("train: missing; every head that is not imported is trained")
        return self

    @property
    def trained(self) -> dict[str, str]:
        """{name: mode} of the heads that are trained here."""
        return {name: mode for name, mode in self.targets.items() if mode != "imported"}

    @property
    def imported(self) -> list[str]:
        """Names of the heads that come with the mean model."""
        return [name for name, mode in self.targets.items() if mode == "imported"]


class ExtractorSection(Section):
    """The feature extractor of FID and KID: trained here (`train`), or read from `weights`."""

    name: str
    train: TrainSection | None = None
    weights: str | None = None


class ProcessSection(Section):
    """A process: its variants, which are the rows of its tables."""

    variants: Names


class DdimSection(ProcessSection):
    """DDIM, of first or second order, with λ² = η² β̃."""

    eta: Annotated[Number, Field(ge=0, le=1)] = 0.0


class SchedulerSection(Section):
    """A row of the solvers: the class of a scheduler of diffusers, and options of its constructor.

    The options are keys too.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    scheduler: str


class SolverSection(Section):
    """Solvers of diffusers: {row: scheduler}, and how their steps are spaced.

    A row has a block for each of `spacings` (`bench.solver.SPACINGS`) that its scheduler takes.
    """

    spacings: Names
    solvers: Annotated[dict[Name, SchedulerSection], Field(min_length=1)]

    @property
    def variants(self) -> list[str]:
        """Names of the rows."""
        return list(self.solvers)

    def make(self, name: str) -> solver.Solver:
        """The solver of a row."""
        section = self.solvers[name]
        return solver.Solver(name, section.scheduler, dict(section.model_extra))


class ProcessesSection(Section):
    """The processes of an experiment, and solvers. Without a section a process has no rows."""

    ddpm: ProcessSection | None = None
    ddim: DdimSection | None = None
    ddpm_2m: ProcessSection | None = None
    ddim_2m: DdimSection | None = None
    solver: SolverSection | None = None

    @model_validator(mode="after")
    def at_least_one(self) -> "ProcessesSection":
        """One of the processes has a section."""
        if not self.items():
            raise ValueError(f"expected at least one of {', '.join(type(self).model_fields)}")
        return self

    def items(self) -> list[tuple[str, ProcessSection | SolverSection]]:
        """(name, section) of the processes that have a section."""
        return [(name, section) for name, section in self if section is not None]

    def with_variants(self) -> list[tuple[str, ProcessSection]]:
        """The same without solvers, whose rows are no variants."""
        return [(name, section) for name, section in self.items() if name != SOLVER]

    def eta(self, name: str) -> float | None:
        """η of a process: 1 for those of the family ddpm, None for solvers."""
        return None if name == SOLVER else getattr(getattr(self, name), "eta", 1.0)


class MomentsSection(Section):
    """Moments: draws of (x_0, ε) at each step, one network pass each.

    draws: how many, at most. relative_error: a step needs no more draws if the standard error of
    E‖ε̂‖²/d is at most this share of it.
    """

    draws: Count
    relative_error: Annotated[Number, Field(gt=0, lt=1)] | None = None


class GridSection(Section):
    """Cells: every K on every trajectory, and {trajectory: Ks} of `also`."""

    K: Steps
    trajectories: Names
    also: dict[str, Steps] | None = None

    @property
    def cells(self) -> list[tuple[str, int]]:
        """[(trajectory, K), …], each once."""
        cells = [(name, K) for name in self.trajectories for K in self.K]
        for name, Ks in (self.also or {}).items():
            cells += [(name, K) for K in Ks]
        return list(dict.fromkeys(cells))


class BoundSection(GridSection):
    """The bound: its grid and the number of test images, from the first."""

    images: Count


class SamplesSection(GridSection):
    """Sampling: its grid, and how the images of a cell are drawn.

    count: images a cell. batch: images a network pass. precision: of the networks.
    """

    count: Annotated[int, Field(strict=True, ge=4)]  # KID compares halves, of two images at least
    batch: Count = 256
    precision: Literal["fp32", "bf16"] = "fp32"

    @model_validator(mode="before")
    @classmethod
    def shards_are_of_all_stages(cls, section: Any) -> Any:
        """ValueError for a key that stood here once: an old file is not read as another run."""
        if isinstance(section, dict) and "shards" in section:
            raise ValueError(
                "shards: expected it beside `samples`, not in it, as it is of all stages: "
                f"shards: {section['shards']}"
            )
        return section


class FidelitySection(Section):
    """What the metrics of samples share.

    target_fid: the FID of table2. resamples: replicates behind standard errors. reference_images:
    how many training images, from the first, the samples are compared with; all by default.
    reference: a statistics file in their place, for metrics that need mean and covariance alone.
    """

    target_fid: Positive
    resamples: Annotated[int, Field(strict=True, ge=2)]
    reference_images: Annotated[int, Field(strict=True, ge=4)] | None = None
    reference: str | None = None

    @model_validator(mode="after")
    def one_reference(self) -> "FidelitySection":
        """Images and a statistics file exclude each other."""
        if self.reference and self.reference_images:
            raise ValueError(
                "reference_images: expected none beside reference, a file of their statistics"
            )
        return self


class ClipSection(Section):
    """y of each family of processes: how many 255ths of the range the last noise moves a pixel on
    average, at most. The number of grey levels does not matter.

    variants: {variant: y} of those that have their own. Bao et al. 2022a use 1 for `beta`, and 2
    for their own variants. The noise of `beta_tilde` and `zero` is clipped only if they stand here.
    """

    ddpm: Positive
    ddim: Positive
    variants: dict[str, Positive] = {}
