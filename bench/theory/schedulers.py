"""Is a scheduler of diffusers the process that it claims to be?

Every step of the processes here is linear in what the network says:

    x_s = P x̂_0 + Q ε̂ + W x̂_0(x_u) + σ z,

where u is the step before t, and W = 0 at first order. `bench.process` says what P, Q and W are.
Step t is diffusers' timestep t − 1; s is the next entry of `scheduler.timesteps`, and 0 (the data)
after the last one. A scheduler is given thousands of random x̂_0 and ε̂ and x_t = a_t x̂_0 + b_t ε̂.
Least squares find the P, Q, W and σ of what it returns. z is known, as diffusers draws it with
`torch.randn` from the generator that it is given. So nothing but rounding is left over. If more is
left over, the noise is drawn in another way, and what is left over counts as variance.

Then the scheduler samples a Gaussian mixture with the exact ε̂, beside the process with the same x_N
and z.

diffusers computes in float32, on its own ᾱ, and so the process is that of this ᾱ. See `tolerances`.
"""

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from bench import noise, process
from bench.data.readers.mixture import law_of
from bench.mixture import Mixture, Oracle
from bench.process import Process
from bench.runtime.errors import BenchError, one_line
from bench.schedule import Schedule
from bench.theory.ground import sigmas
from bench.theory.scheduler_claims import Claim, claimed_betas

STREAM = ("check", "scheduler")
POINTS, DIM = 4096, 2  # of which least squares find the coefficients
SAMPLES = 1000  # of the mixture
SCALE = 1 / 12  # of the mixture, whose data then lie within [−1, 1]
NAMES = (
    "coefficient of x̂_0",
    "coefficient of ε̂",
    "coefficient of x̂_0 of the step before",
    "variance σ²",
)
BEFORE, VARIANCE = 2, 3  # places in NAMES
ROUND = 2.0**-24  # the relative error of a rounding to float32
# Roundings on the way from ᾱ to a coefficient. The longest is that of the multistep solver: b/a
# (3), a and b from it (5), their logarithms (2), a difference, an exponential, and four products.
ROUNDINGS = 16
NOT_JUDGED = "not judged"
Number = float | np.number


@dataclass(frozen=True)
class Jump:
    """A step t → s after a step u → t; u is None for the first one."""

    s: int
    t: int
    u: int | None

    def __str__(self) -> str:
        return f"timestep {self.t - 1} → {timestep_of(self.s)}"


@dataclass(frozen=True)
class Step:
    """What a scheduler did in a jump: the numbers of `NAMES`, their standard errors, and whether
    its noise was the expected z.
    """

    jump: Jump
    numbers: Float64[np.ndarray, "4"]
    stderr: Float64[np.ndarray, "4"]
    is_expected_noise: bool


@dataclass(frozen=True)
class Chain:
    """A scheduler with its timesteps set, one of its claims, and the process that it claims."""

    scheduler: Any
    claim: Claim
    process: Process
    jumps: Sequence[Jump]

    @property
    def schedule(self) -> Schedule:
        """The scheduler's own noise schedule."""
        return self.process.schedule

    @property
    def prediction(self) -> str:
        """What the network predicts."""
        return self.scheduler.config.get("prediction_type", "epsilon")

    @property
    def radius(self) -> float:
        """The range of x̂_0 that the scheduler leaves as it is."""
        config = self.scheduler.config
        if config.get("thresholding"):
            return 1.0
        return float(config.get("clip_sample_range", 1.0)) if config.get("clip_sample") else np.inf

    def indices(self) -> list[int]:
        """The places in `NAMES` of what a step of the process has."""
        return [0, 1, BEFORE, VARIANCE] if self.process.order == 2 else [0, 1, VARIANCE]


def timestep_of(s: int) -> str:
    """What step s is called in diffusers."""
    return str(s - 1) if s else "the data"


