"""Variants: the reverse variances that the benchmark compares, one small class each.

Write the posterior covariance of the data as Σ_0(x_t) = (b_t²/a_t²) v. A variant is an estimate of v(x_t, t),
"the posterior covariance of the noise" Cov[ε | x_t]; the reverse variance of a step t → s is then

    σ² = λ² + γ² clip(Σ_0, 0, ((hi − lo)/2)²)        for data in [lo, hi]

(Bao et al. 2022a, Theorem 2; Su 2022a, eq. 11). To add a variant, put a file with a subclass of `Variant` into
this folder and its name into params.yaml; the bound, the sampler, the tables, figures and tracking pick it up.

Everything here is elementwise arithmetic on whatever array type it is given, and needs no network.
"""

import importlib
import inspect
import pkgutil
from pathlib import Path

from bench.process import PROCESSES
from bench.runtime import digests
from bench.runtime.errors import BenchError, unknown

VARIANTS = {}
NEEDS = ("nothing", "moments", "heads")


class Variant:
    """One row of the tables. Subclasses set the attributes below and define `v`, or override `variance`."""

    name = None  # the row's name in params.yaml and in every table
    source = None  # the paper
    processes = PROCESSES  # the processes it is defined for
    uses_moments = False  # whether v reads the moments stage
    head = None  # the head whose output v reads, if any

    def __init_subclass__(cls):
        VARIANTS[cls.name] = cls()

    @property
    def needs(self):
        """The last stage that v waits for, of `NEEDS`: a variant with a head may read the moments too."""
        return "heads" if self.head else "moments" if self.uses_moments else "nothing"

    def v(self, t, moments, eps_hat, head):
        """v(x_t, t), shaped (1, 1) for a scalar, (1, d) for a diagonal, (batch, d) when conditional on x_t.

        t: the step, 1..N; moments: mapping of arrays whose row t belongs to step t (see `bench.moments`);
        eps_hat: ε̂(x_t, t), (batch, d); head: the output of the head named by `self.head`, (batch, d), or None.
        """
        raise NotImplementedError

    def data_variance(self, t, schedule, radius, moments, eps_hat=None, head=None):
        """Σ_0(x_t) clipped to [0, radius²]; radius = (hi − lo)/2 is infinite for unbounded data."""
        scale = schedule.noise_sq[t] / schedule.alpha_bar[t]
        return (scale * self.v(t, moments, eps_hat, head)).clip(0.0, radius**2)

    def variance(self, process, s, t, data_variance):
        """σ²_{s|t} of the reverse step t → s, in the shape of `data_variance`.

        s: a step, or where `data_variance` is a numpy array steps (n, 1), which broadcast with it.
        """
        return process.lambda_sq(s, t) + process.gamma(s, t) ** 2 * data_variance

    def edge_costs(self, process, radius, moments):
        """Costs (N + 1, N + 1) whose least path is this variant's `optimal` trajectory, or None if it has none."""
        return None


for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")


def get(name):
    """The variant called `name`; BenchError for an unknown one."""
    if name not in VARIANTS:
        raise unknown("variant", name, VARIANTS)
    return VARIANTS[name]


def code(name):
    """A digest of the file that defines the variant: what depends on its formula is made anew when it changes."""
    return digests.digest(Path(inspect.getfile(type(get(name)))).read_bytes())


def check(name, process, heads):
    """Raises BenchError unless variant `name` exists, is defined for `process` and finds its head in `heads`."""
    variant = get(name)
    if process not in variant.processes:
        raise BenchError(
            f"variant {name!r} is not defined for process {process!r} "
            f"(it is for: {', '.join(variant.processes)})"
        )
    if variant.head is not None and variant.head not in heads:
        raise BenchError(
            f"variant {name!r} needs the head {variant.head!r}, which is not configured "
            f"(heads.targets has: {', '.join(heads) or 'none'})"
        )
    return variant
