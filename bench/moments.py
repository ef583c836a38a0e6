"""Moments of the mean model over q(x_t): everything the state-independent variants need, for every
step t.

For each t, M draws of x_0 from the training data and of ε give, per coordinate,

    eps_sq          E[ε̂²]
    error_sq        E[(ε − ε̂)²]
    x0_hat, _sq     E[x̂_0], E[x̂_0²]                        x̂_0 clipped to the data range
    x0_error_sq     E[(x_0 − x̂_0)²]                        the same
    last_term       E[−log p(x_0 | x_t)]                   the last term of a bound with τ_1 = t
    total_variance  (a_t²/b_t²)(Var[x_0] − E(x̂_0 − E x_0)²)  x̂_0 as predicted, same draws in both

E x_0 comes from rows of its own, for with the mean m of the same draws the difference of the two
squares has the expectation −2 Cov[m, x_0 − x̂_0] too: at perfect mean it is 2/M too small.

The full second moments of ε̂ and ε − ε̂, in frames or of low rank, are in `bench.second_moments`.

Two of them are small differences of large numbers: 1 − E[ε̂²] at noisy steps, where ε̂ is nearly ε,
and total_variance at clean ones, where x̂_0 is nearly x_0 and a_t²/b_t² is huge. A quantity whose
mean is known to be zero is used as a control variate for each, ε² − 1 and (x_0 − E x_0) ε: the
estimate is mean(q − c z) with a regression coefficient c of q on z. The expectation is the same up
to O(1/M). For coordinates c is one of all coordinates and draws of the step. For their mean it is
that of the means of each draw, which knows what one coordinate's noise does to the ε̂ of others;
from few draws it is worth nothing, and the other one serves. (M = 50 000 in Bao et al. 2022a; their
Table 5 finds 10 to 100 enough.)

Few draws are needed at noisy steps, where ‖ε̂‖² is nearly ‖ε‖² and what the control variate leaves
varies little (Bao et al. 2022a, Appendix G.2). `relative_error` makes use of it: draws end at a
step where the standard error of E‖ε̂‖²/d is at most that share of it. What is read for each
coordinate then comes from as few draws.

total_variance takes x̂_0 unclipped because its derivation, E[(x_0 − x̂_0) x̂_0] = 0, holds for
E[x_0 | x_t] only: for data with much mass at the edges of the range, clipping turns the errors
there to one side, and the product of that first-order term with a_t²/b_t² overwhelms v at small t.
"""

import itertools
import math

import numpy as np
import torch
from tqdm import tqdm

from bench import noise, second_moments, terms
from bench.registry import QUANTITIES
from bench.shards import FIRST, steps_together

PLAIN = ("x0_hat", "x0_hat_sq", "x0_error_sq", "last_term")
WITH_ERRORS = ("eps_sq", "error_sq", "total_variance")
SCALARS = (
    "draws",
    *(f"{name}_mean" for name in QUANTITIES),
    *(f"{name}_mean_se" for name in WITH_ERRORS),
)
CENTRAL = 4096  # training images whose mean is E x_0: all, or so many draws of a larger set


