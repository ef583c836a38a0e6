"""Variants against the formulas of their papers, and edge costs against brute force."""

import numpy as np
import pytest
import torch

from bench import covariance, process, schedule
from bench.runtime.errors import BenchError

MADE = schedule.make("linear", 12)
DDPM = process.make("ddpm", MADE)
RANDOM = np.random.default_rng(0)
MOMENTS = {
    name: RANDOM.uniform(0.1, 0.9, size=(13, 3))
    for name in ("eps_sq", "error_sq", "x0_error_sq", "total_variance", "last_term")
}
MOMENTS |= {f"{name}_mean": values.mean(axis=1) for name, values in MOMENTS.items()}
ROOTS = RANDOM.normal(size=(13, 3, 3))
MATRICES = ROOTS @ ROOTS.transpose(0, 2, 1) / 10
VALUES, VECTORS = np.linalg.eigh(MATRICES)
MOMENTS |= {"error_matrix": MATRICES, "eps_matrix": MATRICES}
# Vectors are images of one pixel: their DCT is the identity, and the rotation of channels is all.
MOMENTS |= {"error_dct": VALUES, "error_colours": VECTORS}
MOMENTS |= {"eps_dct": VALUES, "eps_colours": VECTORS}
# The largest, and the mean of the other two.
MOMENTS |= {"error_vectors-1": VECTORS[:, :, 2:]}
MOMENTS |= {"error_values-1": np.stack([VALUES[:, 2], VALUES[:, :2].mean(axis=1)], axis=1)}
EPS_HAT, HEAD = RANDOM.normal(size=(5, 3)), RANDOM.uniform(size=(5, 3))


def seen(name, t, radius=np.inf, head=HEAD):
    """What a pass at step t says to a variant."""
    moments = covariance.MomentsAt(MOMENTS, t, covariance.get(name))
    seen = covariance.Seen(t, MADE, radius, EPS_HAT, None, moments, head, (3, 1, 1))
    return seen.framed(covariance.get(name))


@pytest.mark.parametrize(
    "name, expected",
    [
        ("beta_tilde", lambda t: 0),
        ("zero", lambda t: 0),
        ("analytic_scalar", lambda t: 1 - sum(MOMENTS["eps_sq"][t]) / 3),
        ("analytic_diagonal", lambda t: 1 - MOMENTS["eps_sq"][t]),
        ("total_variance", lambda t: sum(MOMENTS["total_variance"][t]) / 3),
        ("mle_scalar", lambda t: sum(MOMENTS["error_sq"][t]) / 3),
        ("mle_diagonal", lambda t: MOMENTS["error_sq"][t]),
        ("npr", lambda t: HEAD),
        ("sn", lambda t: HEAD - EPS_HAT * EPS_HAT),
        ("sn_mean", lambda t: (HEAD - EPS_HAT * EPS_HAT).mean(axis=1, keepdims=True)),
        ("heuristic", lambda t: 1 - EPS_HAT * EPS_HAT),
        ("ocm", lambda t: 1 + HEAD),
        ("nll", lambda t: np.log(1 + np.exp(HEAD - 2)) + 1e-5),
        ("jump", lambda t: np.log(1 + np.exp(HEAD - 2)) + 1e-5),
    ],
)
def test_v(name, expected):
    head = torch.from_numpy(HEAD) if name in ("nll", "jump") else HEAD
    found = covariance.get(name).spectrum(seen(name, 4, head=head))
    np.testing.assert_allclose(found, expected(4), rtol=1e-14)


LARGEST = VALUES[4, 2] * np.outer(VECTORS[4, :, 2], VECTORS[4, :, 2])
REST = VALUES[4, :2].mean() * (np.eye(3) - np.outer(VECTORS[4, :, 2], VECTORS[4, :, 2]))


