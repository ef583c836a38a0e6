"""The diagonal of v = I − b_t ∂ε̂/∂x_t, learned: optimal covariance matching (Ou et al. 2025).

With random signs r, E[r ⊙ (M r)] is the diagonal of a matrix M (Hutchinson). The head regresses
r ⊙ (v r) − 1, which has the expectation −b_t diag(∂ε̂/∂x_t), as the authors' code does. That takes
one product with the Jacobian of the mean model a row, which its pass does not give. In sampling
there is none. The mean is assumed to be perfect.
"""

from bench import noise
from bench.covariance import Batch, Head, Seen, Variant, squared_error
from bench.process import Tensor


class Ocm(Variant):
    name = "ocm"
    source = "Ou 2025"
    look = ("#DDAA33", "o")
    assumes = "perfect mean"
    conditional = True
    head = Head(outputs="pixel", products=1)

    def loss(self, batch: Batch, output: Tensor) -> Tensor:
        import torch  # here, because reading the configuration imports this file

        signs = noise.generator(*batch.names, "ocm").choice([-1.0, 1.0], size=batch.x_t.shape)
        signs = torch.from_numpy(signs).to(batch.x_t.device)
        return squared_error(output, signs * batch.jacobian.times(signs) - 1)

    def spectrum(self, seen: Seen) -> Tensor:
        return 1 + seen.head
