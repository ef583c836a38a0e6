"""The reverse steps of a variant as a scheduler: each is `bench.sampler.step`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from safetensors.numpy import load_file, save_file
from torch import Tensor

from bench import covariance, process, sampler
from bench.data import dataset
from bench.denoiser import Denoiser, Prediction
from bench.jacobian import Jacobian
from bench.mean.model import predicted_noise
from bench.process import Process
from bench.runtime import imports
from bench.runtime.errors import BenchError, one_line
from bench.schedule import Schedule
from bench.thresholds import clip_threshold

imports.declare_torchvision()

from diffusers import ConfigMixin, SchedulerMixin  # noqa: E402
from diffusers.configuration_utils import register_to_config  # noqa: E402
from diffusers.schedulers.scheduling_utils import SchedulerOutput  # noqa: E402
from diffusers.utils.torch_utils import randn_tensor  # noqa: E402

MOMENTS = "moments.safetensors"  # beside scheduler_config.json
STEPS = "steps"  # in that file, of its rows


class ReverseScheduler(SchedulerMixin, ConfigMixin):
    """The reverse steps of a variant along one trajectory.

    Parameters
    ----------
    variant : its name, or `package.module:Class`.
    steps : τ_1 < … < τ_K.
    trained_betas : β_1 … β_N of the noise schedule.
    num_train_timesteps : N.
    shape : of an image, (channels, height, width).
    process : one of `bench.process.PROCESSES`.
    eta : η of ddim and ddim_2m.
    levels : grey levels of the data, which lie in [−1, 1]; None for continuous data.
    clip_255ths : y of `bench.sampler`; None for no clip.
    prediction_type : what the network predicts: epsilon, sample or v_prediction.
    first_timestep, timestep_scale : at step t the network gets the timestep
        (t − 1 + first_timestep) timestep_scale.

    `moments`, {name: {t: value}}, has the moments that the variant reads. They are saved beside the
    config, and only `from_pretrained` reads them.
    """

    order = 1
    init_noise_sigma = 1.0

    @register_to_config
    def __init__(
        self,
        variant: str,
        steps: Sequence[int],
        trained_betas: Sequence[float],
        num_train_timesteps: int,
        shape: Sequence[int],
        process: str = "ddpm",
        eta: float = 0.0,
        levels: int | None = 256,
        clip_255ths: float | None = None,
        prediction_type: str = "epsilon",
        first_timestep: int = 0,
        timestep_scale: float | int = 1,
    ):
        self.variant = covariance.get(variant)
        self.moments = {}
        self.process = _process(process, trained_betas, eta)
        kind = np.uint8 if levels else np.float64
        self.data = dataset.of(np.empty((0, *shape), kind), levels)
        timesteps = [(t - 1 + first_timestep) * timestep_scale for t in reversed(steps)]
        self.timesteps = torch.tensor(timesteps)
        self._last = None  # the `Taken` before this step

    def __len__(self) -> int:
        return self.config.num_train_timesteps

    def set_timesteps(
        self, num_inference_steps: int, device: str | torch.device | None = None
    ) -> None:
        """Begins a new sample. BenchError for another number of steps than the trajectory has."""
        count = len(self.config.steps)
        if num_inference_steps != count:
            raise BenchError(
                f"num_inference_steps: this scheduler has a trajectory of {count} steps; expected "
                f"num_inference_steps={count}, found {num_inference_steps}"
            )
        self.timesteps, self._last = self.timesteps.to(device), None

    def scale_model_input(self, sample: Tensor, timestep: Tensor | None = None) -> Tensor:
        """The sample itself."""
        return sample

    def step(
        self,
        model_output: Float[Tensor, "batch outputs height width"],
        timestep: float | int | Tensor,
        sample: Float[Tensor, "batch channels height width"],
        generator: torch.Generator | list[torch.Generator] | None = None,
        variance_noise: Float[Tensor, "batch channels height width"] | None = None,
        return_dict: bool = True,
    ) -> SchedulerOutput | tuple[Tensor]:
        """x_s from x_t; x̂_0 on the last step.

        model_output: what the network predicts, and behind it the numbers of the variant's head.
        timestep: of `timesteps`. sample: x_t. generator: of the noise. variance_noise: standard
        normal noise to take instead. BenchError for another timestep, and if moments, a head's
        numbers or derivatives that the variant reads are missing.
        """
        s, t = self._jump(timestep)
        last = self._last
        if last is not None and (last.s != t or last.returned.shape != sample.shape):
            last = None  # another sample, or steps were left out
        noise = None
        if s > 0:
            if variance_noise is None:
                variance_noise = randn_tensor(
                    sample.shape, generator=generator, device=sample.device, dtype=sample.dtype
                )
            noise = variance_noise.flatten(1).double()
        x_t = _unrounded(sample, last)
        prediction = self._prediction(model_output, t, x_t, sample, s > 0)
        limit = np.inf
        if s == self.config.steps[0] and self.config.clip_255ths is not None:
            limit = clip_threshold(self.config.clip_255ths, self.data.radius)
        before = None if last is None else (last.t, last.x0_hat)
        name = self.variant.name
        x_s = sampler.step(prediction, prediction.x_t, s, self.process, name, limit, noise, before)
        previous = x_s.reshape(sample.shape).to(sample.dtype)
        # A copy, as a person may change the returned sample in place.
        self._last = Taken(t, s, prediction.x0_hat, x_s, previous.clone())
        return SchedulerOutput(prev_sample=previous) if return_dict else (previous,)

    def _jump(self, timestep):
        """(s, t) of the step at a timestep of the network."""
        steps = [0, *self.config.steps]
        timestep = float(torch.as_tensor(timestep).flatten()[0])  # or one of each image
        where = torch.nonzero(self.timesteps.cpu() == timestep)
        if not len(where):
            raise BenchError(
                f"timestep: expected one of {self.timesteps.tolist()}, found {timestep:g}"
            )
        place = len(self.config.steps) - int(where[0, 0])
        return steps[place - 1], steps[place]

    def _prediction(self, model_output, t, x_t, sample, noisy):
        """What the pass says. noisy: whether the step adds noise, and so needs all of it."""
        schedule, shape, name = self.process.schedule, self.data.shape, self.variant.name
        a, b = schedule.signal[t], schedule.noise[t]
        with torch.enable_grad():  # pipelines call `step` without
            x_t = x_t.requires_grad_()
            output = model_output[:, : shape[0]].flatten(1).double()
            eps_hat = predicted_noise(self.config.prediction_type, output, x_t, a, b)
        of_heads, jacobian = {}, None
        if noisy and self.variant.head is not None:
            of_heads[name] = self._head_numbers(model_output.detach())
        if noisy and self.variant.products(self.data.dim):
            if not (model_output.requires_grad and sample.requires_grad):
                raise BenchError(
                    f"variant {name!r} reads derivatives of the network; expected the output of a "
                    "bench.diffusers.ReverseUNet, outside of torch.inference_mode()"
                )
            jacobian = Jacobian(x_t, eps_hat, b, sample)
        missing = [moment for moment in self.variant.moments if moment not in self.moments]
        if missing and noisy:
            raise BenchError(
                f"scheduler: the moment {missing[0]!r} of variant {name!r} is missing; expected a "
                "scheduler of from_pretrained, as a config does not hold the moments"
            )
        return Prediction.of(
            schedule, self.data, self.moments, t, x_t.detach(), eps_hat.detach(), of_heads, jacobian
        )

    def _head_numbers(self, model_output):
        """The head's numbers of each image, (batch, numbers), from the output's last channels."""
        shape, name = self.data.shape, self.variant.name
        numbers = covariance.numbers_of(name, shape) or self.data.dim
        found = model_output[:, shape[0] :].flatten(1).double()
        if found.shape[1] < numbers:
            raise BenchError(
                f"variant {name!r} reads {numbers} numbers of a head; expected them behind the "
                f"{shape[0]} channels of the network's output, found {found.shape[1]}"
            )
        return found[:, :numbers]

    def save_pretrained(
        self, save_directory: str | Path, push_to_hub: bool = False, **options: Any
    ) -> None:
        """Writes scheduler_config.json, and the moments if there are any."""
        super().save_pretrained(save_directory, push_to_hub, **options)
        Path(save_directory, MOMENTS).unlink(missing_ok=True)  # of another scheduler
        if self.moments:
            arrays = {
                name: np.stack([np.asarray(rows[t]) for t in self.config.steps])
                for name, rows in self.moments.items()
            }
            arrays[STEPS] = np.array(self.config.steps)
            save_file(arrays, Path(save_directory) / MOMENTS)

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, subfolder: str | None = None, **options: Any
    ) -> "ReverseScheduler":
        """The scheduler that `save_pretrained` wrote to a folder."""
        scheduler = super().from_pretrained(folder, subfolder=subfolder, **options)
        path = Path(folder, subfolder or "", MOMENTS)
        if path.exists():
            with one_line(f"{path}: truncated or not readable", "export the row again"):
                arrays, steps = load_file(path), scheduler.config.steps
            if arrays.pop(STEPS).tolist() != list(steps):
                raise BenchError(
                    f"{path}: has the moments of other steps than scheduler_config.json; expected "
                    "files that bench export wrote together"
                )
            for name, rows in arrays.items():
                scheduler.moments[name] = dict(zip(steps, rows, strict=True))
        return scheduler


@dataclass(frozen=True)
class Taken:
    """A step that was taken: from t to s, x̂_0 at x_t, and x_s as it is and as it was returned, in
    the precision of the network.
    """

    t: int
    s: int
    x0_hat: Float64[Tensor, "batch dim"]
    exact: Float64[Tensor, "batch dim"]
    returned: Float[Tensor, "batch channels height width"]


def _unrounded(sample, last):
    """x_t in float64, (batch, dim). If it is what the step before returned, it is taken as it was
    before it was rounded, as the harness has it.
    """
    if last is not None and torch.equal(last.returned, sample):
        return last.exact
    return sample.detach().flatten(1).double()


def _process(name, betas, eta):
    """The process on the schedule of β_1 … β_N. A name of its own, as an argument hides the
    module's.
    """
    return process.make(name, Schedule(np.concatenate([[0.0], betas])), eta)


def make_scheduler(
    denoiser: Denoiser,
    process: Process,
    variant: str,
    steps: Sequence[int],
    clip_levels: float | None = None,
) -> ReverseScheduler:
    """The scheduler of a variant for the network of `denoiser`.

    denoiser: with the moments that the variant reads. steps: τ_1 < … < τ_K. clip_levels: y of
    `bench.sampler`, None for no clip.
    """
    model, schedule = denoiser.model, denoiser.schedule
    scheduler = ReverseScheduler(
        variant=covariance.reference(variant),
        steps=[int(step) for step in steps],
        trained_betas=schedule.beta[1:].tolist(),
        num_train_timesteps=schedule.N,
        shape=list(denoiser.data.shape),
        process=process.name,
        eta=process.eta,
        levels=denoiser.data.levels,
        clip_255ths=clip_levels,
        prediction_type=model.prediction_type,
        first_timestep=model.first_timestep,
        timestep_scale=model.scale,
    )
    for name in scheduler.variant.moments:
        scheduler.moments[name] = {t: denoiser.moments[name][t] for t in steps}
    return scheduler
