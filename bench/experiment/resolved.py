"""An experiment and its settings, as values: the sections, and the cells that follow from them."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PrivateAttr

from bench import covariance, scores, shards
from bench.experiment import patterns
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
from bench.process import BOUND_PROCESS, BOUND_PROCESSES, PROCESSES, SECOND_ORDER_BOUND, family
from bench.runtime import paths
from bench.runtime.digests import digest
from bench.runtime.errors import unknown
from bench.runtime.fields import Count
from bench.solver import SOLVER, Solver
from bench.trajectory import FIXED, fixed, length


class Setting(Section):
    """One block of the tables: data, noise schedule and mean model, and the grid of its cells."""

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
    shards: Count = 1  # jobs that a stage with passes is cut into, at most; see `bench.shards`

    _picked: frozenset | None = PrivateAttr(None)  # of `restricted`; None is all cells

    def clip(self, process: str, variant: str) -> float | None:
        """y of a variant of a process; None if its noise is not clipped, as that of continuous data
        and of λ² alone.
        """
        if self.clip_levels is None:
            return None
        clipped = self.row(process, variant).clipped
        y = getattr(self.clip_levels, family(process)) if clipped else None
        return self.clip_levels.variants.get(variant, y)

    def row(self, process: str, name: str) -> covariance.Variant | Solver:
        """What a row of a process is."""
        return self.processes.solver.make(name) if process == SOLVER else covariance.get(name)

    @property
    def head_names(self) -> list[str]:
        """Names of the heads that are trained or imported."""
        return list(self.heads.targets) if self.heads else []

    def variants(self, process: str) -> list[str]:
        """Names of the rows of a process, variants or solvers. [] if it has no section."""
        if process not in (*PROCESSES, SOLVER):
            raise unknown("process", process, (*PROCESSES, SOLVER))
        section = getattr(self.processes, process)
        return section.variants if section else []

    def variants_by_need(self, process: str) -> dict[str, list[str]]:
        """{need: variants} of a process, in the order of `covariance.NEEDS`, without empty lists.

        A job samples the variants of one need.
        """
        groups = {need: [] for need in covariance.NEEDS}
        for name in self.variants(process):
            groups[self.row(process, name).needs].append(name)
        return {need: members for need, members in groups.items() if members}

    def grid(self, stage: str, process: str, variant: str) -> list[tuple[str, int]]:
        """[(trajectory, K), …] of the cells of one variant of a process.

        stage: 'bound' or 'samples'.

        An `optimal` trajectory exists only for variants that define its cost, and for the process
        that has a bound. A solver has no bound, and spacings in place of trajectories.
        """
        if process == SOLVER:
            spacings = filter(self.row(process, variant).takes, self.processes.solver.spacings)
            Ks = self.samples.K if stage == "samples" else []
            cells = [(spacing, K) for spacing in spacings for K in Ks]
        else:
            optimal = process == BOUND_PROCESS and covariance.get(variant).has_optimal_trajectory
            cells = getattr(self, stage).cells
            cells = [(name, K) for name, K in cells if name != "optimal" or optimal]
        if self._picked is None:
            return cells
        return [cell for cell in cells if (process, variant, *cell) in self._picked]

    def cells(self, stage: str, process: str) -> list[tuple[str, str, int]]:
        """[(variant, trajectory, K), …] of all cells of `stage` for a process."""
        cells = []
        for variant in self.variants(process):
            for name, K in self.grid(stage, process, variant):
                cells.append((variant, name, K))
        return cells

    def restricted(self, picked: Iterable[tuple[str, str, str, int]]) -> "Setting":
        """The setting with these cells alone, [(process, variant, trajectory, K), …].

        Rows without a cell and processes without a row are gone. There may be none left.
        """
        picked, sections = frozenset(picked), {}
        rows = {(process, name) for process, name, *_ in picked}
        for process, section in self.processes.items():
            names = [name for name in section.variants if (process, name) in rows]
            if process == SOLVER:
                changes = {"solvers": {name: section.solvers[name] for name in names}}
            else:
                changes = {"variants": names}
            sections[process] = section.model_copy(update=changes) if names else None
        processes = self.processes.model_copy(update=sections)
        setting = self.model_copy(update={"processes": processes})
        setting._picked = picked
        return setting

    def parts(self, stage: str, process: str | None = None) -> list[tuple[int, int]]:
        """(first, one past the last) of what each shard of a stage has, see `bench.shards`.

        stage: `moments` counts steps, t − 1; `bound`, `bound_2m` and `samples` count images;
        `fidelity` of a process counts its cells.
        """
        batch, count = self.samples.batch, self.samples.count
        match stage:
            case "moments":
                section = self.moments
                together = shards.steps_together(section.draws, batch, section.relative_error)
                return shards.cut_batches(self.schedule.N, together, self.shards)
            case "bound" | "bound_2m":
                return shards.cut_batches(self.bound.images, batch, self.shards)
            case "samples":
                return shards.cut_batches(count, batch, self.shards)
            case "fidelity":
                return shards.cut(len(self.cells("samples", process)), self.shards)
        raise ValueError(f"{stage}: expected a stage with shards")

    def first_trajectory(self, process: str) -> str:
        """The trajectory of the grid that comes first; the spacing, for solvers."""
        solvers = self.processes.solver
        return (solvers.spacings if process == SOLVER else self.samples.trajectories)[0]

    def shown_bounds(self) -> dict[int, list[int]]:
        """{K: steps} of the bound's fewest and most steps, which figures show.

        They are on the first trajectory that is the same for all variants; {} if there is none.
        """
        cells = [(name, K) for _, name, K in self.bound_cells() if name in FIXED]
        if not cells:
            return {}
        first = cells[0][0]
        Ks = [K for name, K in cells if name == first]
        return {K: fixed(first, self.schedule.N, K) for K in (min(Ks), max(Ks))}

    def kinds(self, stage: str, process: str, variants: Iterable[str]) -> list[str]:
        """Names of the trajectories that variants of a process have in the cells of a stage.

        Solvers have none.
        """
        if process == SOLVER:
            return []
        names = [name for variant in variants for name, _ in self.grid(stage, process, variant)]
        return list(dict.fromkeys(names))

    @property
    def bound_variants(self) -> list[str]:
        """Names of the variants whose bound can be evaluated."""
        return self.variants(BOUND_PROCESS)

    def bound_cells(self) -> list[tuple[str, str, int]]:
        """[(variant, trajectory, K), …] of all cells of the bound."""
        return self.cells("bound", BOUND_PROCESS)

    def bound_kinds(self) -> list[str]:
        """Names of the trajectories in the cells of the bound."""
        return self.kinds("bound", BOUND_PROCESS, self.bound_variants)

    def trajectories(self) -> dict[str, dict[str, list[int]]]:
        """{trajectory: {variant: sorted Ks}} of all cells of the grid.

        The variant is '*' unless the trajectory is `optimal`, which each variant has its own of.
        """
        cells = self.bound_cells() + self.cells("bound", SECOND_ORDER_BOUND)
        for process in PROCESSES:
            cells += self.cells("samples", process)
        wanted = {}
        for variant, name, K in cells:
            of_kind = wanted.setdefault(name, {})
            of_kind.setdefault(variant if name == "optimal" else "*", set()).add(K)
        return {
            name: {variant: sorted(Ks) for variant, Ks in of_kind.items()}
            for name, of_kind in wanted.items()
        }

    def network_evaluations(
        self, process: str, row: str, trajectory: str, K: int, dim: int
    ) -> float:
        """What a sample of a cell takes, in passes of the mean model.

        trajectory: or the spacing of a solver. dim: coordinates of an image.
        """
        found = self.row(process, row)
        if process == SOLVER:
            return found.network_evaluations(trajectory, K, self.schedule.make())
        return found.network_evaluations(length(trajectory, self.schedule.N, K), dim)

    def heads_of(self, variants: Iterable[str]) -> list[str]:
        """Names of the heads that some of `variants` read, in the order of heads.targets."""
        variants = set(variants)
        return [name for name in self.head_names if name in variants]

    @property
    def heads_need_moments(self) -> bool:
        """Whether the training of a head reads moments."""
        trained = self.heads.trained if self.heads else []
        return any(covariance.get(name).head.moments for name in trained)

    def needs_moments(self, variants: Iterable[str]) -> bool:
        """Whether some of `variants` read the moments for their variance."""
        return any(covariance.get(name).moments for name in variants)

    def moment_names(self) -> list[str]:
        """Names of all moments that the rows read, for variances, heads and optimal trajectories,
        sorted.
        """
        names = set()
        for _, section in self.processes.with_variants():
            for variant in section.variants:
                names.update(covariance.get(variant).moments)
        for variant in self.trajectories().get("optimal", {}):
            names.update(covariance.get(variant).edge_moments)
        for head in self.heads.trained if self.heads else []:
            names.update(covariance.get(head).head.moments)
        return sorted(names)

    def moments_by_coordinate(self) -> list[str]:
        """Those of `moment_names` that are means of each coordinate: the large ones."""
        return [name for name in self.moment_names() if not name.endswith("_mean")]


class Experiment(Section):
    """All that a run is made of. `settings` holds every setting resolved.

    name: whose tables they are, see `bench.runtime.paths.Tables`. device: see
    `bench.runtime.devices.choose`. plugins: classes of other packages, as package.module:Class.
    They are imported before names are looked up. If a row names a variant in this way,
    `bench.experiment.loading` adds the class here and leaves the variant's name in the row. only:
    patterns of the cells that are measured, see `bench.experiment.patterns`; None is all of them.
    """

    name: Name = paths.DEFAULT
    seed: Annotated[int, Field(strict=True, ge=0)]
    device: Literal["auto", "cpu", "cuda"] = "auto"
    plugins: list[str] = []
    metrics: Names
    only: Annotated[Names, BeforeValidator(patterns.split)] | None = None
    settings: dict[SettingName, Setting]

    @property
    def all_metrics(self) -> list[scores.Metric]:
        """The metrics of the experiment, in the order of `metrics`, each once."""
        metrics = [metric for entry in self.metrics for metric in scores.find(entry)]
        return list(dict.fromkeys(metrics))

    @property
    def bound_metrics(self) -> list[scores.Metric]:
        """The metrics of the experiment that are computed from the bound."""
        return [metric for metric in self.all_metrics if "bound" in metric.needs]

    @property
    def sample_metrics(self) -> list[scores.Metric]:
        """The metrics of the experiment that are computed from samples."""
        return [metric for metric in self.all_metrics if "bound" not in metric.needs]

    @property
    def metric_groups(self) -> list[str]:
        """Names of the metrics' figures and plots: one for each entry of `metrics`."""
        return list(dict.fromkeys(metric.group for metric in self.all_metrics))

    @property
    def figures(self) -> list[str]:
        """Names of the figures of each setting, see `bench.stages.drawing`."""
        names = [*self.metric_groups, "differences"]
        if self.bound_metrics:
            names += ["terms", "calibration", "variances", "variance_maps", "spectra"]
        if self.bound_metrics and self.sample_metrics:
            names.append("tradeoff")
        if self.sample_metrics:
            names.append("samples")
        return names

    @property
    def resizings(self) -> list[str | None]:
        """The ways in which the metrics resize images. None is the extractor's own."""
        return list(dict.fromkeys(metric.resizing for metric in self.sample_metrics))

    def wants_bound(self, name: str, process: str = BOUND_PROCESS) -> bool:
        """Whether some metric needs the bound of a setting, and the process has rows with one."""
        if process not in BOUND_PROCESSES:
            return False
        return bool(self.bound_metrics and self.selection(name).cells("bound", process))

    def setting(self, name: str) -> Setting:
        """The setting called `name`. BenchError for an unknown one."""
        if name not in self.settings:
            raise unknown("setting", name, self.settings)
        return self.settings[name]

    def measured_cells(self, name: str) -> list[tuple[str, str, str, int]]:
        """[(process, variant, trajectory, K), …] of the cells of a setting that have a metric,
        whether they are picked or not. One that has metrics of the bound and of samples is there
        twice.
        """
        setting, cells = self.setting(name), []
        for process, _ in setting.processes.items():
            bound = bool(self.bound_metrics) and process in BOUND_PROCESSES
            stages = ["bound"] * bound + ["samples"] * bool(self.sample_metrics)
            for stage in stages:
                cells += [(process, *cell) for cell in setting.cells(stage, process)]
        return cells

    def selection(self, name: str) -> Setting:
        """The setting called `name` with the rows and cells that `only` picks.

        Stages that measure rows see this one. What rows share (moments, heads, trajectories) is
        made for all of `setting`, so that it is the same with a filter and without.
        """
        setting = self.setting(name)
        if self.only is None:
            return setting
        picked = []
        for cell in self.measured_cells(name):
            parts = patterns.parts(name, *cell)
            if any(patterns.fits(pattern, parts) for pattern in self.only):
                picked.append(cell)
        return setting.restricted(picked)

    @property
    def selected(self) -> dict[str, Setting]:
        """{name: its `selection`} of the settings of which a row is measured."""
        chosen = {name: self.selection(name) for name in self.settings}
        return {name: setting for name, setting in chosen.items() if setting.processes.items()}

    def place(self, name: str) -> paths.Setting:
        """Where the files of the setting called `name` are. BenchError for an unknown one."""
        self.setting(name)
        return paths.Setting(name, filtered=self.only is not None)

    def mean_from(self, name: str) -> str | None:
        """The setting whose mean model the one called `name` takes over, as `mean.checkpoint`; None
        if its mean model is from elsewhere.
        """
        checkpoint = self.setting(name).mean.checkpoint
        for other in self.settings if checkpoint else ():
            if Path(os.path.normpath(checkpoint)) == paths.Setting(other).mean:
                return other
        return None

    def digest(self) -> str:
        """A short hash of the resolved configuration, without its name and what changes no number:
        the device and the shards.
        """
        others = {"name": True, "device": True, "settings": {"__all__": {"shards"}}}
        return digest(self.model_dump(mode="json", exclude_none=True, exclude=others))
