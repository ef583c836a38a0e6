"""Heads: second-stage networks that read the frozen mean model and learn what a variant needs.

Two stages (Bao et al. 2022b, section 4): the mean model is trained and frozen, then the head of
each variant is trained on the variant's own loss (`bench.covariance`): a conditional expectation
given x_t by least squares, or a variance by the bound.

A `simple` head is GroupNorm → SiLU → 3×3 convolution on the trunk's last hidden feature map. A
`complex` one has a residual block in front, which takes the time as those of the trunk do. A head
that gives numbers of an image as a whole has the mean over pixels and a linear layer in place of
the convolution. An `imported` one is either of them, trained with the trunk by others and read with
it. For vectors an `mlp` has two hidden layers on the features, their squares (sn must learn a
square of ε̂ to subtract it) and the time embedding. The last layer starts at zero. All heads of a
setting are trained together, in one pass of the trunk a step, each on its own output. The loss is
summed over coordinates and averaged over the batch, with t uniform on 1..N. The EMA of the weights
is kept.

The terms L_t of the bound differ by orders of magnitude. Where a head is trained on them, t is
drawn from p_t = ½/N + ½ L_t/Σ L_t, with L_t at σ² = √(β β̃) from the moments, and every head's loss
is weighted by 1/(N p_t) ≤ 2, which leaves its expectation as it was. Nichol & Dhariwal (2021)
estimate L_t while they train. From the moments it is known before, and a training resumes exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import nn
from typing_extensions import TypedDict

from bench import covariance, noise, process, terms, training
from bench.data.dataset import Data
from bench.jacobian import Jacobian, Undeclared, differentiate
from bench.process import Process
from bench.runtime import files, imports, stopwatch, weights
from bench.runtime.errors import BenchError
from bench.runtime.fields import Name
from bench.schedule import Schedule

HIDDEN = 128  # width of an mlp head


@dataclass(frozen=True)
class Batch:
    """What the loss of a head may read: a training batch, and one pass of the frozen mean model on
    it.

    x_0, eps, x_t, eps_hat: float64 (batch, dim). t: int64 (batch,), the step of each row. process:
    the one that has a bound, on the setting's schedule. names: the root of random numbers of this
    training step. jacobian: v from derivatives of the mean model; None if no head is trained on
    them.
    """

    x_0: torch.Tensor
    eps: torch.Tensor
    x_t: torch.Tensor
    t: torch.Tensor
    eps_hat: torch.Tensor
    process: Process
    data: Data
    names: tuple
    jacobian: Jacobian | None = None

    @cached_property
    def x0_hat(self) -> torch.Tensor:
        """x̂_0 = (x_t − b_t ε̂)/a_t, clipped to the data range, (batch, dim)."""
        a, b = (
            of_rows(values, self.t)
            for values in (self.process.schedule.signal, self.process.schedule.noise)
        )
        return ((self.x_t - b * self.eps_hat) / a).clamp(self.data.lo, self.data.hi)


def of_rows(
    of_steps: Float64[np.ndarray, " steps"], t: Int64[torch.Tensor, " batch"]
) -> Float64[torch.Tensor, "batch 1"]:
    """The entry of (N + 1,) at the step of each row."""
    return torch.from_numpy(of_steps).to(t.device)[t][:, None]


class Head(nn.Module):
    """A convolutional head of mode 'simple' or 'complex' on a `bench.mean.model.Trunk`.

    numbers: how many it gives for an image as a whole; None for one of each coordinate.
    """

    def __init__(self, mode, trunk, numbers=None):
        super().__init__()
        self.mode, self.block = mode, None
        if mode == "complex":
            imports.declare_torchvision()
            from diffusers.models.resnet import ResnetBlock2D

            self.block = ResnetBlock2D(
                in_channels=trunk.channels,
                temb_channels=trunk.time_channels,
                groups=trunk.groups,
                eps=trunk.eps,
                time_embedding_norm=trunk.time_scale_shift,
            )
        self.norm = nn.GroupNorm(trunk.groups, trunk.channels, eps=trunk.eps)
        self.whole = numbers is not None
        if self.whole:
            self.linear = _zero(nn.Linear(trunk.channels, numbers))
        else:
            self.conv = _zero(nn.Conv2d(trunk.channels, trunk.out_channels, 3, padding=1))

    def forward(self, features):
        """(batch, dim or numbers) from `bench.mean.model.Features`, in fp32."""
        # On channels_last input without gradient the backward of GroupNorm crashes in torch 2.13.
        hidden = features.hidden.contiguous()
        if self.block is not None:
            hidden = self.block(hidden, features.time)
        hidden = nn.functional.silu(self.norm(hidden))
        return self.linear(hidden.mean((2, 3))) if self.whole else self.conv(hidden).flatten(1)


class VectorHead(nn.Module):
    """A head of mode 'mlp', for vectors: images of one pixel, whose channels are coordinates.

    numbers: as in `Head`.
    """

    def __init__(self, mode, trunk, numbers=None):
        super().__init__()
        self.mode = mode
        self.layers = nn.Sequential(
            nn.Linear(2 * trunk.channels + trunk.time_channels, HIDDEN),
            nn.SiLU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.SiLU(),
            _zero(nn.Linear(HIDDEN, numbers or trunk.out_channels)),
        )

    def forward(self, features):
        """(batch, dim or numbers) from `bench.mean.model.Features`, in fp32."""
        hidden = features.hidden.flatten(1)
        return self.layers(torch.cat([hidden, hidden**2, features.time], dim=1))


MODES = {"simple": Head, "complex": Head, "mlp": VectorHead}


def _zero(layer):
    """The layer with weights and bias at zero."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def make(targets: Mapping[str, str], model) -> nn.ModuleDict:
    """Heads {name: network} for {name: mode}, shaped to the trunk and the images of `model`."""
    made = {}
    for name, mode in targets.items():
        made[name] = MODES[mode](mode, model.trunk, covariance.numbers_of(name, model.shape))
    return nn.ModuleDict(made)


