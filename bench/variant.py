"""What a variant is: an estimate of the reverse variance, and what it sees of a step.

Write the posterior covariance of the data as Σ_0(x_t) = (b_t²/a_t²) v. A variant is an estimate of
v(x_t, t), "the posterior covariance of the noise" Cov[ε | x_t]. The reverse variance of a step t →
s is then

    σ² = λ² + γ² clip(Σ_0, 0, ((hi − lo)/2)²)        for data in [lo, hi]

(Bao et al. 2022a, Theorem 2; Su 2022a, eq. 11). This is the diagonal of a matrix: in pixels, or in
another orthonormal frame, where the range has another cap (`bench.frames`). The variants themselves
are in `bench.covariance`.

The formulas are elementwise arithmetic. Where a variant does not depend on x_t they run on numpy
arrays, elsewhere on tensors. Importing this module does not import torch.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import ForwardRef

import numpy as np
from jaxtyping import Float64

from bench import registry, second_moments, trajectory
from bench.frames import PIXEL, Frame
from bench.process import FAMILIES, Array, Process, Tensor
from bench.registry import Head, place
from bench.runtime.errors import BenchError
from bench.schedule import Schedule, Steps

# Names only: these modules import torch.
Batch = ForwardRef("bench.heads.Batch")
Jacobian = ForwardRef("bench.jacobian.Jacobian")

# {name: an array whose row t belongs to step t, or {t: its row}}
Moments = Mapping[str, np.ndarray | Mapping[int, np.ndarray | np.float64]]
NEEDS = ("nothing", "moments", "heads")
PRODUCT = 1.5  # passes of the mean model that take as long as a product with its Jacobian


class MomentsAt(Mapping):
    """The moments of one step that a variant lists in `moments`, by name.

    `<name>` is the mean of each coordinate, (dim,), or one of `bench.second_moments`; `<name>_mean`
    is the mean over coordinates too, a number. BenchError for a moment that the variant does not
    list: the moments stage need not keep it.
    """

    def __init__(self, moments: Moments, t: int, variant: "Variant"):
        self.moments, self.t, self.variant = moments, t, variant

    def __getitem__(self, name: str) -> np.float64 | Float64[np.ndarray, "*shape"]:
        if name not in self.variant.moments:
            raise BenchError(
                f"variant {self.variant.name!r} reads the moment {name!r}, which its attribute "
                f"`moments` does not list (it lists: {', '.join(self.variant.moments) or 'none'})"
            )
        value = self.moments[name][self.t]
        return np.float64(value) if np.ndim(value) == 0 else np.asarray(value, dtype=np.float64)

    def __iter__(self):
        return iter(self.variant.moments)

    def __len__(self) -> int:
        return len(self.variant.moments)


@dataclass(frozen=True)
class Seen:
    """What one pass of the mean model at step t gives to a variant.

    t: the step, 1..N; for `spectrum` alone also a step of each row, (batch,). radius: (hi − lo)/2
    of the data, infinite for unbounded data. eps_hat, x0_hat: ε̂(x_t, t) and x̂_0, clipped to the
    data range, (batch, dim). moments: the moments of step t, by name (`MomentsAt`). head: the
    output of the variant's head, (batch, dim) or (batch, numbers). shape: of an image, (channels,
    height, width). jacobian: v from derivatives of the mean model, by products. direction: the
    standard normal noise of the sampler's step, (batch, dim); None in the bound. error: x_0 − x̂_0,
    (batch, dim), and probe, which gives random signs of the same shape, in the bound alone. frame:
    the variant's own (`Variant.basis`). Fields that a variant does not read may be None.
    """

    t: int | Array
    schedule: Schedule
    radius: float = np.inf
    eps_hat: Array | None = None
    x0_hat: Array | None = None
    moments: Mapping[str, np.float64 | np.ndarray] | None = None
    head: Array | None = None
    shape: tuple[int, ...] | None = None
    jacobian: Jacobian | None = None
    direction: Array | None = None
    error: Array | None = None
    probe: Callable[[], Array] | None = None
    frame: Frame = PIXEL
    kept: dict = field(
        default_factory=dict, init=False, repr=False, compare=False
    )  # Σ_0, by variant

    def framed(self, variant: "Variant") -> "Seen":
        """The same, with the frame of `variant`."""
        return replace(self, frame=variant.basis(self))

    @property
    def scale(self) -> float:
        """b_t²/a_t², by which v is multiplied to give Σ_0."""
        return self.schedule.noise_sq[self.t] / self.schedule.alpha_bar[self.t]


class Variant:
    """A row of the tables: an estimate of the reverse variance.

    Subclasses set the attributes and define `spectrum`.

    A variant that does not estimate a covariance of the data assumes 'nothing' and defines
    `reverse_variance` instead.

    A subclass with a `family` in place of a name is made with a number from 1 to 999999, which its
    instances' name has behind a hyphen: family `mle_rank` is a row `mle_rank-16`, and any other
    number.
    """

    name: str | None = None  # the row's name in params.yaml and in all tables
    family: str | None = None  # the name before the number of a variant that takes one
    source: str | None = None  # the paper
    processes: tuple[str, ...] = FAMILIES  # of processes, that it is defined for
    assumes = "nothing"  # of the mean model, one of ASSUMPTIONS
    frame = "pixel"  # the orthonormal basis in which v is diagonal, one of FRAMES
    conditional = False  # whether it depends on x_t
    clipped = True  # whether the noise that lands on τ_1 is clipped (`bench.sampler`)
    moments: tuple[str, ...] = ()  # names of the moments that it reads, see `MomentsAt`
    head: Head | None = None  # what is learned for it; None where nothing is
    has_optimal_trajectory = False  # whether it defines `edge_costs`
    edge_moments: tuple[str, ...] = ()  # names of the moments that `edge_costs` reads
    look: tuple[str, str] | None = None  # colour #RRGGBB and marker; None: figures choose both
    version = 1  # goes up when a formula, loss or cost changes: what depends on it is made anew

    def __init_subclass__(cls) -> None:
        if cls.name is not None:
            registry.register_class(cls, cls.name)
        if cls.__dict__.get("family") is not None:  # not that of its base
            registry.register_family(cls)

    @property
    def needs(self) -> str:
        """The last stage that it waits for, of `NEEDS`.

        A variant with a head may read moments too.
        """
        if self.head is not None:
            return "heads"
        return "moments" if self.moments else "nothing"

    def numbers(self, shape: tuple[int, ...]) -> int:
        """How many numbers a head with outputs 'image' gives for an image of `shape`."""
        raise BenchError(
            f"variant {self.name!r} ({place(type(self))}): numbers: not defined; expected a "
            "method `numbers(self, shape)`, as its head has the outputs 'image'"
        )

    def check_shape(self, shape: tuple[int, ...], in_bound: bool = False) -> None:
        """BenchError if images of `shape` are too large for the variant, or too small.

        in_bound: whether its bound is evaluated.
        """
        for name in filter(second_moments.is_one, self.moments):
            second_moments.check(name, shape)

    def products(self, dim: int, in_bound: bool = False) -> int:
        """How many Jacobian products of the mean model a step of the sampler takes, or a step of
        the bound. dim: coordinates of an image.
        """
        return 0

    def network_evaluations(self, steps: int, dim: int) -> float:
        """What a sample of `steps` steps takes, in passes of the mean model.

        The last step takes no variance. The pass of a head is not counted: heads are small.
        """
        products = (steps - 1) * self.products(dim)
        return steps + (PRODUCT * products if products else 0)

    def basis(self, seen: Seen) -> Frame:
        """The frame at the step of `seen`; it is `seen.frame` in all that follows."""
        return PIXEL

    def spectrum(self, seen: Seen) -> Array | float:
        """The diagonal of v(x_t, t) in the frame, a number for each of its groups or one for all:
        (batch, groups or 1) if conditional, else (groups,) or a number. A pixel is a group.
        """
        raise NotImplementedError

    def loss(self, batch: Batch, output: Tensor) -> Tensor:
        """The training loss of each row, (batch,), for the head's output, in fp32: (batch, dim), or
        (batch, numbers).
        """
        raise NotImplementedError

    def estimate(self, seen: Seen) -> Array:
        """Σ_0(x_t) in the frame, clipped to what the range of the data allows: (batch, groups or 1)
        if conditional, else (1, groups or 1).
        """
        if self.name not in seen.kept:  # the bound asks for it at every jump from a step
            v = self.spectrum(seen)
            if not self.conditional:
                v = np.reshape(v, (1, -1))
            estimate = (seen.scale * v).clip(0.0)
            if np.isfinite(seen.radius):  # unbounded data have no caps
                estimate = estimate.clip(max=seen.radius**2 * seen.frame.caps)
            seen.kept[self.name] = estimate
        return seen.kept[self.name]

    def reverse_variance(self, process: Process, s: Steps, seen: Seen) -> Array:
        """σ²_{s|t} of the reverse step from seen.t to s, 0 ≤ s < t, in the shape of `estimate`.

        s: a step, or for a variant that is not conditional steps (n, 1), which make (n,
        groups or 1).
        """
        lambda_sq = process.lambda_sq(s, seen.t)
        return lambda_sq + process.gamma(s, seen.t) ** 2 * self.estimate(seen)

    def edge_costs(
        self, process: Process, moments: Mapping[str, np.ndarray]
    ) -> Float64[np.ndarray, "steps steps"]:
        """Costs (N + 1, N + 1) of edges s → t, infinite where there is none. The path of least cost
        from 0 to N is this variant's `optimal` trajectory.

        moments: arrays whose row t belongs to step t (`bench.moments`).
        """
        raise NotImplementedError

    def optimal_steps(
        self, process: Process, moments: Mapping[str, np.ndarray], Ks: Collection[int]
    ) -> dict[int, list[int]]:
        """{K: τ_1 < … < τ_K} of the `optimal` trajectory. moments: those of `edge_moments`.

        BenchError if the variant has none, and unless 1 ≤ K ≤ N.
        """
        if not self.has_optimal_trajectory:
            raise BenchError(
                f"trajectory optimal: {self.name} has none; expected one of "
                f"{', '.join(trajectory.FIXED)}"
            )
        for K in Ks:
            trajectory.check_length("optimal", process.schedule.N, K)
        cost = self.edge_costs(process, moments)
        return trajectory.optimal(cost, Ks, self.last_sound_step(process, moments))

    def last_sound_step(self, process: Process, moments: Mapping[str, np.ndarray]) -> int | None:
        """The last step whose edge costs can be trusted; None where all can (see
        `bench.trajectory.optimal`).
        """
        return None


def squared_error(output: Tensor, target: Tensor) -> Tensor:
    """‖output − target‖² of each row, (batch,), for (batch, dim), in the precision of `output`: the
    loss of a regression.
    """
    return (output - target.to(output.dtype)).square().sum(1)


def positive(output: Tensor) -> Tensor:
    """A head's output as a variance above 0; that of an untrained head, 0, becomes 0.127.

    E[(ε − ε̂)²] is at most about 1 and small at most steps.
    """
    from torch.nn.functional import softplus  # here: importing this package does not import torch

    return softplus(output - 2) + 1e-5