def check(scheduler: Any, claims: Sequence[Claim], steps: int) -> list[dict[str, Any]]:
    """Rows that say whether a scheduler keeps its claims with so many steps.

    A row is (claim, expected, measured, tolerance, verdict). The verdict is true, false, or
    `NOT_JUDGED`. BenchError for a number of steps that the scheduler refuses, and for a noise
    schedule without a process.
    """
    schedule = schedule_of(scheduler)
    set_timesteps(scheduler, steps)
    timesteps = scheduler.timesteps.numpy()
    rows = [schedule_row(scheduler, schedule)]
    rows += spacing_rows(claims[0], timesteps, schedule.N, steps)
    is_inside, falls = np.isin(timesteps, np.arange(schedule.N)), np.diff(timesteps) < 0
    if not (is_inside.all() and falls.all()):
        return [*rows, row("steps and samples, as the timesteps are no chain")]
    for claim in claims:
        made = process.make(claim.process, schedule, claim.eta or 0.0)
        chain = Chain(scheduler, claim, made, jumps_of(timesteps))
        prefix = "" if len(claims) == 1 else f"η = {claim.eta:g}: "
        if claim.eta and not takes(scheduler, "eta"):
            rows.append(row(f"{prefix}steps and samples, as `step` does not take eta"))
            continue
        found = probe(chain)
        is_paired = all(step.is_expected_noise for step in found)
        for line in [*step_rows(chain, found), *sample_rows(chain, is_paired)]:
            rows.append(line | {"claim": prefix + line["claim"]})
    return rows


def row(
    claim: str,
    expected: Number = np.nan,
    measured: Number = np.nan,
    tolerance: Number = np.nan,
    verdict: Any = NOT_JUDGED,
) -> dict[str, Any]:
    """A row of the table."""
    if verdict != NOT_JUDGED:
        verdict = bool(verdict)
    numbers = {"expected": expected, "measured": measured, "tolerance": tolerance}
    return {"claim": claim, **{k: float(v) for k, v in numbers.items()}, "verdict": verdict}


def within(claim: str, expected: Number, measured: Number, tolerance: Number) -> dict[str, Any]:
    """A row whose verdict is that two numbers agree within a tolerance."""
    return row(claim, expected, measured, tolerance, abs(measured - expected) <= tolerance)


def schedule_of(scheduler: Any) -> Schedule:
    """The noise schedule of `alphas_cumprod`. BenchError unless it falls strictly inside (0, 1)."""
    alpha_bar = np.array([1.0, *scheduler.alphas_cumprod.double().tolist()])
    falls = (np.diff(alpha_bar) < 0) & (alpha_bar[1:] > 0)
    if not falls.all():
        first = int(falls.argmin())
        raise BenchError(
            f"{type(scheduler).__name__}: cannot be judged, as alphas_cumprod does not fall or is "
            f"0: found {alpha_bar[first + 1]:g} at timestep {first}, after {alpha_bar[first]:g}; "
            "try --option rescale_betas_zero_snr=false"
        )
    return Schedule(np.concatenate([[0.0], 1 - alpha_bar[1:] / alpha_bar[:-1]]))


def schedule_row(scheduler: Any, schedule: Schedule) -> dict[str, Any]:
    """Whether ᾱ is that of the β which the configuration says.

    diffusers has β in float32 and multiplies N numbers 1 − β. Each has two roundings, and so has
    each product.
    """
    name = scheduler.config.get("beta_schedule")
    betas = claimed_betas(scheduler.config)
    if betas is None or scheduler.config.get("rescale_betas_zero_snr"):
        return row(f"ᾱ, as nothing here says what beta_schedule {name} is")
    if len(betas) != schedule.N:
        return within("number of β", len(betas), schedule.N, 0)
    expected = np.cumprod(1 - betas)
    off = abs(schedule.alpha_bar[1:] / expected - 1)
    worst = int(off.argmax())
    text = f"ᾱ at timestep {worst}, the farthest from that of its β"
    tolerance = expected[worst] * 4 * ROUND * (worst + 1)
    return within(text, expected[worst], schedule.alpha_bar[worst + 1], tolerance)


def set_timesteps(scheduler: Any, steps: int) -> None:
    """Sets the timesteps, and forgets the samples before. BenchError if it refuses."""
    with one_line(f"{type(scheduler).__name__}: --steps {steps}: refused", "try another number"):
        scheduler.set_timesteps(steps)


