"""Heads: second-stage networks that read the frozen mean model and regress what a variance variant needs.

Two stages (Bao et al. 2022b, section 4): the mean model is trained and frozen, then a head learns a
conditional expectation given x_t by least squares on its target,

    npr  (ε − ε̂)²        sn  ε²

A `simple` head is GroupNorm → SiLU → 3×3 convolution on the trunk's last hidden feature map; a `complex` one has
a time-conditioned residual block in front. The convolution starts at zero. All heads asked for are trained
together, in one pass of the trunk a step, each on its own output; the loss is the squared error summed over
coordinates, averaged over the batch, t uniform on 1..N. The EMA of the weights is what is kept.
"""

import torch
from torch import nn

from bench import files, noise, training
from bench.errors import BenchError
from bench.mean.train import draw

TARGETS = {
    "npr": lambda eps, eps_hat: (eps - eps_hat) ** 2,
    "sn": lambda eps, eps_hat: eps**2,
}


class Head(nn.Module):
    """A head of mode 'simple' or 'complex' with `out_channels` outputs a pixel."""

    def __init__(self, mode, channels, time_channels, out_channels, groups):
        super().__init__()
        from diffusers.models.resnet import ResnetBlock2D

        self.block = None
        if mode == "complex":
            self.block = ResnetBlock2D(in_channels=channels, temb_channels=time_channels, groups=groups)
        self.norm = nn.GroupNorm(groups, channels)
        self.conv = nn.Conv2d(channels, out_channels, 3, padding=1)
        nn.init.zeros_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)

    def forward(self, features):
        """(batch, dim) from `mean.Features`, in fp32."""
        # On channels_last input without gradient the backward of GroupNorm crashes in torch 2.13.
        hidden = features.hidden.contiguous()
        if self.block is not None:
            hidden = self.block(hidden, features.time)
        return self.conv(nn.functional.silu(self.norm(hidden))).flatten(1)


def make(targets, model):
    """Heads {name: Head} for {name: mode}, shaped to the trunk of `model`."""
    unet, norm = model.unet, model.unet.conv_norm_out
    return nn.ModuleDict({name: Head(mode, norm.num_channels, unet.time_embedding.linear_2.out_features,
                                     unet.config.out_channels, norm.num_groups)
                          for name, mode in targets.items()})


def train(model, data, schedule, section, names, checkpoint, on_loss=None):
    """Trains all heads of `section` (`sections.HeadsSection`) together; returns (EMA heads, training log).

    names: (seed, setting), the root of every draw; checkpoint, on_loss: see `bench.training.train`.
    """
    torch.manual_seed(noise.generator(*names, "heads", "weights").integers(2**63))
    heads = make(section.targets, model)

    def loss_of_step(step):
        x_t, t, eps, _ = draw(data, schedule, (*names, "heads"), step, section.train.batch)
        with torch.no_grad():
            eps_hat, features = model(x_t, t)
        return {name: (head(features) - TARGETS[name](eps, eps_hat).float()).square().sum(1).mean()
                for name, head in heads.items()}

    return training.train(heads, loss_of_step, section.train, checkpoint, f"heads {names[-1]}", on_loss)


def save(heads, targets, log, folder):
    """Writes `<name>.safetensors` for every head, and heads.json with the modes and the training log."""
    with files.writing(folder) as partial:
        partial.mkdir(parents=True)
        for name, head in heads.items():
            files.write_safetensors(partial / f"{name}.safetensors", head.state_dict())
        files.write_json(partial / "heads.json", {"targets": dict(targets), "log": log})


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
    return dict(heads.eval().requires_grad_(False).items())


def outputs(heads, features):
    """{name: output (batch, dim), float64} of every head, from the features of one pass."""
    return {name: head(features).to(torch.float64) for name, head in heads.items()}
