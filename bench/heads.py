"""Heads: second-stage networks that read the frozen mean model and regress what a variance variant needs.

Two stages (Bao et al. 2022b, section 4): the mean model is trained and frozen, then a head learns a
conditional expectation given x_t by least squares on its target,

    npr  (ε − ε̂)²        sn  ε²

or, for `improved_ddpm`, a variance by the bound itself: L_vlb = Σ_t L_t of Nichol & Dhariwal 2021, the terms of
`bench.bound` on the full chain with the mean frozen. At t = 1 the last term is the density of a Gaussian, or for
data with levels the discretised one, of the head's own variance.

A `simple` head is GroupNorm → SiLU → 3×3 convolution on the trunk's last hidden feature map; a `complex` one has
a residual block in front, which takes the time as those of the trunk do. An `imported` one is either of them, trained with
the trunk by others and read with it. For vectors an `mlp` has two hidden layers on the features, their
squares (sn must learn a square of ε̂ to subtract it) and the time embedding. The last layer starts at zero. All
heads asked for are trained together, in one pass of the trunk a step, each on its own output; the loss is summed
over coordinates and averaged over the batch, t uniform on 1..N. The terms L_t differ by orders of magnitude, so where
one is trained on them t is drawn from p_t = ½/N + ½ L_t/Σ L_t, L_t at u = ½ from the moments, and every head's loss is
weighted by 1/(N p_t) ≤ 2, which leaves its expectation as it was. (Nichol & Dhariwal estimate L_t as the training goes;
from the moments it is a function of what was made before, and a training resumes exactly.) The EMA of the weights is kept.
"""

import functools

import numpy as np
import torch
from torch import nn

from bench import covariance, noise, process, terms, training
from bench.runtime import files, imports, stopwatch
from bench.runtime.errors import BenchError

HIDDEN = 128  # width of an mlp head

TARGETS = {"npr": lambda eps, eps_hat: (eps - eps_hat) ** 2, "sn": lambda eps, eps_hat: eps**2}


class Head(nn.Module):
    """A convolutional head of mode 'simple' or 'complex' on a `bench.mean.model.Trunk`."""

    def __init__(self, mode, trunk):
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
        self.conv = _zero(nn.Conv2d(trunk.channels, trunk.out_channels, 3, padding=1))

    def forward(self, features):
        """(batch, dim) from `bench.mean.model.Features`, in fp32."""
        # On channels_last input without gradient the backward of GroupNorm crashes in torch 2.13.
        hidden = features.hidden.contiguous()
        if self.block is not None:
            hidden = self.block(hidden, features.time)
        return self.conv(nn.functional.silu(self.norm(hidden))).flatten(1)


class VectorHead(nn.Module):
    """A head of mode 'mlp', for images of one pixel: the channels are the coordinates of a vector."""

    def __init__(self, mode, trunk):
        super().__init__()
        self.mode = mode
        self.layers = nn.Sequential(
            nn.Linear(2 * trunk.channels + trunk.time_channels, HIDDEN),
            nn.SiLU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.SiLU(),
            _zero(nn.Linear(HIDDEN, trunk.out_channels)),
        )

    def forward(self, features):
        """(batch, dim) from `bench.mean.model.Features`, in fp32."""
        hidden = features.hidden.flatten(1)
        return self.layers(torch.cat([hidden, hidden**2, features.time], dim=1))


MODES = {"simple": Head, "complex": Head, "mlp": VectorHead}