def jumps_of(timesteps: np.ndarray) -> list[Jump]:
    """The jumps of a scheduler, in the order in which it takes them."""
    steps = [None, *(int(timestep) + 1 for timestep in timesteps), 0]
    return [Jump(s, t, u) for u, t, s in zip(steps, steps[1:], steps[2:], strict=False)]


def spacing_rows(
    claim: Claim, timesteps: np.ndarray, N: int, steps: int
) -> Iterator[dict[str, Any]]:
    """Number, order and range of the timesteps, and whether they are those of the spacing."""
    count = len(timesteps)
    yield within("number of timesteps", steps, count, 0)
    rising = (np.diff(timesteps) >= 0).sum()
    yield within("timesteps that are not below the one before", 0, rising, 0)
    outside = (~np.isin(timesteps, np.arange(N))).sum()
    yield within("timesteps that are not among 0 .. N − 1", 0, outside, 0)
    if claim.timesteps is None:
        yield row("timesteps, as no spacing is claimed")
        return
    # Halves may be rounded up or down, and are themselves rounded.
    expected = claim.timesteps(N, steps)[:count]
    off = abs(timesteps[: len(expected)] - expected)
    worst = int(off.argmax())
    text = f"timestep {worst + 1} of {steps}, the farthest from spacing {claim.spacing}"
    yield within(text, expected[worst], timesteps[worst], 0.5 + 1e-6)


def coefficients(made: Process, jump: Jump) -> Float64[np.ndarray, "3"]:
    """P, Q and W of a jump: what the process makes of a unit vector for each."""
    a, b = made.schedule.signal[jump.t], made.schedule.noise[jump.t]
    x0_hat, eps_hat, before = np.eye(3)
    guess = x0_hat
    if made.order == 2 and jump.u is not None and jump.s > 0:
        guess = made.extrapolate(jump.s, jump.t, jump.u, x0_hat, before)
    return made.mean(jump.s, jump.t, a * x0_hat + b * eps_hat, guess, eps_hat)


def expected(chain: Chain, jump: Jump) -> Float64[np.ndarray, "4"]:
    """The numbers of `NAMES` in a jump. A sampler adds no noise to the data, whatever σ² is
    claimed.
    """
    variance = chain.claim.variance(chain.process, jump.s, jump.t) if jump.s else 0.0
    return np.array([*coefficients(chain.process, jump), variance])


def tolerances(chain: Chain, jump: Jump) -> Float64[np.ndarray, "4"]:
    """What rounding to float32 can make of the numbers of `expected`, to first order.

    With the error r = `ROUND` of one rounding and C = `ROUNDINGS`:

    * A product of numbers has the relative error C r. A logarithm ℓ has the error r |ℓ|.
    * 1 − ᾱ_t is exact if ᾱ_t ≥ 1/2. But ᾱ_t/ᾱ_s is rounded, so β_{t|s} = 1 − ᾱ_t/ᾱ_s has the
      error r, which is large relative to a small β. The multistep solver has 1 − e^(−2h) =
      β_{t|s}/b_t² in its place, with the error of h = ℓ_s − ℓ_t. Both are in `of_jump`. In the
      step to the data, β_{t|0} = b_t² and h = ∞ are exact.
    * x̂_0 from x_t and ε̂ has the error C r b_t/a_t times ε̂; ε̂ from x_t and x̂_0 likewise. From v
      they have C r.
    """
    schedule, (s, t, u) = chain.schedule, (jump.s, jump.t, jump.u)
    a, b = schedule.signal, schedule.noise
    P, Q, W, variance = np.abs(expected(chain, jump))
    logs = [np.log(a[n] / b[n]) for n in (s, t, u) if n]
    r, many = ROUND, ROUND * ROUNDINGS * (1 + np.abs(logs).max())
    of_jump = (2 * r + many * b[t] ** 2) / max(schedule.skip_beta(s, t), r) if s else many
    of_W = many
    if W:
        of_W += W * (of_jump + many / (logs[0] - logs[1]) + many / (logs[1] - logs[2]))
    of_P = many * P + chain.process.gamma(s, t) * of_jump + (of_W if W else 0.0)
    of_Q = many * Q
    if Q:  # √(b_s² − λ²)
        carry = chain.process.carry(s, t)
        of_Q += (many * b[s] ** 2 + chain.process.lambda_sq(s, t) * of_jump) / (2 * carry)
    from_x = {"epsilon": (0, b[t] / a[t]), "sample": (a[t] / b[t], 0), "v_prediction": (1, 1)}
    to_P, to_Q = from_x[chain.prediction]
    of_P, of_Q = of_P + many * Q * to_P, of_Q + many * P * to_Q
    of_variance = variance * of_jump + 2 * many * variance**0.5 + many**2
    return np.array([of_P, of_Q + many**2, of_W, of_variance])


