"""Solvers: diffusers' schedulers as rows beside the variants, on the same mean model and x_N.

A solver goes from x_N to x_0 by steps of its own choice. It has no reverse covariance, and so no
bound. The loop is that of diffusers' pipelines: scale x, predict ε̂, let the scheduler step. Step t
of the noise schedule is diffusers' timestep t − 1. Where a scheduler asks for steps between those
of the schedule, `bench.schedule.between` says what a_t and b_t are.

x_N is a function of the image, as for the variants, and so is the noise of a solver that adds some.

Importing this module does not import torch.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, ForwardRef

import numpy as np
from jaxtyping import Float64, UInt8

from bench import noise
from bench.runtime import imports
from bench.runtime.errors import BenchError, one_line, shown, unknown
from bench.schedule import Schedule

Denoiser = ForwardRef("bench.denoiser.Denoiser")  # whose module imports torch

SOLVER = "solver"  # what the tables call the process of these rows
# How the steps are spaced: in t, or where a name of diffusers' stands for it in the noise level.
SPACINGS = {
    "leading": {"timestep_spacing": "leading"},
    "linspace": {"timestep_spacing": "linspace"},
    "trailing": {"timestep_spacing": "trailing"},
    "karras": {"use_karras_sigmas": True},
    "exponential": {"use_exponential_sigmas": True},
    "beta": {"use_beta_sigmas": True},
    "logsnr": {"use_lu_lambdas": True},
}
OURS = ("num_train_timesteps", "trained_betas", "prediction_type")  # options that follow from ours
# Others that would give the scheduler another noise schedule than that of the mean model.
SCHEDULE = (
    "beta_start",
    "beta_end",
    "beta_schedule",
    "rescale_betas_zero_snr",
    "use_flow_sigmas",
    "timestep_type",
)
CLIPS = ("clip_sample", "thresholding")  # options that keep x̂_0 in the range [−1, 1] of images


@dataclass(frozen=True)
class Solver:
    """A scheduler of diffusers, by the name of its class, and the options of its constructor.

    Those that say where the steps are come from the spacing, see `SPACINGS`.
    """

    name: str
    scheduler: str
    options: Mapping[str, Any]

    # What the tables ask of every row, see `bench.variant.Variant`.
    needs, moments, head, clipped = "nothing", (), None, False

    @property
    def version(self) -> str:
        """That of diffusers, whose code the numbers are made by."""
        return f"diffusers {version('diffusers')}"

    def takes(self, spacing: str) -> bool:
        """Whether the scheduler can space its steps so. BenchError for an unknown spacing."""
        if spacing not in SPACINGS:
            raise unknown("spacing", spacing, SPACINGS)
        return SPACINGS[spacing].keys() <= self._arguments().keys()

    def check(self) -> None:
        """BenchError unless the scheduler exists, predicts with ε̂ on any noise schedule, and takes
        the options.
        """
        arguments = self._arguments()
        if "Inverse" in self.scheduler:
            raise BenchError(
                f"scheduler: {self.scheduler} goes from data to noise; expected a sampler"
            )
        missing = [name for name in OURS if name not in arguments]
        if missing:
            raise BenchError(
                f"scheduler: {self.scheduler} does not take {', '.join(missing)}; expected one "
                "for networks that predict ε, such as DPMSolverMultistepScheduler"
            )
        spacings = {option for options in SPACINGS.values() for option in options}
        for option, value in self.options.items():
            if option in (*OURS, *SCHEDULE, *spacings):
                instead = "spacings" if option in spacings else "the setting"
                raise BenchError(f"{option}: expected none, as it follows from {instead}")
            if option not in arguments:
                known = sorted(arguments.keys() - {*OURS, *SCHEDULE, *spacings})
                raise BenchError(f"{option}: {unknown('option', option, known)}")
            default = arguments[option].default
            kinds = (int, float) if isinstance(default, float) else (type(default),)
            if default is not None and type(value) not in kinds:
                expected = " or ".join(kind.__name__ for kind in kinds)
                raise BenchError(f"{option}: expected {expected}, found {shown(value)}")

    def make(self, spacing: str, steps: int, schedule: Schedule) -> Any:
        """The scheduler for so many steps. BenchError for options or steps that it refuses."""
        cls = imports.scheduler(self.scheduler)

        @one_line(f"{self.scheduler}: spacing {spacing}, {steps} steps: refused")
        def make():
            scheduler = cls(
                num_train_timesteps=schedule.N,
                trained_betas=schedule.beta[1:],
                prediction_type="epsilon",
                **self.options,
                **SPACINGS[spacing],
            )
            scheduler.set_timesteps(steps)
            return scheduler

        return make()

    def check_range(self, levels: int | None) -> None:
        """BenchError for a scheduler that clips data without a range, whose `levels` are None."""
        arguments = self._arguments()
        for option in CLIPS:
            default = arguments[option].default if option in arguments else False
            if levels is None and self.options.get(option, default):
                raise BenchError(f"{option}: expected false, as the data have no range, found true")

    def rehearse(self, spacing: str, steps: int, schedule: Schedule) -> None:
        """BenchError unless the scheduler can make all its steps, tried on an image of zeros."""
        import torch

        scheduler = self.make(spacing, steps, schedule)
        with one_line(f"{self.scheduler}: spacing {spacing}, {steps} steps: refused"):
            x = torch.zeros(1, 1, 2, 2, dtype=torch.float64)
            for timestep in scheduler.timesteps:
                eps_hat = scheduler.scale_model_input(x, timestep)
                x = scheduler.step(eps_hat, timestep, x).prev_sample

    def network_evaluations(self, spacing: str, steps: int, schedule: Schedule) -> int:
        """How many passes of the mean model a sample takes: more than `steps` for some solvers."""
        return len(self.make(spacing, steps, schedule).timesteps)

    def _arguments(self):
        """The arguments of the scheduler's constructor, by name."""
        return inspect.signature(imports.scheduler(self.scheduler)).parameters


