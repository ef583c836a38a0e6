"""An experiment and its settings, as values: the sections put together, and the cells that follow from them."""

from typing import Annotated, Literal

from pydantic import Field

from bench import covariance, scores
from bench.experiment.sections import (
    BoundSection,
    ClipSection,
    DataSection,
    ExtractorSection,
    FidelitySection,
    HeadsSection,
    MeanSection,
    MomentsSection,
    Name,
    Names,
    ProcessesSection,
    SamplesSection,
    ScheduleSection,
    Section,
    SettingName,
)
from bench.process import PROCESSES
from bench.runtime.digests import digest
from bench.runtime.errors import unknown
from bench.runtime.paths import DEFAULT


class Setting(Section):
    """One block of the tables: data + noise schedule + mean model, and the grid it is measured on."""

    data: DataSection
    schedule: ScheduleSection
    mean: MeanSection
    heads: HeadsSection | None = None
    clip_levels: ClipSection | None = None
    extractor: ExtractorSection | None = None
    processes: ProcessesSection
    moments: MomentsSection
    bound: BoundSection
    samples: SamplesSection
    fidelity: FidelitySection

    def clip(self, process, variant):
        """y of a variant of a process; None where the data have no grey levels."""
        if variant == "beta" and self.clip_levels and self.clip_levels.beta:
            return self.clip_levels.beta
        return getattr(self.clip_levels, process, None)

    @property
    def head_names(self):
        """Names of the heads that are configured."""
        return list(self.heads.targets) if self.heads else []

    def variants(self, process):
        """Names of the variants asked for in a process, [] where the process is not asked for."""
        if process not in PROCESSES:
            raise unknown("process", process, PROCESSES)
        section = getattr(self.processes, process)
        return section.variants if section else []

    def variants_by_need(self, process):
        """{need: variants} of a process, for those of `covariance.NEEDS` that some variant has: jobs that sample them."""
        variants = self.variants(process)
        groups = {
            need: [name for name in variants if covariance.get(name).needs == need]
            for need in covariance.NEEDS
        }
        return {need: members for need, members in groups.items() if members}

    def grid(self, stage, process, variant):
        """[(trajectory, K), …] of the cells of `stage` ('bound' or 'samples') for one variant of a process.

        An `optimal` trajectory exists only for variants that define its cost, and is DDPM's.
        """
        return [
            (name, K)
            for name, K in getattr(self, stage).cells
            if name != "optimal" or (process == "ddpm" and has_optimal(variant))
        ]

    def cells(self, stage, process):
        """[(variant, trajectory, K), …] of all cells of `stage` for a process."""
        return [
            (variant, *place)
            for variant in self.variants(process)
            for place in self.grid(stage, process, variant)
        ]

    def kinds(self, stage, process, variants):
        """Names of the trajectories that variants of a process have in the cells of a stage."""
        return list(
            dict.fromkeys(
                name for variant in variants for name, _ in self.grid(stage, process, variant)
            )
        )

    def trajectories(self):
        """{trajectory: {variant: sorted Ks}} of everything the grid needs; variant is '*' unless it is `optimal`."""
        wanted = {}
        for stage, names in (("bound", ["ddpm"]), ("samples", PROCESSES)):
            for process in names:
                for variant in self.variants(process):
                    for name, K in self.grid(stage, process, variant):
                        wanted.setdefault(name, {}).setdefault(
                            variant if name == "optimal" else "*", set()
                        ).add(K)
        return {
            name: {variant: sorted(Ks) for variant, Ks in of.items()} for name, of in wanted.items()
        }

    def heads_of(self, variants):
        """Names of the heads that some of `variants` read, in the order of heads.targets."""
        wanted = {covariance.get(name).head for name in variants}
        return [name for name in self.head_names if name in wanted]

    @property
    def heads_need_moments(self):
        """Whether a head is trained on the bound, with steps drawn by their share in it."""
        return self.heads is not None and "improved_ddpm" in self.heads.trained

    def needs_moments(self, variants):
        """Whether some of `variants` read the moments, for their variance or for an optimal trajectory."""
        return any(covariance.get(name).uses_moments for name in variants)


def has_optimal(variant):
    """Whether a variant defines edge costs, and so an optimal trajectory."""
    return type(covariance.get(variant)).edge_costs is not covariance.Variant.edge_costs


class Experiment(Section):
    """Everything a run is made of; `settings` holds every setting resolved.

    name: whose tables they are, see `bench.runtime.paths.Tables`; device: see
    `bench.runtime.devices.choose`.
    """

    name: Name = DEFAULT
    seed: Annotated[int, Field(strict=True, ge=0)]
    device: Literal["auto", "cpu", "cuda"] = "auto"
    metrics: Names
    settings: dict[SettingName, Setting]

    @property
    def all_metrics(self) -> list[scores.Metric]:
        """The metrics asked for, in the order of `metrics`."""
        found = [metric for entry in self.metrics for metric in scores.find(entry)]
        return list(dict.fromkeys(found))

    @property
    def bound_metrics(self) -> list[scores.Metric]:
        """The metrics asked for that are computed from the bound."""
        return [metric for metric in self.all_metrics if "bound" in metric.needs]

    @property
    def sample_metrics(self) -> list[scores.Metric]:
        """The metrics asked for that are computed from samples."""
        return [metric for metric in self.all_metrics if "bound" not in metric.needs]

    @property
    def metric_groups(self) -> list[str]:
        """Names of the metrics' figures and plots: one for each entry of `metrics`."""
        return list(dict.fromkeys(metric.group for metric in self.all_metrics))

    @property
    def resizings(self) -> list[str | None]:
        """The ways to resize images that some metric asks for; None is the extractor's own."""
        return list(dict.fromkeys(metric.resizing for metric in self.sample_metrics))

    def wants_bound(self, name: str) -> bool:
        """Whether some metric needs the bound of a setting, and the setting has one."""
        return bool(self.bound_metrics and self.setting(name).variants("ddpm"))

    def setting(self, name):
        """The setting called `name`; BenchError for an unknown one."""
        if name not in self.settings:
            raise unknown("setting", name, self.settings)
        return self.settings[name]

    def digest(self):
        """A short hash of the resolved configuration, but for its name and the device."""
        return digest(self.model_dump(mode="json", exclude_none=True, exclude={"name", "device"}))