def train(
    model,
    data: Data | None,
    schedule: Schedule | None,
    section,
    names: tuple,
    checkpoint: Path | None,
    on_loss=None,
    moments: Mapping[str, np.ndarray] | None = None,
    version: str = "",
) -> tuple[nn.ModuleDict, list[dict]]:
    """Trains all heads of `section` (`sections.HeadsSection`) together; returns (EMA heads,
    training log).

    data, schedule, checkpoint: None if all heads are imported. names: (seed, setting), the root of
    every draw. checkpoint, on_loss, version: see `bench.training.train`. moments: of
    `bench.moments`, where a head's training reads them (`bench.covariance.Head`).
    """
    ready = {name: with_trunk(model, name) for name in section.imported}
    if not section.trained:
        return nn.ModuleDict(ready), []
    torch.manual_seed(noise.generator(*names, "heads", "weights").integers(2**63))
    heads = make(section.trained, model).to(model.device)
    forward = process.make(process.BOUND_PROCESS, schedule)
    chances = weights = None  # of steps: uniform
    if any(covariance.get(name).head.steps == "importance" for name in section.trained):
        chances = importance(forward, moments["x0_error_sq_mean"], data.dim)
        weights = torch.from_numpy(1 / (schedule.N * chances)).to(model.device)

    def loss_of_step(step):
        x_t, t, eps, x_0 = training.draw(
            data, schedule, (*names, "heads"), step, section.train.batch, chances, model.device
        )
        jacobian = Undeclared(
            "reads batch.jacobian; expected `Head(products=1)`, or as many as it takes"
        )
        if any(covariance.get(name).head.products for name in section.trained):
            eps_hat, features, jacobian = differentiate(model, x_t, t, of_rows(schedule.noise, t))
        else:
            with torch.no_grad():
                eps_hat, features = model(x_t, t)
        batch = Batch(x_0, eps, x_t, t, eps_hat, forward, data, (*names, "heads", step), jacobian)
        weight = 1.0 if weights is None else weights[t - 1]
        losses = {}
        for name, head in heads.items():
            with stopwatch.inside(model.device):
                output = head(features)
            losses[name] = (weight * loss_of_rows(name, batch, output)).mean()
        return losses

    trained, log = training.train(
        heads, loss_of_step, section.train, checkpoint, f"heads {names[-1]}", on_loss, version
    )
    return nn.ModuleDict({**trained, **ready}), log


def loss_of_rows(
    name: str, batch: Batch, output: Float[torch.Tensor, "batch numbers"]
) -> Float[torch.Tensor, " batch"]:
    """The training loss of the variant called `name` for the output of its head.

    BenchError if it is of another shape, with which the weights of rows would be wrong, and if it
    reads a Jacobian that there is not.
    """
    try:
        loss = covariance.get(name).loss(batch, output)
    except BenchError as error:
        raise BenchError(f"variant {name!r}: loss: {error}") from error
    shape, rows = tuple(np.shape(loss)), len(batch.t)
    if shape != (rows,):
        raise BenchError(
            f"variant {name!r}: loss: found the shape {shape}, expected ({rows},), a number for "
            "each row of the batch"
        )
    return loss


def with_trunk(model, name: str) -> nn.Module:
    """The head `name` that came with `model`, frozen. BenchError as of `frozen`."""
    states = getattr(model, "heads", {})
    return frozen(name, states, model.trunk, model.shape).to(model.device)


