"""One loop for every network trained here: the mean model, the heads, the extractor's classifier.

Adam, linear warm-up and cosine decay of the learning rate, an exponential moving average (EMA) of the weights
that is what gets used afterwards, and a checkpoint from which an interrupted training goes on as if nothing
had happened: the draws of step n are a function of n (`bench.noise`), so nothing but weights and optimiser
state needs keeping.
"""

import io

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from bench import noise
from bench.runtime import digests, files, imports, stopwatch

CHECKPOINT_EVERY = 200  # steps
LOG_EVERY = 20  # steps between logged losses, each the mean over the steps since the last


def train(network, loss_of_step, section, checkpoint, description, on_loss=None):
    """Trains `network` in place and returns (EMA network, log).

    loss_of_step: step (0-based) → scalar loss tensor, or a dict of named ones, which are summed.
    section: a `sections.TrainSection`; checkpoint: path of the resumable state, deleted at the end.
    on_loss: called with (step, {name: mean loss}) at every logged step.
    log: list of {"step": n, name: mean loss over the last steps}.
    """
    imports.declare_torchvision()
    from diffusers.optimization import get_cosine_schedule_with_warmup

    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(section.ema))
    optimizer = torch.optim.Adam(network.parameters(), lr=section.learning_rate, fused=True)
    schedule = get_cosine_schedule_with_warmup(optimizer, section.warmup, section.steps)
    state = {"step": 0, "log": [], "pending": []}
    parts = {"network": network, "average": average, "optimizer": optimizer, "schedule": schedule}
    identity = digests.digest([description, section.model_dump(), repr(network)])
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
        state["pending"].append(
            {name: loss.detach() for name, loss in losses.items()}
        )  # read later: a GPU is not waited for
        if state["step"] % LOG_EVERY == 0 or state["step"] == section.steps:
            means = _take_means(state)
            bar.set_postfix({name: f"{mean:.4g}" for name, mean in means.items()})
            if on_loss:
                on_loss(state["step"], means)
        if state["step"] % CHECKPOINT_EVERY == 0:
            _save(checkpoint, identity, parts, state)
    files.remove(checkpoint)
    return average.module.eval().requires_grad_(False), state["log"]


def _take_means(state):
    """Means of the pending losses, appended to the log."""
    pending, state["pending"] = state["pending"], []
    means = {name: sum(row[name].item() for row in pending) / len(pending) for name in pending[0]}
    state["log"].append({"step": state["step"], **means})
    return means


def _save(path, identity, parts, state):
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
    """Loads a checkpoint of the very same training, if there is one; any other is ignored and overwritten."""
    if not path.exists():
        return
    with files.reading(path):
        saved = torch.load(path, weights_only=True, map_location="cpu")
    if saved["identity"] != identity:
        return
    for name, part in parts.items():
        part.load_state_dict(saved[name])
    state.update(saved["state"])


def draw(data, schedule, names, step, batch, steps=None, device="cpu"):
    """The training batch of a step: (x_t, t, ε, x_0), float64 (batch, dim), on `device`.

    steps: probabilities (N,) of t = 1..N, uniform by default.
    """
    random = noise.generator(*names, "batch", step)
    x_0 = torch.from_numpy(data.to_float(data.train[random.integers(len(data.train), size=batch)]))
    t = (
        random.integers(1, schedule.N + 1, size=batch)
        if steps is None
        else 1 + random.choice(schedule.N, size=batch, p=steps)
    )
    eps = torch.from_numpy(noise.normal((*names, "eps", step), 0, batch, data.dim))
    x_t = (
        torch.from_numpy(schedule.signal[t])[:, None] * x_0
        + torch.from_numpy(schedule.noise[t])[:, None] * eps
    )
    return tuple(part.to(device) for part in (x_t, torch.from_numpy(t), eps, x_0))