@pytest.mark.parametrize(
    "name, expected",
    [
        ("mle_full", MATRICES[4]),
        ("analytic_full", np.eye(3) - MATRICES[4]),
        ("mle_dct", MATRICES[4]),
        ("analytic_dct", np.eye(3) - MATRICES[4]),
        ("mle_rank-1", LARGEST + REST),
    ],
)
def test_v_as_a_matrix(name, expected):
    """F diag(w) Fᵀ at step 4."""
    at = seen(name, 4)
    spectrum = torch.as_tensor(covariance.get(name).spectrum(at))[None]
    found = at.frame.colour(spectrum, torch.eye(3, dtype=torch.float64))
    np.testing.assert_allclose(found, expected, atol=1e-14)


def test_a_family_makes_a_variant_of_each_number(registry):
    assert covariance.get("mle_rank-7").moments == ("error_vectors-7", "error_values-7")
    assert covariance.get("mle_rank-7") is covariance.get("mle_rank-7")


NO_MEMBERS = [
    "mle_rank",
    "mle_rank-",
    "mle_rank-x",
    "npr-3",
    "mle_rank-0",
    "lanczos-0",
    "mle_rank-03",
]
NO_MEMBERS += [
    "mle_rank-1234567",
    "mle_rank-" + "9" * 300,
    "lanczos-" + "9" * 5000,
    "mle_rank-１６",
]


@pytest.mark.parametrize("name", NO_MEMBERS)
def test_a_name_that_is_none_of_a_family(name):
    with pytest.raises(
        BenchError, match="unknown variant .*lanczos-NUMBER.*mle_rank-NUMBER"
    ) as one:
        covariance.get(name)
    assert len(str(one.value)) < 800  # it names every variant


MLE_RANK, NPR = covariance.FAMILIES["mle_rank"], type(covariance.get("npr"))


def test_a_subclass_of_a_family_leaves_the_family_as_it_was(registry):
    """Its rows would be those of the plug-in from then on."""
    type("Base", (MLE_RANK,), {})
    type("Named", (MLE_RANK,), {"name": "eight", "__init__": lambda self: None})
    type("Mine", (MLE_RANK,), {"family": "mine"})
    assert covariance.FAMILIES["mle_rank"] is MLE_RANK
    assert type(covariance.get("mle_rank-5")) is MLE_RANK
    assert covariance.get("mine-5").moments == covariance.get("mle_rank-5").moments


CLASSES = {  # base, attributes: message
    "a name of another": (
        NPR,
        {},
        "variant 'npr' is defined twice, by bench.*:Npr and by .*:Mine; ",
    ),
    "a family of another": (
        covariance.Variant,
        {"family": "mle_rank"},
        "family 'mle_rank' is defined twice, by bench.*:MleRank and by .*:Mine; expected another ",
    ),
    "no number": (
        MLE_RANK,
        {"name": "eight"},
        "variant 'eight' .*:Mine.: cannot be made .missing .*'rank'.; "
        "expected an __init__ that takes no arguments, or a `family` in place of a name",
    ),
    "the name of a member": (
        MLE_RANK,
        {"name": "eight", "__init__": lambda self: MLE_RANK.__init__(self, 8)},
        "variant 'eight' .*:Mine.: its __init__ sets the name 'mle_rank-8', expected 'eight'",
    ),
}


@pytest.mark.parametrize("case", CLASSES)
def test_a_class_that_is_no_variant_of_its_own(case, registry):
    base, attributes, message = CLASSES[case]
    before = dict(covariance.VARIANTS)
    with pytest.raises(BenchError, match=message):
        type("Mine", (base,), attributes)
    assert before == covariance.VARIANTS


@pytest.mark.parametrize(
    "method, mine, message",
    [
        ("check_shape", lambda self, shape: None, "check_shape: .*'in_bound'; expected `check_sh"),
        ("numbers", lambda self: 3, r"numbers: too many positional .*; expected `numbers.self, s"),
    ],
)
def test_a_method_of_other_arguments(method, mine, message, registry):
    with pytest.raises(BenchError, match=f"variant 'mine' .*:Mine.: {message}"):
        type("Mine", (covariance.Variant,), {"name": "mine", method: mine})