def _zero(layer):
    """The layer with weights and bias at zero."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def make(targets, model):
    """Heads {name: module} for {name: mode}, shaped to the trunk of `model`."""
    return nn.ModuleDict({name: MODES[mode](mode, model.trunk) for name, mode in targets.items()})


def train(model, data, schedule, section, names, checkpoint, on_loss=None, moments=None):
    """Trains all heads of `section` (`sections.HeadsSection`) together; returns (EMA heads, training log).

    names: (seed, setting), the root of every draw; checkpoint, on_loss: see `bench.training.train`; moments: of
    `bench.moments`, for a head that is trained on the bound.
    """
    found = {name: with_trunk(model, name) for name in section.imported}
    if not section.trained:
        return nn.ModuleDict(found), []
    if "mlp" in section.targets.values() and data.shape[1:] != (1, 1):
        raise BenchError(
            f"heads.targets: mode mlp is for vectors; expected simple or complex for images of shape {data.shape}"
        )
    torch.manual_seed(noise.generator(*names, "heads", "weights").integers(2**63))
    heads = make(section.trained, model).to(model.device)
    forward = process.make("ddpm", schedule)
    on_bound = [name for name in section.trained if name not in TARGETS]
    steps = importance(forward, moments["x0_error_sq"]) if on_bound else None
    weights = None if steps is None else torch.from_numpy(1 / (schedule.N * steps)).to(model.device)

    def loss_of_step(step):
        x_t, t, eps, x_0 = training.draw(
            data, schedule, (*names, "heads"), step, section.train.batch, steps, model.device
        )
        with torch.no_grad():
            eps_hat, features = model(x_t, t)
        weight = 1.0 if weights is None else weights[t - 1]
        losses = {}
        for name, head in heads.items():
            with stopwatch.inside(model.device):
                output = head(features)
            if name in TARGETS:
                losses[name] = (output - TARGETS[name](eps, eps_hat).float()).square().sum(1)
            else:
                losses[name] = bound_terms(
                    output, forward, data, t, x_0, x_t, eps_hat, covariance.get(name)
                )
        return {name: (weight * loss).mean() for name, loss in losses.items()}

    trained, log = training.train(
        heads, loss_of_step, section.train, checkpoint, f"heads {names[-1]}", on_loss
    )
    return nn.ModuleDict({**trained, **found}), log


def with_trunk(model, name):
    """The head `name` that came with `model`, frozen. BenchError where none did."""
    came = getattr(model, "heads", {})
    check_imported([name], came)
    return imported(came[name], model.trunk).to(model.device)


def check_imported(names, came):
    """BenchError unless all heads `names` are among those that `came` with a mean model."""
    for name in names:
        if name not in came:
            raise BenchError(
                f"heads.targets.{name}: imported, but the mean model came with {_listed(came)}; expected a mean "
                "model that brings it along, or a mode to train it in: simple, complex, mlp"
            )


def _listed(names):
    """Names in words."""
    return f"{', '.join(sorted(names))} only" if names else "no heads"


def imported(state, trunk):
    """A frozen head on `trunk` with the weights `state`, {key: tensor}. BenchError where they do not fit."""
    head = Head("complex" if any(key.startswith("block.") for key in state) else "simple", trunk)
    expected = {key: tuple(tensor.shape) for key, tensor in head.state_dict().items()}
    for key in sorted(expected.keys() | state.keys()):
        found = tuple(state[key].shape) if key in state else None
        if found != expected.get(key):
            raise BenchError(
                f"head of mode {head.mode}: found {found or 'nothing'} for {key}, expected {expected.get(key)}"
            )
    head.load_state_dict(state)
    return head.eval().requires_grad_(False)


def bound_terms(output, forward, data, t, x_0, x_t, eps_hat, variant):
    """L_t in nats of each row of a batch, (batch,), for a head's `output`; t: int64 (batch,), the rest (batch, dim)."""
    a, b = (
        torch.from_numpy(values).to(t.device)[t][:, None]
        for values in (forward.schedule.signal, forward.schedule.noise)
    )
    x0_hat = ((x_t - b * eps_hat) / a).clamp(data.lo, data.hi)
    # Between the ends the variance is log-linear in u, so the ends at every t are all that is needed of the variant.
    low, high = (ends.to(t.device)[t - 1][:, None] for ends in _ends(forward, variant))
    u = variant.data_variance(None, None, None, None, head=output.double())
    sigma_sq = torch.exp(u * high.log() + (1 - u) * low.log())
    first = t == 1
    nats = torch.empty(len(t), dtype=torch.float64, device=t.device)
    later = t[~first].cpu().numpy()
    nats[~first] = terms.middle_term(
        forward, later - 1, later, sigma_sq[~first], (x_0 - x0_hat)[~first] ** 2
    )
    if data.levels is None:
        nats[first] = terms.last_term_continuous(
            forward.schedule, sigma_sq[first], (x_0 - x0_hat)[first] ** 2
        )
    else:
        nats[first] = terms.last_term(data, x_0[first], x0_hat[first], sigma_sq[first].sqrt())
    return nats


@functools.cache
def _ends(forward, variant):
    """The variance of every step t → t − 1 at u = 0 and at u = 1, two tensors (N,)."""
    steps = range(1, forward.schedule.N + 1)
    return [
        torch.tensor([variant.variance(forward, step - 1, step, u) for step in steps])
        for u in (0.0, 1.0)
    ]


def importance(forward, x0_error_sq):
    """Probabilities (N,) of t = 1..N: half uniform, half as the terms of the bound at σ² = √(β β̃).

    x0_error_sq: E(x_0 − x̂_0)², (N + 1, dim), of `bench.moments`.
    """
    t = np.arange(2, forward.schedule.N + 1)
    sigma_sq = np.sqrt(forward.schedule.skip_beta(t - 1, t) * forward.schedule.beta_tilde(t - 1, t))
    costs = terms.middle_term(
        forward, t - 1, t, torch.from_numpy(sigma_sq)[:, None], torch.tensor(x0_error_sq[2:])
    ).numpy()
    costs = np.concatenate(
        [[costs.max(initial=1.0)], costs]
    )  # the last term is the largest or near it
    return 0.5 / forward.schedule.N + 0.5 * costs / costs.sum()


def save(heads, log, folder):
    """Writes `<name>.safetensors` for every head, and heads.json with the modes and the training log."""
    with files.writing(folder) as partial:
        partial.mkdir(parents=True)
        for name, head in heads.items():
            files.write_safetensors(partial / f"{name}.safetensors", head.state_dict())
        files.write_json(
            partial / "heads.json",
            {"targets": {name: head.mode for name, head in heads.items()}, "log": log},
        )


def load(folder, model, wanted):
    """The heads named in `wanted`, as {name: Head}, frozen. {} where none is wanted."""
    if not wanted:
        return {}
    targets = files.read_json(folder / "heads.json")["targets"]
    missing = sorted(set(wanted) - set(targets))
    if missing:
        raise BenchError(f"{folder}: holds no head {missing[0]!r}; {files.remake(folder)}")
    heads = make({name: targets[name] for name in wanted}, model)
    for name, head in heads.items():
        state = files.read_safetensors(folder / f"{name}.safetensors")
        with files.reading(folder / f"{name}.safetensors"):
            head.load_state_dict(state)
    return dict(heads.to(model.device).eval().requires_grad_(False).items())


def outputs(heads, features):
    """{name: output (batch, dim), float64} of every head, from the features of one pass."""
    found = {}
    for name, head in heads.items():
        with stopwatch.inside(features.hidden.device):
            found[name] = head(features).to(torch.float64)
    return found