def predicted(chain: Chain, t: int, x0_hat: Tensor, eps_hat: Tensor) -> Tensor:
    """The network's output that says this of x_0 and ε."""
    if chain.prediction == "epsilon":
        return eps_hat
    if chain.prediction == "sample":
        return x0_hat
    return chain.schedule.signal[t] * eps_hat - chain.schedule.noise[t] * x0_hat


def take(chain: Chain, t: int, output: Tensor, x_t: Tensor) -> Float64[Tensor, "points dim"]:
    """The scheduler's step from x_t, in float32, with the noise of `normal`. BenchError if it
    fails.
    """
    options = {}
    if takes(chain.scheduler, "generator"):
        options["generator"] = torch.Generator().manual_seed(t)
    if chain.claim.eta is not None and takes(chain.scheduler, "eta"):
        options["eta"] = chain.claim.eta
    images = [each.float().reshape(-1, DIM, 1, 1) for each in (output, x_t)]
    timestep = chain.scheduler.timesteps[[jump.t for jump in chain.jumps].index(t)]
    with one_line(f"{type(chain.scheduler).__name__}: step at timestep {t - 1}: failed"):
        result = chain.scheduler.step(images[0], timestep, images[1], **options)
        return result.prev_sample.double().reshape(-1, DIM)


def takes(scheduler: Any, option: str) -> bool:
    """Whether `step` takes an argument of this name."""
    arguments = inspect.signature(scheduler.step).parameters
    takes_any = any(each.kind is each.VAR_KEYWORD for each in arguments.values())
    return takes_any or option in arguments


def normal(t: int, count: int) -> Float64[Tensor, "{count} dim"]:
    """z of the step from t, as diffusers draws it."""
    generator = torch.Generator().manual_seed(t)
    return torch.randn(count, DIM, 1, 1, generator=generator).double().reshape(count, DIM)


def probe(chain: Chain) -> list[Step]:
    """The numbers of all steps, by least squares."""
    set_timesteps(chain.scheduler, len(chain.jumps))
    before, size = torch.zeros(POINTS, DIM, dtype=torch.float64), 0.0
    steps = []
    for jump in chain.jumps:
        draws = noise.generator(*STREAM, "x_0", jump.t).uniform(-1, 1, size=(POINTS, DIM))
        x0_hat = torch.from_numpy(draws) * min(chain.radius, 1.0)
        eps_hat = torch.from_numpy(noise.normal((*STREAM, "ε", jump.t), 0, POINTS, DIM))
        a, b = chain.schedule.signal[jump.t], chain.schedule.noise[jump.t]
        x_t = a * x0_hat + b * eps_hat
        x_s = take(chain, jump.t, predicted(chain, jump.t, x0_hat, eps_hat), x_t)
        of_before = abs(coefficients(chain.process, jump)[BEFORE]) * size
        size = x_t.square().mean().sqrt().item() * (1 / a + 1 / b)
        steps.append(
            regress(jump, x_s, [x0_hat, eps_hat, before, normal(jump.t, POINTS)], size + of_before)
        )
        before = x0_hat
    return steps