def sample(
    denoiser: Denoiser,
    solver: Solver,
    spacing: str,
    steps: int,
    first: int,
    count: int,
    names: tuple,
    batch: int = 256,
    progress: Callable[[int], object] | None = None,
) -> (
    UInt8[np.ndarray, "count channels height width"]
    | Float64[np.ndarray, "count channels height width"]
):
    """Images first .. first + count − 1: levels if the data have levels, else floats.

    denoiser: whose heads and moments are not read. steps: what diffusers calls inference steps.
    names, batch, progress: as in `bench.sampler.sample`. BenchError for a scheduler that clips data
    that have no range; NotFinite as there.
    """
    import torch

    from bench import sampler

    data, schedule = denoiser.data, denoiser.schedule
    scheduler = solver.make(spacing, steps, schedule)
    solver.check_range(data.levels)

    def draw(start, size):
        scheduler.set_timesteps(steps)  # also forgets the batch before
        random, images = {}, range(start, start + size)
        if "generator" in inspect.signature(scheduler.step).parameters:
            random["generator"] = [_generator(names, image) for image in images]
        x = noise.normal((*names, "samples", "start"), start, size, data.dim)
        x = torch.from_numpy(x).to(denoiser.device).reshape(size, *data.shape)
        x = x * float(scheduler.init_noise_sigma)
        for timestep in scheduler.timesteps:
            scaled = scheduler.scale_model_input(x, timestep)
            eps_hat = denoiser.predict_noise(scaled.flatten(1), float(timestep) + 1)
            with one_line(f"{solver.name}: {solver.scheduler}, {spacing}, {steps} steps: failed"):
                x = scheduler.step(eps_hat.reshape(x.shape), timestep, x, **random).prev_sample
            if progress:
                progress(size)
        return x.flatten(1)

    return sampler.in_batches(data, draw, first, count, batch)


def _generator(names, image):
    """torch's generator of the noise of an image."""
    import torch

    seed = noise.generator(*names, "samples", SOLVER, image).integers(2**63)
    return torch.Generator().manual_seed(int(seed))