@pytest.mark.parametrize(
    "products, message",
    [
        (
            lambda self, dim: 1,
            "products: .*in_bound.*; expected `products.self, dim, in_bound=Fals",
        ),
        (
            lambda self, dim, in_bound=False: -1,
            "found -1 for 64 coordinates, expected a whole numb",
        ),
        (lambda self, dim, in_bound=False: dim / 2, "products: found 32.0 for 64 coordinates"),
    ],
)
def test_products_that_cannot_be_counted(products, message, registry):
    with pytest.raises(BenchError, match=f"variant 'mine' .*:Mine.: .*{message}"):
        type("Mine", (covariance.Variant,), {"name": "mine", "products": products})
    assert "mine" not in covariance.VARIANTS


@pytest.mark.parametrize(
    "members, message",
    [
        ({}, "numbers: not defined; expected a method `numbers.self, shape.`, as its head has the"),
        (
            {"numbers": lambda self, shape: shape[1] / 2},
            "numbers: found 4.0 for images of shape .1",
        ),
        ({"numbers": lambda self, shape: 0}, "numbers: found 0 for images of shape .1, 8, 8., exp"),
    ],
)
def test_numbers_of_an_image_that_cannot_be_counted(members, message, registry):
    learned = {"name": "mine", "head": covariance.Head(outputs="image"), **members}
    type("Mine", (covariance.Variant,), learned)
    with pytest.raises(BenchError, match=f"variant 'mine' .*:Mine.: {message}"):
        covariance.numbers_of("mine", (1, 8, 8))


@pytest.mark.parametrize(
    "made, message",
    [
        (
            {},
            "variant 'mine-3' .*:Mine.: cannot be made .*; expected an __init__ that takes its num",
        ),
        (lambda self, number: None, "sets the name None, expected 'mine-3'"),
    ],
)
def test_a_family_whose_members_cannot_be_made(made, message, registry):
    attributes = {"family": "mine"} | ({"__init__": made} if made else {})
    type("Mine", (covariance.Variant,), attributes)
    with pytest.raises(BenchError, match=message):
        covariance.get("mine-3")


def test_a_moment_that_there_is_not(registry):
    message = "Mine.: moments: unknown moment 'eps_sq_meen'; did you mean 'eps_sq_mean'. .known: "
    with pytest.raises(BenchError, match=message):
        type("Mine", (covariance.Variant,), {"name": "mine", "moments": ("eps_sq_meen",)})


def test_estimate_is_clipped_to_the_squared_radius(registry):
    class Shown(covariance.Variant):
        name = "shown"

        def spectrum(self, seen):
            return np.array([-1.0, 1e-3, 1e9])

    found = Shown().estimate(covariance.Seen(2, MADE, 0.5))
    scale = MADE.noise_sq[2] / MADE.alpha_bar[2]
    np.testing.assert_allclose(found, [[0, 1e-3 * scale, 0.25]])


def test_a_moment_that_is_not_listed_is_refused(registry):
    class Greedy(covariance.Variant):
        name = "greedy"
        moments = ("error_sq_mean",)

        def spectrum(self, seen):
            return seen.moments["eps_sq"]

    message = (
        "variant 'greedy' reads the moment 'eps_sq', which its attribute `moments` does not list"
    )
    with pytest.raises(BenchError, match=message):
        Greedy().estimate(seen("greedy", 2))


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"steps": "importanze"}, "Head: steps: unknown value 'importanze'; did you mean 'importa"),
        ({"outputs": "imag"}, "Head: outputs: unknown value 'imag'; .* .known: image, pixel.$"),
        ({"products": -1}, "Head: products: expected a whole number from 0, found -1"),
        ({"products": True}, "Head: products: expected a whole number from 0, found True"),
    ],
)
def test_a_head_that_there_is_not(wrong, message):
    """It would be trained as the default one is."""
    with pytest.raises(BenchError, match=message):
        covariance.Head(**wrong)


def test_a_name_is_taken_once(registry):
    with pytest.raises(
        BenchError, match="variant 'npr' is defined twice, by bench.covariance.learn"
    ):

        class Npr(covariance.Variant):
            name = "npr"


