"""What the bound and the sampler rely on in a variant, checked where the answer is known.

The data are a Gaussian mixture. `check(name)` takes half a minute at most. It is for authors of a
variant (`bench check variant NAME`), and the tests run it for every variant. Its rows are those of
`bench.theory.ground`: claim, source, expected, measured, stderr, verdict.
"""

import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import norm
from scipy.stats import t as student

from bench import bound, covariance, heads, process, sampler, trajectory
from bench.covariance import MomentsAt, Seen, Variant
from bench.denoiser import Denoiser
from bench.experiment.sections import HeadsSection, TrainSection
from bench.jacobian import differentiate
from bench.runtime.errors import BenchError
from bench.theory.case import BATCH, DIM, REPLICATES, ROUND, Case, N, case
from bench.theory.ground import SIGMAS, row, within
from bench.theory.learned import R_SQUARED, side_by_side, true_matrices, unexplained
from bench.training import draw

RADIUS = 2.0  # (hi − lo)/2 that the range of σ² is checked for
IMAGES = 5000  # for an average over x_t
STEPS = (2, 10, 30, 50)  # t at which a variant is looked at
TRAINING = TrainSection(steps=1000, batch=512, learning_rate=1.5e-2, warmup=30, ema=0.99)
ROUNDING = 1e-12
# The error of a mean of few replicates is itself estimated: it deviates as Student's t.
STUDENT = student.isf(norm.sf(SIGMAS), REPLICATES - 1) / SIGMAS


def check(name: str) -> list[dict[str, Any]]:
    """Rows that say whether the variant called `name` keeps the contract.

    Raises BenchError for an unknown name, for a variant that is not for data of `DIM` dimensions,
    for one that reads a moment which it does not list, and for a loss that is not one number for
    each row.
    """
    variant = covariance.get(name)
    try:
        variant.check_shape((DIM, 1, 1), in_bound=True)
    except BenchError as error:
        other = f"; check another number: {variant.family}-1" if variant.family else ""
        raise BenchError(
            f"variant {name!r} cannot be checked: the data of the check have {DIM} dimensions, and "
            f"it is not for these ({error}){other}"
        ) from error
    rows = [*of_one_pass(variant), *plausible(variant)]
    if not all(line["verdict"] for line in rows):
        return rows  # the bound and the sampler cannot use it
    rows += in_use(variant)
    if not variant.conditional:
        rows += closed_form(variant)
    if variant.head is not None:
        rows += learning(variant)
    elif variant.conditional and variant.assumes != "nothing":
        rows += on_average(variant)
    return rows


def holds(variant: Variant, claim: str, broken: int) -> dict[str, Any]:
    """A row whose claim holds if nothing is broken."""
    return row(f"{variant.name}: {claim}", variant.source, 0, broken, 0, broken == 0)


