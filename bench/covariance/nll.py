"""A conditional diagonal variance learned by likelihood: the question that ends Su 2022b.

The head's g > 0 is trained on −log N(ε; ε̂, g), which is that of x_0 given x_t:

    ½ Σ_i [ln g_i + (ε − ε̂)_i²/g_i]

Its minimum is E[(ε − ε̂)² | x_t], as that of `npr`. But the likelihood weighs relative errors of v,
which count at few steps, where γ² Σ_0 ≫ λ². The squared error weighs absolute ones.
"""

from bench.covariance import Batch, Head, Seen, Variant, positive
from bench.process import Tensor


class Nll(Variant):
    name = "nll"
    source = "after Su 2022b"
    look = ("#661100", "8")
    assumes = "imperfect mean"
    conditional = True
    head = Head(outputs="pixel")

    def loss(self, batch: Batch, output: Tensor) -> Tensor:
        g = positive(output.double())
        return 0.5 * (g.log() + (batch.eps - batch.eps_hat) ** 2 / g).sum(1)

    def spectrum(self, seen: Seen) -> Tensor:
        return positive(seen.head)