PLUGIN = """
from bench.covariance import Variant

class Third(Variant):
    name = "third"

    def spectrum(self, seen):
        return 1 / 3


class Part(Variant):
    family = "part"

    def __init__(self, number):
        self.name, self.number = f"part-{number}", number

    def spectrum(self, seen):
        return 1 / self.number
"""


def install(tmp_path):
    """Puts the package into a folder, which may then be put on the path."""
    (tmp_path / "thirds.py").write_text(PLUGIN)
    about = tmp_path / "thirds-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: thirds\nVersion: 1\n")
    (about / "entry_points.txt").write_text(
        "[bench.variants]\nthird = thirds:Third\npart = thirds:Part\n"
    )


def test_a_variant_of_another_package(registry, tmp_path, monkeypatch):
    """Named as package.module:Class, or found in the entry points of what is installed."""
    install(tmp_path)
    with pytest.raises(
        BenchError, match="variant 'thirds:Third' cannot be imported .*'thirds'.*PYTHONPATH"
    ):
        covariance.load("thirds:Third")
    monkeypatch.syspath_prepend(tmp_path)
    assert covariance.get("third").spectrum(None) == 1 / 3
    assert covariance.load("thirds:Third") == "third"
    with pytest.raises(BenchError, match="no attribute 'Fourth'.*expected package.module:Class"):
        covariance.load("thirds:Fourth")
    with pytest.raises(BenchError, match="expected a subclass of bench.variant.Variant"):
        covariance.load("thirds:__doc__")
    expected = "expected a class with a name, .* of its own and a number behind it: thirds:"
    for wrong in ("thirds:Part", "thirds:Third-3"):
        with pytest.raises(BenchError, match=expected):
            covariance.load(wrong)