def of_one_pass(variant: Variant) -> Iterator[dict[str, Any]]:
    """Shape, range, determinism and independence of the batch of σ², at several steps s → t."""
    shape, infinite, below, above, moved, alone = 0, 0, 0, 0, 0, 0.0
    for kind, t in itertools.product(variant.processes, STEPS):
        forward = process.make(kind, case(variant).schedule)
        seen = case(variant).seen(variant, t, radius=RADIUS)
        unbounded = replace(seen, radius=np.inf)
        groups = len(seen.frame.energies(torch.ones(BATCH, DIM, dtype=torch.float64))[0])
        rows = BATCH if variant.conditional else 1
        for s in {1, t // 2, t - 1}:
            sigma_sq = np.asarray(variant.reverse_variance(forward, s, seen))
            again = np.asarray(variant.reverse_variance(forward, s, replace(seen)))  # keeps no Σ_0
            low = forward.lambda_sq(s, t)
            high = low + forward.gamma(s, t) ** 2 * RADIUS**2 * np.asarray(seen.frame.caps)
            if sigma_sq.shape not in ((rows, groups), (rows, 1)):
                shape += 1
                continue
            anywhere = np.asarray(variant.reverse_variance(forward, s, unbounded))
            infinite += not (np.isfinite(anywhere) & (anywhere >= 0)).all()
            below += not (sigma_sq >= low * (1 - ROUNDING)).all()
            above += not (sigma_sq <= high * (1 + ROUNDING)).all()
            moved += not np.array_equal(sigma_sq, again)
            parts = [variant.reverse_variance(forward, s, one) for one in _rows(variant, seen)]
            change = np.abs(np.concatenate(parts) - sigma_sq).max()
            alone = max(alone, change / (sigma_sq.max() or 1.0))
    yield holds(variant, "steps where σ² has another shape than `conditional` says", shape)
    yield holds(variant, "steps where σ² of unbounded data is negative or not finite", infinite)
    yield holds(variant, "steps where σ² is below λ²", below)
    yield holds(variant, "steps where σ² is above what the range of the data allows", above)
    yield holds(variant, "steps where σ² is another number the second time", moved)
    yield row(
        f"{variant.name}: largest change of σ² if an image is alone in its batch, relative",
        variant.source,
        0,
        alone,
        0,
        alone <= ROUNDING,
    )


def _rows(variant: Variant, seen: Seen):
    """What a variant sees of each image of a batch alone."""
    for i in range(BATCH):
        one = slice(i, i + 1)
        head = None if seen.head is None else seen.head[one]
        x_t, noise_of_t = seen.jacobian.x_t.detach()[one], seen.jacobian.noise
        model = case(variant).model
        _, _, jacobian = differentiate(model, x_t, torch.full((1,), seen.t), noise_of_t)
        eps_hat, x0_hat = seen.eps_hat[one], seen.x0_hat[one]
        alone = replace(seen, eps_hat=eps_hat, x0_hat=x0_hat, head=head, jacobian=jacobian)
        yield alone.framed(variant)


def plausible(variant: Variant) -> Iterator[dict[str, Any]]:
    """v of some image and coordinate can be E[(ε − ε̂)²] at every step, if the variant has a v.

    ε has variance 1, and so the error of the best ε̂ is in [0, 1].
    """
    outside = 0
    for t in STEPS:
        try:
            v = np.asarray(variant.spectrum(case(variant).seen(variant, t)))
        except NotImplementedError:  # it defines `reverse_variance`
            return
        outside += not ((v >= 0) & (v <= 1)).any()
    yield holds(variant, "steps where v is nowhere in [0, 1], as E[(ε − ε̂)²] is", outside)


def in_use(variant: Variant) -> Iterator[dict[str, Any]]:
    """Samples are finite, and the bound is above −E log p(x).

    The head, if there is one, is untrained.
    """
    made = case(variant)
    networks = heads.make({variant.name: "mlp"} if variant.head else {}, made.model)
    read = {name: values for name, values in made.moments[0].items() if name in variant.moments}
    denoiser = Denoiser(made.model, dict(networks), read, made.data, made.schedule)
    steps = trajectory.even(N, 10)
    infinite = 0
    for kind in variant.processes:
        forward = process.make(kind, made.schedule)
        try:
            sampler.sample(denoiser, forward, variant.name, steps, 0, BATCH, None, made.names)
        except sampler.NotFinite:
            infinite += 1
    yield holds(variant, "processes with samples that are not finite", infinite)
    if process.BOUND_PROCESS in variant.processes:
        yield _bound(variant, denoiser, [2, 10, N])


def _bound(variant: Variant, denoiser: Denoiser, Ks: list[int]):
    """The row that the bound of the worst K is above −E log p(x)."""
    made = case(variant)
    forward = process.make(process.BOUND_PROCESS, made.schedule)
    cells = [bound.Cell("even", variant.name, K, tuple(trajectory.even(N, K))) for K in Ks]
    images = len(made.data.test)
    points = torch.from_numpy(made.data.to_float(made.data.test))
    truth = -made.law.law().log_prob(points).numpy()
    gaps = bound.evaluate(denoiser, forward, cells, images, made.names).total - truth
    worst = gaps[gaps.mean(axis=1).argmin()]
    stderr = worst.std(ddof=1) / images**0.5
    return row(
        f"{variant.name}: bound less −E log p(x) at the worst K of {Ks} is above 0 (nats)",
        variant.source,
        0,
        worst.mean(),
        stderr,
        worst.mean() >= -SIGMAS * stderr,
    )


def closed_form(variant: Variant) -> Iterator[dict[str, Any]]:
    """v is E[(ε − ε̂)²], if the mean is what the variant assumes: E Cov[ε | x_t] + E bias².

    In a frame other than pixels it is the matrix E[(ε − ε̂)(ε − ε̂)ᵀ], entry by entry: in two
    dimensions every frame here holds it exactly. A frame that the draws choose holds it as far as
    they tell it from a simpler one.
    """
    sizes = {"perfect mean": (0.0,), "imperfect mean": (0.0, 0.3), "nothing": ()}
    for size, t in itertools.product(sizes[variant.assumes], STEPS):
        made = case(variant, size)
        parts = [_entries(variant, made.seen(variant, t, part)) for part in range(REPLICATES)]
        v, error = np.mean(parts, axis=0), np.std(parts, axis=0, ddof=1) / REPLICATES**0.5
        x_t = made.noised("exact", t, 20_000)
        truth = true_matrices(made.model, made.schedule, x_t, t).flatten(1)
        if len(v) < DIM**2:
            truth = truth[:, :: DIM + 1]  # the diagonal
        if len(v) == 1:
            truth = truth.mean(1, keepdim=True)
        exact, spread = truth.mean(0).numpy(), truth.std(0).numpy() / len(x_t) ** 0.5
        stderr = np.hypot(error, spread) * STUDENT
        worst = (np.abs(v - exact) / stderr).argmax()
        yield within(
            f"{variant.name}: v is E[(ε − ε̂)²] at t = {t}, imperfection {size:g}",
            variant.source,
            exact[worst],
            v[worst],
            stderr[worst],
            worst_of=len(v),
        )


def _entries(variant: Variant, seen: Seen):
    """v as numbers: one, the diagonal, or all entries of the matrix."""
    if variant.frame == "pixel":
        return np.reshape(variant.spectrum(seen), -1)
    spectrum = torch.as_tensor(variant.spectrum(seen))[None]
    return seen.frame.colour(spectrum, torch.eye(DIM, dtype=torch.float64)).numpy().reshape(-1)


def on_average(variant: Variant) -> Iterator[dict[str, Any]]:
    """v of a variant that nothing is learned for is right on average over x_t and coordinates, on
    one round Gaussian with the perfect mean.

    There Cov[ε | x_t] is a multiple of I, so that the shortcuts that such variants take cost
    nothing.
    """
    made = case(variant, law=ROUND)
    for t in STEPS:
        seen = made.seen(variant, t, images=IMAGES)
        x_t = seen.jacobian.x_t.detach()
        v, truth = side_by_side(variant, seen, true_matrices(made.model, made.schedule, x_t, t))
        of_images = v.mean(1)
        yield within(
            f"{variant.name}: v is Cov[ε | x_t] on average at t = {t}, one round Gaussian",
            variant.source,
            truth.mean().item(),
            of_images.mean().item(),
            of_images.std().item() / IMAGES**0.5 + ROUNDING,  # of b_t ∂ε̂/∂x_t, at most 1
        )


def learning(variant: Variant) -> Iterator[dict[str, Any]]:
    """Training lowers the loss on fresh draws.

    An estimate of the covariance comes near the true one.
    """
    made = case(variant, 0.3 if variant.assumes == "imperfect mean" else 0.0)
    section = HeadsSection(targets={variant.name: "mlp"}, train=TRAINING)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "heads.pt"
        trained, _ = heads.train(
            made.model,
            made.data,
            made.schedule,
            section,
            made.names,
            checkpoint,
            moments=made.moments[0],
        )
    x_t, t, eps, x_0 = draw(made.data, made.schedule, (*made.names, "fresh"), 0, 10_000)
    of_rows = heads.of_rows(made.schedule.noise, t)
    eps_hat, features, jacobian = differentiate(made.model, x_t, t, of_rows)
    output = trained[variant.name](features)
    forward = process.make(process.BOUND_PROCESS, made.schedule)
    names = (*made.names, "fresh")
    batch = heads.Batch(x_0, eps, x_t, t, eps_hat, forward, made.data, names, jacobian)
    untrained = heads.loss_of_rows(variant.name, batch, torch.zeros_like(output))
    gain = heads.loss_of_rows(variant.name, batch, output) - untrained
    stderr = gain.std().item() / len(gain) ** 0.5
    yield row(
        f"{variant.name}: loss less that of an untrained head is below 0",
        variant.source,
        0,
        gain.mean().item(),
        stderr,
        gain.mean().item() < -SIGMAS * stderr,
    )
    if variant.assumes == "nothing":
        return
    yield _r_squared(variant, made, trained[variant.name])


def _r_squared(variant: Variant, made: Case, head: torch.nn.Module):
    """The row that v with a trained head explains E[(ε − ε̂)² | x_t] over x_t and some t, or, in a
    frame other than pixels, the entries of E[(ε − ε̂)(ε − ε̂)ᵀ | x_t].
    """
    pairs = []
    for t in STEPS:
        x_t = made.noised("fresh", t, 5000)
        eps_hat, features = made.model(x_t, torch.full((len(x_t),), t))
        at = MomentsAt(made.moments[0], t, variant)
        output, shape = head(features).double(), made.data.shape
        seen = Seen(t, made.schedule, eps_hat=eps_hat, moments=at, head=output, shape=shape)
        matrices = true_matrices(made.model, made.schedule, x_t, t)
        pairs.append(side_by_side(variant, seen.framed(variant), matrices))
    v, truth = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    missed = unexplained(v, truth)
    value = 1 - missed.mean().item()
    return row(
        f"{variant.name}: R² of v against E[(ε − ε̂)² | x_t] is above {R_SQUARED}",
        variant.source,
        R_SQUARED,
        value,
        missed.std().item() / len(missed) ** 0.5,
        value > R_SQUARED,
    )
