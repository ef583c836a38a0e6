"""One loop for every network trained here: the mean model, the heads, the extractor's classifier.

Adam with linear warm-up and cosine decay of the learning rate. The result is an exponential moving
average (EMA) of the weights. A training that was interrupted goes on from a checkpoint and gives
the same weights: the draws of step n are a function of n (`bench.noise`), so the checkpoint holds
weights, optimiser state and log, and no state of a random generator.
"""

import copy
import io
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from bench import noise
from bench.data.dataset import Data
from bench.runtime import digests, files, imports, stopwatch
from bench.runtime.errors import BenchError
from bench.schedule import Schedule

CHECKPOINT_EVERY = 200  # steps
LOG_EVERY = 20  # steps between logged losses, each the mean over the steps since the last


def train(
    network: nn.Module,
    loss_of_step: Callable[[int], Tensor | dict[str, Tensor]],
    section: Any,
    checkpoint: Path,
    description: str,
    on_loss: Callable[[int, dict[str, float]], object] | None = None,
    version: str = "",
) -> tuple[nn.Module, list[dict]]:
    """Trains `network` in place and returns (EMA network, log).

    loss_of_step: gives the scalar loss of a step 0, 1, …, or a dict of named ones, which are
    summed. section: a `sections.TrainSection`. checkpoint: path of the resumable state, deleted at
    the end. on_loss: called with (step, {name: mean loss}) at every logged step. version: of the
    code behind the loss; a checkpoint of another version is not continued. The log is a list of
    {"step": n, name: mean loss since the last logged step}.

    Raises BenchError, at the next logged step, if a loss or the weights are not finite.
    """
    imports.declare_torchvision()
    from diffusers.optimization import get_cosine_schedule_with_warmup

    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(section.ema))
    optimizer = torch.optim.Adam(network.parameters(), lr=section.learning_rate, fused=True)
    schedule = get_cosine_schedule_with_warmup(optimizer, section.warmup, section.steps)
    state = {"step": 0, "log": [], "pending": []}
    parts = {"network": network, "average": average, "optimizer": optimizer, "schedule": schedule}
    identity = digests.digest([description, section.model_dump(), repr(network), version])
    _resume(checkpoint, identity, parts, state)
    network.train()
    bar = tqdm(
        range(state["step"], section.steps),
        initial=state["step"],
        total=section.steps,
        desc=description,
        unit="step",
        mininterval=1.0,
    )
    for step in bar:
        losses = loss_of_step(step)
        losses = losses if isinstance(losses, dict) else {"loss": losses}
        loss = sum(losses.values())
        optimizer.zero_grad()
        with stopwatch.inside(loss.device):
            loss.backward()
        optimizer.step()
        schedule.step()
        average.update_parameters(network)
        state["step"] = step + 1
        # Tensors, read later: to read a number now would wait for the GPU.
        state["pending"].append({name: loss.detach() for name, loss in losses.items()})
        if state["step"] % LOG_EVERY == 0 or state["step"] == section.steps:
            _check_losses(state, section, description)
            means = _take_means(state)
            bar.set_postfix({name: f"{mean:.4g}" for name, mean in means.items()})
            if on_loss:
                on_loss(state["step"], means)
        if state["step"] % CHECKPOINT_EVERY == 0:
            _save(checkpoint, identity, parts, state)
    if not all(torch.isfinite(weights).all() for weights in average.module.parameters()):
        raise _diverged(section, description, section.steps, "the weights are not finite")
    files.remove(checkpoint)
    return average.module.eval().requires_grad_(False), state["log"]


def _check_losses(state, section, description):
    """BenchError that names the first pending step whose loss is not finite."""
    first = state["step"] - len(state["pending"]) + 1
    for step, losses in enumerate(state["pending"], start=first):
        for name, loss in losses.items():
            if not math.isfinite(loss.item()):
                what = name if name == "loss" else f"loss of {name}"
                raise _diverged(section, description, step, f"the {what} is {loss.item()}")


def _diverged(section, description, step, fault):
    return BenchError(
        f"{description}: {fault} at step {step} of {section.steps}, expected finite numbers; "
        f"lower train.learning_rate, which is {section.learning_rate:g}"
    )


def _take_means(state):
    """Means of the pending losses. They are appended to the log."""
    pending, state["pending"] = state["pending"], []
    means = {name: sum(row[name].item() for row in pending) / len(pending) for name in pending[0]}
    state["log"].append({"step": state["step"], **means})
    return means


def _save(path, identity, parts, state):
    """Writes the checkpoint of the training that has this identity."""
    buffer = io.BytesIO()  # torch.save on a full disk dies in its own clean-up, without an OSError
    torch.save(
        {
            "identity": identity,
            "state": state,
            **{name: part.state_dict() for name, part in parts.items()},
        },
        buffer,
    )
    with files.writing(path) as partial:
        partial.write_bytes(buffer.getbuffer())


def _resume(path, identity, parts, state):
    """Loads the checkpoint into `parts` and `state`, if it exists and is of the same training.

    That of another training is ignored, and overwritten later. One that cannot be used is deleted.
    """
    if not path.exists():
        return
    fresh = {name: copy.deepcopy(part.state_dict()) for name, part in parts.items()}
    try:
        with files.reading(path):
            saved = torch.load(path, weights_only=True, map_location="cpu")
            if saved["identity"] != identity:
                return
            _check_keys(saved, {"identity", "state", *parts})
            for name, right in {"state": state, **fresh}.items():
                _check_keys(saved[name], right.keys())
            for name, part in parts.items():
                part.load_state_dict(saved[name])
            state.update(saved["state"])
    except BenchError as error:
        for name, part in parts.items():
            part.load_state_dict(fresh[name])
        files.remove(path)
        fault = str(error).partition("; make it")[0]
        print(f"{fault}; deleted, and the training begins anew", file=sys.stderr)


def _check_keys(found, expected):
    """ValueError for a dict with other keys."""
    if found.keys() != expected:
        raise ValueError(f"found the keys {', '.join(map(str, found))[:80]}")


def draw(
    data: Data,
    schedule: Schedule,
    names: tuple,
    step: int,
    batch: int,
    steps: Float64[np.ndarray, " N"] | None = None,
    device: str | torch.device = "cpu",
) -> tuple[
    Float64[Tensor, "{batch} dim"],
    Int64[Tensor, " {batch}"],
    Float64[Tensor, "{batch} dim"],
    Float64[Tensor, "{batch} dim"],
]:
    """The training batch of a step: (x_t, t, ε, x_0) on `device`, t in 1..N.

    names: the root of every draw. step: 0, 1, …. batch: the number of rows. steps: probabilities of
    t = 1..N, uniform by default.
    """
    random = noise.generator(*names, "batch", step)
    x_0 = torch.from_numpy(data.to_float(data.train[random.integers(len(data.train), size=batch)]))
    if steps is None:
        t = random.integers(1, schedule.N + 1, size=batch)
    else:
        t = 1 + random.choice(schedule.N, size=batch, p=steps)
    eps = torch.from_numpy(noise.normal((*names, "eps", step), 0, batch, data.dim))
    signal = torch.from_numpy(schedule.signal[t])[:, None]
    spread = torch.from_numpy(schedule.noise[t])[:, None]
    x_t = signal * x_0 + spread * eps
    return tuple(part.to(device) for part in (x_t, torch.from_numpy(t), eps, x_0))