def frozen(
    name: str, states: Mapping[str, Mapping[str, torch.Tensor]], trunk, shape: tuple[int, ...]
) -> nn.Module:
    """The head `name` of those that came with a mean model for images of `shape`, frozen.

    states: {name: state}. trunk: a `bench.mean.model.Trunk`. BenchError if it is not among them, or
    does not fit.
    """
    modes = "mlp" if shape[1:] == (1, 1) else "simple, complex"
    remedy = f"or a mode to train it in: {modes}"
    if name not in states:
        raise BenchError(
            f"heads.targets.{name}: imported, but the mean model came with {_listed(states)}; "
            f"expected a mean model that brings it along, {remedy}"
        )
    try:
        return imported(states[name], trunk, covariance.numbers_of(name, shape))
    except BenchError as error:
        raise BenchError(
            f"heads.targets.{name}: imported, but what came with the mean model does not fit: "
            f"{error}; expected a mean model whose {name} does, {remedy}"
        ) from error


def _listed(names: Iterable[str]) -> str:
    """Names in words."""
    return f"{', '.join(sorted(names))} only" if names else "no heads"


def imported(state: Mapping[str, torch.Tensor], trunk, numbers: int | None = None) -> nn.Module:
    """A frozen head on `trunk` with the weights `state`. BenchError if they do not fit.

    numbers: as in `Head`.
    """
    mode = "complex" if any(key.startswith("block.") for key in state) else "simple"
    head = Head(mode, trunk, numbers)
    expected = {key: tuple(tensor.shape) for key, tensor in head.state_dict().items()}
    for key in sorted(expected.keys() | state.keys()):
        found = tuple(state[key].shape) if key in state else None
        if found != expected.get(key):
            raise BenchError(
                f"head of mode {head.mode}: found {found or 'nothing'} for {key}, "
                f"expected {expected.get(key) or 'nothing'}"
            )
    head.load_state_dict(state)
    return head.eval().requires_grad_(False)


def importance(forward: Process, x0_error_sq: np.ndarray, dim: int) -> np.ndarray:
    """Probabilities (N,) of t = 1..N: half uniform, half as the terms of the bound at σ² = √(β β̃).

    x0_error_sq: E‖x_0 − x̂_0‖²/dim, (N + 1,), `x0_error_sq_mean` of `bench.moments`. The last term,
    to the data, counts as the largest.
    """
    schedule = forward.schedule
    t = np.arange(2, schedule.N + 1)
    sigma_sq = np.sqrt(schedule.skip_beta(t - 1, t) * schedule.beta_tilde(t - 1, t))
    sigma_sq, error = (torch.tensor(values)[:, None] for values in (sigma_sq, x0_error_sq[2:]))
    costs = dim * terms.middle_term(forward, t - 1, t, sigma_sq, error).numpy()
    costs = np.concatenate([[costs.max(initial=1.0)], costs])
    return 0.5 / schedule.N + 0.5 * costs / costs.sum()


class About(TypedDict):
    """What is read of heads.json. targets: {name: mode}."""

    targets: dict[Name, Literal[tuple(MODES)]]


def save(heads: Mapping[str, nn.Module] | nn.ModuleDict, log: list[dict], folder: Path) -> None:
    """Writes `<name>.safetensors` for every head, and heads.json with the modes and the log."""
    with files.writing(folder) as partial:
        partial.mkdir(parents=True)
        for name, head in heads.items():
            files.write_safetensors(partial / f"{name}.safetensors", head.state_dict())
        files.write_json(
            partial / "heads.json",
            {"targets": {name: head.mode for name, head in heads.items()}, "log": log},
        )


def load(folder: Path, model, wanted: Iterable[str]) -> dict[str, nn.Module]:
    """The heads named in `wanted`, frozen. BenchError for one that the folder does not hold."""
    if not wanted:
        return {}
    targets = files.read_json(folder / "heads.json", About)["targets"]
    missing = sorted(set(wanted) - set(targets))
    if missing:
        raise BenchError(f"{folder}: holds no head {missing[0]!r}; {files.remake(folder)}")
    heads = make({name: targets[name] for name in wanted}, model)
    for name, head in heads.items():
        state = weights.read(folder / f"{name}.safetensors")
        with files.reading(folder / f"{name}.safetensors"):
            head.load_state_dict(state)
    return dict(heads.to(model.device).eval().requires_grad_(False).items())


def outputs(heads: Mapping[str, nn.Module] | nn.ModuleDict, features) -> dict[str, torch.Tensor]:
    """{name: output, float64} of every head, from the features of one pass.

    An output is (batch, dim), or (batch, numbers) of a head that gives those of an image as a
    whole.
    """
    results = {}
    for name, head in heads.items():
        with stopwatch.inside(features.hidden.device):
            results[name] = head(features).to(torch.float64)
    return results
