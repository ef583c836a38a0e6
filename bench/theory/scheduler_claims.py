"""What diffusers' schedulers claim to be: a process, its variance and a spacing of timesteps.

A class claims what the first class of `CLAIMS` among its bases claims, from its configuration.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from bench import schedule
from bench.process import Process
from bench.runtime import files, imports, plugins
from bench.runtime.errors import BenchError, one_line, shown, unknown

CONFIG = "scheduler_config.json"
PREDICTIONS = ("epsilon", "sample", "v_prediction")


@dataclass(frozen=True)
class Claim:
    """What a scheduler claims.

    process: of `bench.process`. variance_name, variance: σ² as the heading calls it, and as a
    function of the process, s and t. spacing, timesteps: the name of the spacing, and the numbers
    that N and K say the timesteps are rounded from; None if nothing is known of them. eta: the
    argument η of `step`, if it is one.
    """

    process: str
    variance_name: str
    variance: Callable[[Process, int, int], float]
    spacing: str
    timesteps: Callable[[int, int], Float64[np.ndarray, " K"]] | None
    eta: float | None = None


def load(name: str, options: Mapping[str, Any]) -> Any:
    """The scheduler that `name` stands for.

    Parameters
    ----------
    name
        A class of diffusers, `package.module:Class`, or a folder with scheduler_config.json or with
        scheduler/scheduler_config.json.
    options
        Arguments of the constructor, instead of those of the folder's configuration.

    Raises BenchError if there is none, or if it refuses the options.
    """
    config = {}
    if Path(name).is_dir():
        config = read_config(Path(name))
        if config["_class_name"] == "ReverseScheduler":
            raise BenchError(
                f"{name}: what bench export writes takes the harness's own steps, so there is "
                f"nothing to compare with; expected one of {', '.join(CLAIMS)}"
            )
        cls = imports.scheduler(config["_class_name"])
    elif ":" in name:
        cls = plugins.load("scheduler", "bench.schedulers", imports.scheduler_mixin(), name, [])
    else:
        cls = imports.scheduler(name)
    arguments = inspect.signature(cls.__init__).parameters
    for option in options:
        if option not in arguments and "kwargs" not in arguments:
            raise BenchError(f"--option: {unknown('option', option, list(arguments)[1:])}")
    with one_line(f"{name}: cannot be made", "expected options of its constructor"):
        return cls.from_config({**config, **options})


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration of a scheduler or of a pipeline. BenchError if there is none."""
    path = folder / "scheduler" / CONFIG
    if not path.exists():
        path = folder / CONFIG
    remedy = f"expected a folder with {CONFIG} or scheduler/{CONFIG}"
    config = files.read_json(path, dict[str, Any], remedy)
    if not isinstance(config.get("_class_name"), str):
        raise BenchError(
            f"{path}: _class_name: expected the name of a class of diffusers, found "
            f"{shown(config.get('_class_name'))}; save it with save_pretrained"
        )
    return config


def claimed_betas(config: Mapping[str, Any]) -> Float64[np.ndarray, " N"] | None:
    """β_1 … β_N as the configuration says; None if it says something else than diffusers' own
    schedules.
    """
    if config.get("trained_betas") is not None:
        return np.asarray(config["trained_betas"], dtype=np.float64)
    N, ends = config.num_train_timesteps, (config.beta_start, config.beta_end)
    if config.beta_schedule == "linear":
        return np.linspace(*ends, N)
    if config.beta_schedule == "scaled_linear":
        return np.linspace(*np.sqrt(ends), N) ** 2
    if config.beta_schedule == "squaredcos_cap_v2":
        return schedule.cosine(N)
    return None


def claims_of(scheduler: Any) -> list[Claim]:
    """What a scheduler claims. BenchError if nothing is known of it, or of one of its options."""
    name, config = type(scheduler).__name__, scheduler.config
    known = [cls.__name__ for cls in type(scheduler).__mro__ if cls.__name__ in CLAIMS]
    if not known:
        raise BenchError(
            f"{name}: cannot be judged, as nothing here says what it claims; expected "
            f"{', '.join(CLAIMS)} or a subclass of one"
        )
    _judged(config, "prediction_type", PREDICTIONS)
    return CLAIMS[known[0]](config)