def regress(jump: Jump, x_s: Tensor, regressors: list[Tensor], size: Number) -> Step:
    """The step that least squares find.

    size: of the numbers that the scheduler added up to x_s. What rounding leaves over is relative
    to it.
    """
    if not x_s.isfinite().all():
        return Step(jump, np.full(4, np.nan), np.full(4, np.nan), False)
    columns = np.stack([each.flatten().numpy() for each in regressors], axis=1)
    values = x_s.flatten().numpy()
    found = np.linalg.lstsq(columns, values)[0]
    left_over = np.mean((values - columns @ found) ** 2)
    stderr = np.sqrt(left_over * np.diag(np.linalg.pinv(columns.T @ columns)))
    rounding = ROUNDINGS * ROUND * (size + np.abs(values).max())
    is_expected = bool(left_over <= rounding**2)
    variance = found[3] ** 2 if is_expected else found[3] ** 2 + left_over
    of_variance = 0.0 if is_expected else left_over * (2 / len(values)) ** 0.5
    return Step(
        jump, np.array([*found[:3], variance]), np.array([*stderr[:3], of_variance]), is_expected
    )


def step_rows(chain: Chain, steps: list[Step]) -> Iterator[dict[str, Any]]:
    """The worst step of each number of `NAMES`, and the last step."""
    finite = [step for step in steps if np.isfinite(step.numbers).all()]
    yield within("steps with numbers that are not finite", 0, len(steps) - len(finite), 0)
    inner = [step for step in finite if step.jump.s > 0]
    for index in chain.indices():
        if inner:
            compared = [compare(chain, step, index, len(inner)) for step in inner]
            ratios = [abs(m - e) / tolerance for e, m, tolerance in compared]
            worst = int(np.argmax(ratios))
            text = f"{NAMES[index]}, worst of {len(inner)} steps: {inner[worst].jump}"
            yield within(text + remark(chain, inner[worst], index), *compared[worst])
        elif len(steps) > 1:
            yield row(f"{NAMES[index]}, as no step is finite")
    for index in chain.indices():
        text = f"last step, {steps[-1].jump}: {NAMES[index]}"
        if np.isfinite(steps[-1].numbers).all():
            compared = compare(chain, steps[-1], index, 1)
            yield within(text + remark(chain, steps[-1], index), *compared)
        else:
            yield row(f"{text}, as it is not finite")


def compare(chain: Chain, step: Step, index: int, count: int) -> tuple[Number, Number, Number]:
    """(expected, measured, tolerance) of a number of a step, one of `count` that are compared."""
    tolerance = tolerances(chain, step.jump)[index] + sigmas(count) * step.stderr[index]
    return expected(chain, step.jump)[index], step.numbers[index], tolerance


def remark(chain: Chain, step: Step, index: int) -> str:
    """What else a row says: of noise that is drawn in another way, or of a step to another s."""
    if index == VARIANCE:
        other = "; its noise is not only torch.randn of the generator, so σ² is a mean square"
        return "" if step.is_expected_noise else other
    expected_number, measured, tolerance = compare(chain, step, index, 1)
    if abs(measured - expected_number) <= tolerance:
        return ""
    nearest = nearest_of(chain, step)
    if nearest is None or nearest == step.jump.s:
        return ""
    return f"; it steps to {'timestep ' if nearest else ''}{timestep_of(nearest)}"


def nearest_of(chain: Chain, step: Step) -> int | None:
    """The s whose coefficients are those of a step, or None."""
    t, fits = step.jump.t, {}
    others = [Jump(s, t, u) for s in range(t) for u in {step.jump.u, None}]
    for other in [*others, Jump(t, t, None)]:
        off = abs(coefficients(chain.process, other) - step.numbers[:VARIANCE])
        allowed = tolerances(chain, other)[:VARIANCE] + sigmas(t) * step.stderr[:VARIANCE]
        fits[other] = (off / allowed).max()
    nearest = min(fits, key=fits.get)
    return nearest.s if fits[nearest] <= 1 else None


def law() -> Mixture:
    """The mixture that is sampled."""
    made = law_of(3, DIM)
    return Mixture(made.weights, SCALE * made.means, SCALE**2 * made.covariances)


def start() -> Float64[Tensor, "samples dim"]:
    """x_N of both samplers."""
    return torch.from_numpy(noise.normal((*STREAM, "start"), 0, SAMPLES, DIM)).float().double()