def estimate(
    model,
    data,
    schedule,
    draws,
    names,
    batch=512,
    relative_error=None,
    coordinates=None,
    structures=(),
    steps=None,
):
    """Moments of `model` over the training split.

    draws: M, the number of draws (network passes) at each step, the most of them where
    `relative_error` is given (see above). names: (seed, setting). batch: rows a pass, of which no
    more are held at a time. coordinates: the quantities of which the mean of every coordinate is
    kept, as float32, for their Monte Carlo error is some 10⁴ times larger than its rounding. By
    default it is kept of all, as float64 and with standard errors. structures: names of
    `bench.second_moments`, kept as float32. steps: the rows that are made, by default all of
    range(N + 1).

    Returns {name: array} with a row for each step, of which row 0 is NaN. `<name>`, (N + 1, dim),
    is the mean of every coordinate and `<name>_se` its standard error. `<name>_mean`, float64
    (N + 1,), is the mean over the coordinates, too, of every quantity of the table above, and
    `<name>_mean_se` its standard error. There are standard errors of eps_sq, error_sq and
    total_variance. `draws`, int64 (N + 1,), is how many there were.
    """
    steps = range(schedule.N + 1) if steps is None else steps
    if coordinates is None:
        wide, dtype = (*QUANTITIES, *(f"{name}_se" for name in WITH_ERRORS)), np.float64
    else:
        wide, dtype = coordinates, np.float32
    result = {name: np.full((len(steps), data.dim), np.nan, dtype) for name in wide}
    result |= {name: np.full(len(steps), np.nan) for name in SCALARS}
    for name in structures:
        shape = second_moments.shape_of(name, data.shape)
        result[name] = np.full((len(steps), *shape), np.nan, np.float32)
    result["draws"] = np.zeros(len(steps), dtype=np.int64)
    rows = min(batch, batch if relative_error is None else FIRST)
    together = steps_together(draws, batch, relative_error)
    centre = _centre(data, names, batch)
    waiting = {
        t: _at_step(data, schedule, t, draws, names, rows, relative_error, centre, structures)
        for t in steps
        if t > 0
    }
    title = f"moments {names[-1]}"
    with tqdm(total=len(waiting), desc=title, unit="step", mininterval=1.0) as bar:
        for t, found in _answered(model, waiting, together):
            for name, array in result.items():
                array[t - steps[0]] = found[name]
            bar.update()
    return result


def _answered(model, steps, together):
    """(t, what the generator returns) of each of {t: a generator that yields x_t and is sent ε̂},
    as they end.

    Several steps share a pass, `together` at most: one asks for few rows, and few rows are slow.
    """
    waiting, asked = iter(steps), {}
    while True:
        asked |= {t: next(steps[t]) for t in itertools.islice(waiting, together - len(asked))}
        if not asked:
            return
        x_t, sizes = np.concatenate(list(asked.values())), [len(rows) for rows in asked.values()]
        t = torch.from_numpy(np.repeat(list(asked), sizes)).to(model.device)
        eps_hat = model(torch.from_numpy(x_t).to(model.device), t)[0].cpu().numpy()
        for t, answer in zip(list(asked), np.split(eps_hat, np.cumsum(sizes)[:-1]), strict=True):
            try:
                asked[t] = steps[t].send(answer)
            except StopIteration as end:
                del asked[t]
                yield t, end.value


def _centre(data, names, batch):
    """E x_0, (dim,), of all training images or of `CENTRAL` that no step draws."""
    rows = np.arange(len(data.train))
    if len(rows) > CENTRAL:
        rows = noise.generator(*names, "moments", "centre").integers(len(rows), size=CENTRAL)
    parts = (rows[first : first + batch] for first in range(0, len(rows), batch))
    return sum(data.to_float(data.train[part]).sum(axis=0) for part in parts) / len(rows)


def _at_step(data, schedule, t, draws, names, batch, relative_error, centre, structures):
    """The moments of one step, and how many draws they are of: a generator that yields x_t, (n,
    dim), and is sent ε̂ of it.
    """
    rows = noise.generator(*names, "moments", "rows", t).integers(len(data.train), size=draws)
    ratio = schedule.noise[t] / schedule.signal[t]
    seconds = second_moments.sums(structures, data.shape, names)
    plain = dict.fromkeys(PLAIN, 0.0)
    controlled = {name: Controlled() for name in WITH_ERRORS}
    done, wanted = 0, draws if relative_error is None else min(FIRST, draws)
    while done < wanted:
        part = slice(done, min(done + batch, wanted))
        x_0 = data.to_float(data.train[rows[part]])
        eps = noise.normal((*names, "moments", "eps", t), part.start, len(x_0), data.dim)
        eps_hat = yield schedule.signal[t] * x_0 + schedule.noise[t] * eps
        predicted = x_0 + ratio * (eps - eps_hat)
        x0_hat = predicted.clip(data.lo, data.hi)
        for name, sample in (
            ("x0_hat", x0_hat),
            ("x0_hat_sq", x0_hat**2),
            ("x0_error_sq", (x_0 - x0_hat) ** 2),
            ("last_term", _last_term(data, schedule, t, x_0, x0_hat)),
        ):
            plain[name] = plain[name] + sample.sum(axis=0)
        spread = (x_0 - centre) ** 2 - (predicted - centre) ** 2
        controlled["eps_sq"].add(eps_hat**2, eps**2 - 1)
        controlled["error_sq"].add((eps - eps_hat) ** 2, np.zeros(data.dim))
        controlled["total_variance"].add(spread / ratio**2, (x_0 - centre) * eps)
        for second in seconds:
            second.add(eps, eps_hat)
        done = part.stop
        if done == wanted < draws and relative_error is not None:
            wanted = min(draws_needed(done, controlled["eps_sq"], relative_error), draws)
    result = {"draws": done, **{name: total / done for name, total in plain.items()}}
    result |= {f"{name}_mean": result[name].mean() for name in plain}
    for name, sums in controlled.items():
        result[name], result[f"{name}_se"] = sums.of_coordinates()
        result[f"{name}_mean"], result[f"{name}_mean_se"] = sums.of_their_mean()
    for second in seconds:
        result |= second.results(done, controlled["eps_sq"].slope())
    return result