def test_a_family_of_another_package(registry, tmp_path, monkeypatch):
    """By its entry point, or as package.module:Class, with a number behind it."""
    install(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert covariance.get("part-4").spectrum(None) == 1 / 4
    assert covariance.load("thirds:Part-5") == "part-5"
    assert covariance.get("part-5").spectrum(None) == 1 / 5
    with pytest.raises(BenchError, match="unknown variant 'part-0'"):
        covariance.get("part-0")
    for wrong in ("thirds:Part-0", "thirds:Part-1234567"):
        with pytest.raises(BenchError, match="from 1 to 999999 behind the hyphen: thirds:Part-16"):
            covariance.load(wrong)


def test_analytic_variance_is_the_theorem_of_the_paper():
    """Bao et al. 2022a, Theorem 1: σ² = λ² + (√(b_t²/α_{t|s}) − √(b_s² − λ²))² (1 − b_t²
    E‖score‖²/d).
    """
    s, t = 3, 9
    scalar = covariance.get("analytic_scalar")
    for forward in (DDPM, process.make("ddim", MADE, 0.0), process.make("ddim", MADE, 0.4)):
        found = scalar.reverse_variance(forward, s, seen("analytic_scalar", t))
        lam = forward.eta**2 * MADE.beta_tilde(s, t)
        factor = (
            np.sqrt(MADE.noise_sq[t] / MADE.skip_alpha(s, t)) - np.sqrt(MADE.noise_sq[s] - lam)
        ) ** 2
        np.testing.assert_allclose(
            found, lam + factor * (1 - MOMENTS["eps_sq"][t].mean()), rtol=1e-11
        )


@pytest.mark.parametrize("s, t", [(3, 9), (1, 2), (0, 1)])
def test_improved_ddpm_is_log_linear_between_beta_tilde_and_beta(s, t):
    variant = covariance.get("improved_ddpm")
    output = np.array([[-1.0, 1.0, 0.0, 0.5]])
    beta, tilde = MADE.skip_beta(s, t), MADE.beta_tilde(max(s, 1), max(t, 2))
    tilde = min(beta, tilde)
    expected = [
        tilde,
        beta,
        np.sqrt(beta * tilde),
        np.exp(0.75 * np.log(beta) + 0.25 * np.log(tilde)),
    ]
    found = variant.reverse_variance(DDPM, s, seen("improved_ddpm", t, head=output))
    np.testing.assert_allclose(found[0], expected, rtol=1e-13)


def test_beta_overrides_the_variance():
    beta = covariance.get("beta")
    assert beta.reverse_variance(DDPM, 3, seen("beta", 9)) == MADE.skip_beta(3, 9)


def test_edge_costs():
    """From the data: of β, any first step at its last term; of the closed form, 1 alone."""
    beta, scalar = covariance.get("beta"), covariance.get("analytic_scalar")
    F, J = beta.edge_costs(DDPM, MOMENTS), scalar.edge_costs(DDPM, MOMENTS)
    np.testing.assert_array_equal(F[0, 1:], MOMENTS["last_term"][1:].mean(axis=1))
    assert J[0, 1] == 0 and np.isinf(J[0, 2:]).all()
    for t in range(2, 13):
        for s in range(1, t):
            p, q = MADE.skip_beta(s, t), MADE.beta_tilde(s, t)
            # KL of N(m, q I) from N(m', p I), E(m − m')² = γ² E(x_0 − x̂_0)², per coordinate
            shift = DDPM.gamma(s, t) ** 2 * MOMENTS["x0_error_sq"][t]
            assert F[s, t] == pytest.approx(
                np.mean(0.5 * (np.log(p / q) + (q + shift) / p - 1)), rel=1e-10
            )
            # Bao et al. 2022a: σ² = (β/α)(1 − β E‖score‖²/d), which no range of the data clips
            score_sq = MOMENTS["eps_sq"][t].mean() / MADE.noise_sq[t]
            sigma_sq = p / MADE.skip_alpha(s, t) * (1 - p * score_sq)
            assert J[s, t] == pytest.approx(np.log(sigma_sq / q), abs=1e-11)
    assert not covariance.get("npr").has_optimal_trajectory


@pytest.mark.parametrize(
    "name, process_name, heads, message",
    [
        ("nrp", "ddpm", [], "unknown variant 'nrp'; did you mean 'npr'"),
        ("beta", "ddim", [], "variant 'beta' is not defined for process 'ddim'"),
        ("sn", "ddpm", ["npr"], "variant 'sn' needs the head 'sn', which is not configured"),
    ],
)
def test_check(name, process_name, heads, message):
    with pytest.raises(BenchError, match=message):
        covariance.check(name, process_name, heads)


WRONG_ATTRIBUTES = {
    "a path for a name": (
        {"name": "../mine"},
        "variant '../mine' .*name: expected a name of at most",
    ),
    "no text for a name": ({"name": 15}, "variant 15 .*name: input should be a valid string"),
    "an unknown process": ({"processes": ("ddpm", "dddm")}, "processes.1: input should be 'ddpm'"),
    "a text for processes": ({"processes": "ddpm"}, "processes: input should be a valid tuple"),
    "an unknown assumption": ({"assumes": "luck"}, "assumes: input should be 'perfect mean'"),
    "an unknown frame": ({"frame": "fourier"}, "frame: input should be 'pixel'"),
    "a text for a truth value": (
        {"conditional": "yes"},
        "conditional: input should be a valid bool",
    ),
    "a text for a head": ({"head": "pixel"}, "head: input should be an instance of Head"),
    "a version that is no number": ({"version": "two"}, "version: input should be a valid integer"),
    "a version that is a truth value": ({"version": True}, "version: "),
    "a text for moments": ({"moments": "eps_sq"}, "moments: input should be a valid tuple"),
}


@pytest.mark.parametrize("case", WRONG_ATTRIBUTES)
def test_an_attribute_of_another_kind_is_refused(case, registry):
    """When the class is defined, in a line that names it."""
    members, message = WRONG_ATTRIBUTES[case]
    with pytest.raises(BenchError, match=message):
        type("Mine", (covariance.Variant,), {"name": "mine", "source": "nobody", **members})


def test_a_share_of_the_variance():
    moments = {"error_sq": np.array([np.zeros(2), [0.2, 0.8]])}
    variant = covariance.get("mle_share-25")
    seen = covariance.Seen(1, MADE, moments=covariance.MomentsAt(moments, 1, variant))
    assert variant.spectrum(seen).tolist() == [0.05, 0.2]