def scheduler_samples(chain: Chain, oracle: Oracle) -> Float64[Tensor, "samples dim"]:
    """The scheduler's samples, by the loop of diffusers' pipelines."""
    scheduler = chain.scheduler
    set_timesteps(scheduler, len(chain.jumps))
    x = start() * float(scheduler.init_noise_sigma)
    for jump, timestep in zip(chain.jumps, scheduler.timesteps, strict=True):
        seen = scheduler.scale_model_input(x, timestep)
        x = take(chain, jump.t, predicted(chain, jump.t, *estimates(chain, oracle, jump, seen)), x)
    return x


def estimates(chain: Chain, oracle: Oracle, jump: Jump, x_t: Tensor) -> tuple[Tensor, Tensor]:
    """x̂_0 and ε̂ at x_t."""
    eps_hat = oracle.eps(x_t, jump.t)
    return (x_t - chain.schedule.noise[jump.t] * eps_hat) / chain.schedule.signal[jump.t], eps_hat


def process_samples(
    chain: Chain, oracle: Oracle, moved: int | None = None
) -> tuple[Float64[Tensor, "samples dim"], Bool[Tensor, " samples"]]:
    """Samples of the process, and for which of them every x̂_0 is in the range that is not clipped.

    moved: the place in `NAMES` of the number that is larger by its tolerance in every step.
    """
    x, before = start(), torch.zeros(SAMPLES, DIM, dtype=torch.float64)
    inside = torch.ones(SAMPLES, dtype=torch.bool)
    for jump in chain.jumps:
        numbers = expected(chain, jump)
        if moved is not None:
            numbers[moved] += tolerances(chain, jump)[moved]
        P, Q, W, variance = numbers
        x0_hat, eps_hat = estimates(chain, oracle, jump, x)
        inside &= (x0_hat.abs() <= chain.radius).all(1)
        x = P * x0_hat + Q * eps_hat + W * before + variance**0.5 * normal(jump.t, SAMPLES)
        before = x0_hat
    return x, inside


def moments_of(x: Tensor) -> Float64[Tensor, "dim columns"]:
    """Mean (the first column) and covariance."""
    return torch.cat([x.mean(0)[:, None], torch.cov(x.T)], dim=1)


def sampling_error(x: Tensor) -> Float64[Tensor, "dim columns"]:
    """The standard errors of `moments_of`."""
    centred = x - x.mean(0)
    products = centred[:, :, None] * centred[:, None, :]
    return torch.cat([x.std(0)[:, None], products.std(0)], dim=1) / len(x) ** 0.5


def sample_rows(chain: Chain, is_paired: bool) -> Iterator[dict[str, Any]]:
    """Mean and covariance of the scheduler's samples, against those of the process.

    Both are of the points whose x̂_0 is never clipped. The tolerance is how far the moments of the
    process move if each number of all its steps is larger by its own tolerance. is_paired: whether
    both samplers draw the same z. If not, standard errors are added.
    """
    oracle = Oracle(law(), chain.schedule)
    theirs = scheduler_samples(chain, oracle)
    ours, inside = process_samples(chain, oracle)
    if inside.sum() < 2 or not theirs.isfinite().all():
        why = "they are not finite" if inside.sum() >= 2 else "x̂_0 of all points is clipped"
        yield row(f"mean and covariance of samples, as {why}")
        return
    theirs, ours = theirs[inside], ours[inside]
    reference, found = moments_of(ours), moments_of(theirs)
    tolerance = torch.zeros_like(reference)
    for index in chain.indices():
        moved, _ = process_samples(chain, oracle, index)
        tolerance += (moments_of(moved[inside]) - reference).abs()
    if not is_paired:
        both = sampling_error(ours).square() + sampling_error(theirs).square()
        tolerance += sigmas(reference.numel()) * both.sqrt()
    share = "" if inside.all() else f" of the {inside.double().mean():.2%} that are not clipped"
    for name, columns in (("mean", slice(0, 1)), ("covariance", slice(1, None))):
        off = ((found - reference).abs() / tolerance)[:, columns]
        worst = int(off.argmax())
        numbers = (each[:, columns].flatten()[worst] for each in (reference, found, tolerance))
        yield within(f"{name} of samples{share}, worst entry", *map(float, numbers))