def _last_term(data, schedule, t, x_0, x0_hat):
    """−log p(x_0 | x_t), (n, dim), of `bench.bound` for σ² = β where t is the first step."""
    if data.levels is None:
        variance = schedule.noise_sq[t]
        return 0.5 * (np.log(2 * np.pi * variance) + (x_0 - x0_hat) ** 2 / variance)
    x_0, x0_hat = torch.from_numpy(x_0), torch.from_numpy(x0_hat)
    sigma = terms.last_sigma(schedule, t)
    return terms.last_term_by_coordinate(data, x_0, x0_hat, sigma).numpy()


def draws_needed(done, sums, relative_error):
    """How many draws make the standard error of a mean over draws and coordinates `relative_error`
    of it, as those `done` tell: it falls as 1/√draws. At most `done` where it is as small already.
    sums: `Controlled`.
    """
    value, error = sums.of_their_mean()
    return math.ceil(done * (error / (relative_error * value)) ** 2)


class Controlled:
    """The mean of q less its regression on a variable z of known mean zero, from sums over batches
    of draws (n, dim).
    """

    def __init__(self):
        self.shift = None

    def add(self, q, z):
        """Adds a batch. The first one's mean is taken off q, so that nothing large cancels in the
        sums.
        """
        if self.shift is None:
            self.shift, self.sums, self.of_draws = q.mean(axis=0), 0.0, []
        q, z = q - self.shift, np.broadcast_to(z, q.shape)
        self.sums = self.sums + np.stack(
            [array.sum(axis=0) for array in (q, z, q * q, q * z, z * z)]
        )
        self.of_draws.append(np.stack([q.mean(axis=1), z.mean(axis=1)]))

    def of_coordinates(self):
        """(mean (dim,), its standard error (dim,)); NaN is the error of one draw."""
        n, (q, z, qq, qz, zz), c = self._draws(), self.sums, self.slope()
        total = q - c * z
        variance = (qq - 2 * c * qz + c**2 * zz - total**2 / n).clip(0) / _freedom(n, 1)
        return self.shift + total / n, np.sqrt(variance / n)

    def of_their_mean(self):
        """(mean over coordinates too, its standard error); NaN is the error of one draw.

        From `FIRST` draws on it is the intercept of the least-squares line of their means of q over
        those of z, with the error of an intercept, which counts that of the slope.
        """
        n, (q, z) = self._draws(), np.concatenate(self.of_draws, axis=1)
        value, c = self.of_coordinates()[0].mean(), self.slope()
        apart, fitted, share = z - z.mean(), 1, 1 / n
        if n >= FIRST and apart.any():
            slope, fitted = apart @ q / (apart @ apart), 2
            share += z.mean() ** 2 / (apart @ apart)
            value, c = value - (slope - c) * z.mean(), slope
        return value, np.sqrt(share * (q - c * z).var() * n / _freedom(n, fitted))

    def _draws(self):
        return sum(part.shape[1] for part in self.of_draws)

    def slope(self):
        """The coefficient of q on z over all draws and coordinates."""
        q, z, _, qz, zz = self.sums
        return (qz - q / self._draws() * z).sum() / max(zz.sum(), np.finfo(float).tiny)


def _freedom(draws, fitted):
    """Draws less the numbers that are fitted to them, NaN if none is left."""
    return draws - fitted if draws > fitted else np.nan