def _judged(config, option, values):
    """BenchError unless an option has a value of which it is known what it claims."""
    value = config.get(option, values[0])
    if value not in values:
        raise BenchError(
            f"{option}: {shown(value)} cannot be judged; expected {' or '.join(map(str, values))}, "
            f"as in --option {option}={str(values[0]).lower()}"
        )


def _beta_tilde(process, s, t):
    return float(process.schedule.beta_tilde(s, t))


def _beta(process, s, t):
    return float(process.schedule.skip_beta(s, t))


def _lambda_sq(process, s, t):
    return float(process.lambda_sq(s, t))


def _ddpm(config):
    small, large = ("fixed_small", "fixed_small_log"), ("fixed_large", "fixed_large_log")
    _judged(config, "variance_type", (*small, *large))  # a network decides the others
    if config.get("variance_type", small[0]) in small:
        return [Claim("ddpm", "β̃_{s|t}", _beta_tilde, *_spacing(config))]
    return [Claim("ddpm", "β_{t|s}", _beta, *_spacing(config))]


def _ddim(config):
    of_eta = ("λ² = η² β̃_{s|t}", _lambda_sq, *_spacing(config))
    return [Claim("ddim", *of_eta, eta=eta) for eta in (0.0, 1.0)]


def _multistep(config):
    _judged(config, "algorithm_type", ("dpmsolver++", "sde-dpmsolver++"))
    _judged(config, "solver_order", (2, 1))
    _judged(config, "solver_type", ("midpoint",))
    _judged(config, "lambda_min_clipped", (-float("inf"),))
    _judged(config, "variance_type", (None,))
    for where in ("karras", "exponential", "beta", "flow"):  # levels between those of the schedule
        _judged(config, f"use_{where}_sigmas", (False,))
    _judged(config, "use_lu_lambdas", (False,))
    family = "ddpm" if config["algorithm_type"] == "sde-dpmsolver++" else "ddim"
    order = "_2m" if config["solver_order"] == 2 else ""
    variance_name = "β̃_{s|t}" if family == "ddpm" else "0"
    return [Claim(family + order, variance_name, _lambda_sq, *_spacing(config, beyond=1))]


CLAIMS = {
    "DDPMScheduler": _ddpm,
    "DDPMParallelScheduler": _ddpm,
    "DDIMScheduler": _ddim,
    "DDIMParallelScheduler": _ddim,
    "DPMSolverMultistepScheduler": _multistep,
}


def _spacing(config, beyond=0):
    """(name, timesteps) of Table 2 of Lin et al. 2023 (2305.08891), before rounding.

    beyond: points beyond the K that are used. DPM-Solver (Lu et al. 2022) has K + 1 points for K
    steps, from noise to data. Its scheduler takes the first K of K + 1 points of `leading` and
    `linspace`; the data replace the last one, timestep 0. That is its claim here, and no bug.
    `trailing` has K points for all, as the data are the point behind them.
    """
    name, offset = config.get("timestep_spacing"), config.get("steps_offset", 0)
    spacings = {
        "leading": lambda N, K: (np.arange(K + beyond) * float(N // (K + beyond)) + offset)[::-1],
        "linspace": lambda N, K: np.linspace(0, N - 1, K + beyond)[::-1],
        "trailing": lambda N, K: N - np.arange(K) * N / K - 1,
    }
    if name not in spacings:
        return str(name), None
    return name, lambda N, K: spacings[name](N, K)[:K]


def heading(scheduler: Any, claims: Sequence[Claim], steps: int) -> str:
    """A line that says what the scheduler claims."""
    first, config = claims[0], scheduler.config
    etas = [f"{claim.eta:g}" for claim in claims if claim.eta is not None]
    named = first.process + (f" with η = {' and '.join(etas)}" if etas else "")
    return (
        f"{type(scheduler).__name__} claims: process {named}, variance {first.variance_name}, "
        f"spacing {first.spacing}, N = {len(scheduler.alphas_cumprod)}, K = {steps}, "
        f"prediction {config.get('prediction_type', 'epsilon')}"
    )
