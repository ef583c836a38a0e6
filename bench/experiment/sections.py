"""The sections of an experiment, as pydantic models: which keys there are, their types, units and ranges.

`bench.experiment.resolved` puts them together, `bench.experiment.loading` reads the files they stand in.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from bench import schedule
from bench.runtime.fields import Count, Name, Names, Positive, Steps


def of_a_setting(name):
    """Refuses a name whose folder in results/ would be that of tables."""
    if name in ("plots", "figures") or name.endswith("-tables"):
        raise ValueError(f"expected another name than that of a folder of tables, found {name!r}")
    return name


SettingName = Annotated[Name, AfterValidator(of_a_setting)]


class Section(BaseModel):
    """A mapping of the configuration: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ScheduleSection(Section):
    """Noise schedule: its name and the number N of steps of the full chain."""

    name: str
    N: Count

    def make(self):
        """The `bench.schedule.Schedule` itself."""
        return schedule.make(self.name, self.N)


class TrainSection(Section):
    """One training: optimiser steps, images a step, peak learning rate of Adam, warm-up steps, EMA decay."""

    steps: Count
    batch: Count
    learning_rate: Positive
    warmup: Annotated[int, Field(strict=True, ge=0)] = 0
    ema: Annotated[float, Field(ge=0, lt=1)]


class OracleSection(Section):
    """The exact ε* of data whose law is known, plus a smooth bias field of root mean square `imperfection`."""

    imperfection: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


class PublishedSection(Section):
    """A published file of a U-Net, and what it does not say about itself; see `bench.mean.published`.

    format: a module of bench/mean/formats/, whose own options are keys too; sha256, md5: of the file, checked before
    anything is read of it; first_timestep: what the network is told at t = 1; rescale_timesteps: whether it is told
    t · 1000/N; heads: {variant: file} of heads trained on this network, in the same format.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    format: str
    path: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")] | None = None
    md5: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{32}$")] | None = None
    first_timestep: Annotated[int, Field(strict=True, ge=0, le=1)] = 0
    rescale_timesteps: bool = True
    heads: dict[str, str] = {}

    @property
    def options(self):
        """The format's own options, as a dict."""
        return dict(self.model_extra)


class MeanSection(Section):
    """The mean model: a UNet2DModel trained here (`unet`, `train`), a folder in diffusers' layout or a hub id (`checkpoint`), a
    file that others published (`published`), or the exact answer (`oracle`)."""

    unet: dict | None = None
    train: TrainSection | None = None
    checkpoint: str | None = None
    published: PublishedSection | None = None
    oracle: OracleSection | None = None

    @model_validator(mode="after")
    def one_source(self):
        sources = ("unet", "checkpoint", "published", "oracle")
        if sum(getattr(self, name) is not None for name in sources) != 1 or (self.unet is None) != (
            self.train is None
        ):
            raise ValueError(
                "expected either unet and train, or one of checkpoint, published, oracle"
            )
        return self


class DataSection(Section):
    """The data set: the name of a reader in bench/data/, and the reader's own options (checked by `bench.experiment.loading`)."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str

    @property
    def options(self):
        """The keys beside the name, as a dict."""
        return dict(self.model_extra)


Mode = Literal["simple", "complex", "mlp"]


class HeadsSection(Section):
    """Heads on the frozen trunk, and the common training of those that are not imported with it.

    targets: {variant: mode} of heads that are trained or imported whatever the rows are. default:
    the mode of the heads of all other variants in the rows; without it a setting has no rows that
    need them. A resolved setting has no default, and every head in `targets`.
    """

    default: Mode | None = None
    targets: dict[str, Mode | Literal["imported"]] = {}
    train: TrainSection | None = None

    @model_validator(mode="after")
    def trained_or_imported(self):
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
    """The feature extractor of FID and KID: `train` for one that is trained, `weights` for a file that it is made of."""

    name: str
    train: TrainSection | None = None
    weights: str | None = None


class ProcessSection(Section):
    """A process: the variants asked for, rows of its tables."""

    variants: Names


class DdimSection(ProcessSection):
    """DDIM, with λ² = η² β̃."""

    eta: Annotated[float, Field(ge=0, le=1)] = 0.0


class ProcessesSection(Section):
    """The processes asked for."""

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
    """Moments: draws of (x_0, ε) at each step, one network pass each.

    relative_error: draws end at a step where the standard error of E‖ε̂‖²/d is at most this share of it; `draws` is the most.
    """

    draws: Count
    relative_error: Annotated[float, Field(gt=0, lt=1)] | None = None


class GridSection(Section):
    """A grid of cells: numbers of steps K, each on every trajectory; `also`: further trajectories with a list of K each."""

    K: Steps
    trajectories: Names
    also: dict[str, Steps] | None = None

    @property
    def cells(self):
        """[(trajectory, K), …], each once."""
        cells = [(name, K) for name in self.trajectories for K in self.K]
        cells += [(name, K) for name, Ks in (self.also or {}).items() for K in Ks]
        return list(dict.fromkeys(cells))


class BoundSection(GridSection):
    """The bound: its grid and the number of test images, from the first."""

    images: Count


class SamplesSection(GridSection):
    """Sampling: its grid, images a cell, images a network pass, the networks' precision, and the number of jobs that share them.

    A shard is made of whole batches, so that the number of shards changes no byte: what a network makes of an image
    may depend, in the last bits, on how many are with it.
    """

    count: Annotated[int, Field(strict=True, ge=4)]  # KID compares halves, of two images at least
    batch: Count = 256
    precision: Literal["fp32", "bf16"] = "fp32"
    shards: Count = 1

    @model_validator(mode="after")
    def shards_of_whole_batches(self):
        if self.shards > self.batches:
            raise ValueError(
                f"shards: expected at most {self.batches}, the batches of {self.batch} in {self.count} images, "
                f"found {self.shards}"
            )
        return self

    @property
    def batches(self):
        """How many batches the images of a cell are."""
        return -(-self.count // self.batch)

    def range(self, shard):
        """(first, one past the last) image of a shard, 0 ≤ shard < shards."""
        first, last = (
            self.batches * index // self.shards * self.batch for index in (shard, shard + 1)
        )
        return first, min(last, self.count)


class FidelitySection(Section):
    """What the metrics of samples share: the FID that table2 asks for, and the reference.

    resamples: replicates behind standard errors. reference_images: images of the training split, from
    the first, that samples are compared with; all by default. reference: a statistics file in their
    place, for metrics that need no more of it than mean and covariance.
    """

    target_fid: Positive
    resamples: Annotated[int, Field(strict=True, ge=2)]
    reference_images: Annotated[int, Field(strict=True, ge=4)] | None = None
    reference: str | None = None

    @model_validator(mode="after")
    def one_reference(self):
        if self.reference and self.reference_images:
            raise ValueError(
                "reference_images: expected none beside reference, a file of their statistics"
            )
        return self


class ClipSection(Section):
    """y of each process: how many grey levels the last noise moves a pixel on average, at most.

    variants: {variant: y} of those that have their own. Bao et al. 2022a have 1 for `beta` where their own have 2.
    """

    ddpm: Positive
    ddim: Positive
    variants: dict[str, Positive] = {}
