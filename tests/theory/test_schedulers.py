"""A scheduler that is not what it claims is found, and so is what it does instead."""

import json

import numpy as np
import pytest

from bench import cli
from bench.runtime import imports
from bench.runtime.errors import BenchError
from bench.theory import scheduler_claims, schedulers

DDPM, DDIM = imports.scheduler("DDPMScheduler"), imports.scheduler("DDIMScheduler")
MULTISTEP = imports.scheduler("DPMSolverMultistepScheduler")
SHORT = {"num_train_timesteps": 100}
# ᾱ at timesteps 0..99 of diffusers' default schedule for N = 100
ALPHA_BAR = np.cumprod(1 - np.linspace(1e-4, 0.02, 100))


def check(cls, steps=10, **options):
    """The rows of a scheduler with N = 100."""
    scheduler = cls(**SHORT, **options)
    return schedulers.check(scheduler, scheduler_claims.claims_of(scheduler), steps)


def broken(rows):
    """The rows that do not hold, but for the samples, which follow from the others."""
    return [row for row in rows if row["verdict"] is False and "of samples" not in row["claim"]]


def samples_hold(rows):
    return [row["verdict"] for row in rows if "of samples" in row["claim"]]


@pytest.mark.parametrize(
    "cls, options",
    [
        *((DDPM, {"timestep_spacing": name}) for name in ("leading", "linspace", "trailing")),
        (DDPM, {"variance_type": "fixed_small_log", "steps_offset": 1}),
        (DDPM, {"variance_type": "fixed_large", "prediction_type": "v_prediction"}),
        (DDPM, {"prediction_type": "sample", "beta_schedule": "squaredcos_cap_v2"}),
        (DDIM, {"prediction_type": "v_prediction"}),
        (DDIM, {"timestep_spacing": "trailing", "thresholding": True}),
        *((MULTISTEP, {"timestep_spacing": name}) for name in ("leading", "linspace", "trailing")),
        (MULTISTEP, {"solver_order": 1, "prediction_type": "sample"}),
        (MULTISTEP, {"algorithm_type": "sde-dpmsolver++", "beta_schedule": "squaredcos_cap_v2"}),
        (MULTISTEP, {"algorithm_type": "sde-dpmsolver++", "solver_order": 1}),
    ],
)
@pytest.mark.parametrize("steps", [1, 10])
def test_a_scheduler_that_is_what_it_claims(cls, options, steps):
    rows = check(cls, steps, **options)
    assert [row for row in rows if row["verdict"] is not True] == []
    assert len(samples_hold(rows)) == (4 if cls is DDIM else 2)


class WrongCoefficient(DDIM):
    """It adds a hundredth of x̂_0 in one step."""

    def step(self, output, timestep, sample, **options):
        result = super().step(output, timestep, sample, **options)
        if timestep == 50:
            result.prev_sample = result.prev_sample + 0.01 * result.pred_original_sample
        return result


def test_a_wrong_coefficient():
    rows = check(WrongCoefficient)
    first, second = broken(rows)
    claim = "coefficient of x̂_0, worst of 9 steps: timestep 50 → 40"
    assert (first["claim"], second["claim"]) == (f"η = 0: {claim}", f"η = 1: {claim}")
    for row in (first, second):
        assert row["expected"] == pytest.approx(ALPHA_BAR[40] ** 0.5, abs=1e-5)
        assert row["measured"] - row["expected"] == pytest.approx(0.01, abs=1e-5)
    assert samples_hold(rows) == [False] * 4


class WrongVariance(DDPM):
    """Its standard deviation is larger by a thousandth in one step."""

    def _get_variance(self, t, **options):
        return super()._get_variance(t, **options) * (1.001**2 if t == 30 else 1)


def test_a_wrong_variance():
    (row,) = broken(check(WrongVariance))
    assert row["claim"] == "variance σ², worst of 9 steps: timestep 30 → 20"
    beta = 1 - ALPHA_BAR[30] / ALPHA_BAR[20]
    beta_tilde = beta * (1 - ALPHA_BAR[20]) / (1 - ALPHA_BAR[30])
    assert row["expected"] == pytest.approx(beta_tilde, rel=1e-4)
    assert row["measured"] / row["expected"] == pytest.approx(1.001**2, rel=1e-5)


class WrongSpacing(DDPM):
    """One of its timesteps is one too low."""

    def set_timesteps(self, steps):
        super().set_timesteps(steps)
        self.timesteps[3] -= 1


def test_a_wrong_spacing():
    """Its steps are those between its own timesteps."""
    rows = check(WrongSpacing)
    (row,) = broken(rows)
    assert row["claim"] == "timestep 4 of 10, the farthest from spacing leading"
    assert (row["expected"], row["measured"]) == (60, 59) and samples_hold(rows) == [True, True]


class WrongLastStep(DDPM):
    """It does not go all the way to the data."""

    def step(self, output, timestep, sample, **options):
        result = super().step(output, timestep, sample, **options)
        if timestep == 0:
            result.prev_sample = 0.99 * result.prev_sample
        return result


def test_a_wrong_last_step():
    (row,) = broken(check(WrongLastStep))
    assert row["claim"] == "last step, timestep 0 → the data: coefficient of x̂_0"
    assert (row["expected"], row["measured"]) == (1, pytest.approx(0.99, abs=1e-6))


class WrongStride(DDPM):
    """It steps by N/K, wherever its next timestep is."""

    def previous_timestep(self, timestep):
        return timestep - 10


def test_a_step_to_another_timestep_is_named():
    """The first step goes from 99 to 88, and is one to 89."""
    rows = check(WrongStride, timestep_spacing="linspace")
    first, second, third = broken(rows)
    assert (
        first["claim"]
        == "coefficient of x̂_0, worst of 9 steps: timestep 99 → 88; it steps to timestep 89"
    )
    assert "coefficient of ε̂" in second["claim"] and "variance σ²" in third["claim"]


class OwnNoise(DDPM):
    """It does not use the generator."""

    def step(self, output, timestep, sample, generator=None):
        return super().step(output, timestep, sample)


def test_noise_that_is_drawn_in_another_way():
    """Then σ² is known to its standard error only, and a row says so."""
    rows = check(OwnNoise)
    assert broken(rows) == [] and samples_hold(rows) == [True, True]
    (row,) = [row for row in rows if row["claim"].startswith("variance σ²")]
    assert row["claim"].endswith(
        "its noise is not only torch.randn of the generator, so σ² is a mean square"
    )
    assert row["tolerance"] > 0.03 * row["expected"]  # 4 standard errors of 8192 squares


class WithoutEta(DDIM):
    """Its steps have no η."""

    def step(self, output, timestep, sample, generator=None):
        return super().step(output, timestep, sample)


def test_what_the_step_does_not_take_is_not_judged():
    rows = check(WithoutEta)
    assert broken(rows) == [] and rows[-1]["verdict"] == schedulers.NOT_JUDGED
    assert rows[-1]["claim"] == "η = 1: steps and samples, as `step` does not take eta"


# The following are differences of diffusers 0.42.1, which docs/solvers.md lists. If one of these
# tests fails with another version, the list is out of date.


def test_ddim_of_diffusers_steps_by_a_constant_stride():
    """With `linspace`, its own timesteps lie elsewhere."""
    rows = broken(check(DDIM, timestep_spacing="linspace"))
    assert len(rows) == 5 and all("last" not in row["claim"] for row in rows)
    assert rows[0]["claim"].endswith("timestep 99 → 88; it steps to timestep 89")
    assert rows[0]["measured"] == pytest.approx(ALPHA_BAR[89] ** 0.5, abs=1e-5)


def test_ddim_without_alpha_one_stays_at_the_first_timestep():
    rows = broken(check(DDIM, set_alpha_to_one=False))
    last = "last step, timestep 0 → the data: coefficient of x̂_0; it steps to timestep 0"
    assert rows[0]["claim"] == f"η = 0: {last}"
    assert rows[0]["measured"] == pytest.approx(ALPHA_BAR[0] ** 0.5, abs=1e-6)


def test_ddpm_adds_noise_to_the_data_if_its_last_timestep_is_not_0():
    (row,) = broken(check(DDPM, variance_type="fixed_large", timestep_spacing="trailing"))
    assert row["claim"] == "last step, timestep 9 → the data: variance σ²"
    assert row["measured"] == pytest.approx(1 - ALPHA_BAR[9], rel=1e-4)


def test_timesteps_that_are_no_chain():
    """`trailing` has a timestep −1 where N − K (N/K) is rounded to more than 0."""
    rows = check(DDPM, 29, timestep_spacing="trailing")
    assert [(row["claim"], row["measured"]) for row in broken(rows)] == [
        ("number of timesteps", 30),
        ("timesteps that are not among 0 .. N − 1", 1),
    ]
    assert rows[-1]["verdict"] == schedulers.NOT_JUDGED


def test_numbers_that_are_not_finite():
    rows = check(DDPM, variance_type="fixed_large_log")
    (row,) = broken(rows)
    assert (row["claim"], row["measured"]) == ("steps with numbers that are not finite", 9)
    assert [row["verdict"] for row in rows].count(schedulers.NOT_JUDGED) == 4


@pytest.mark.parametrize("clip, judged", [(0.15, True), (1e-3, False)])
def test_points_that_are_clipped_are_left_out(clip, judged):
    rows = check(DDPM, clip_sample_range=clip)
    assert broken(rows) == []
    (first, *_) = [row for row in rows if "of samples" in row["claim"]]
    assert (first["verdict"] is True) is judged and "clipped" in first["claim"]


@pytest.mark.parametrize(
    "cls, options, fault",
    [
        (
            DDPM,
            {"variance_type": "learned_range"},
            "variance_type: 'learned_range' cannot be judged",
        ),
        (MULTISTEP, {"solver_order": 3}, "solver_order: 3 cannot be judged; expected 2 or 1"),
        (MULTISTEP, {"use_karras_sigmas": True}, "use_karras_sigmas: True cannot be judged"),
        (imports.scheduler("EulerDiscreteScheduler"), {}, "nothing here says what it claims"),
        (
            DDPM,
            {"rescale_betas_zero_snr": True},
            "alphas_cumprod does not fall or is 0: found 0 at",
        ),
        (DDPM, {"num_train_timesteps": 5}, "DDPMScheduler: --steps 10: refused"),
    ],
)
def test_what_cannot_be_judged_is_refused(cls, options, fault):
    scheduler = cls(**options)
    with pytest.raises(BenchError, match=fault):
        schedulers.check(scheduler, scheduler_claims.claims_of(scheduler), 10)


def test_a_scheduler_from_a_folder(tmp_path):
    """That of a pipeline too; an option counts instead of the folder's."""
    DDIM(**SHORT, timestep_spacing="trailing").save_pretrained(tmp_path / "pipeline" / "scheduler")
    for folder in (tmp_path / "pipeline", tmp_path / "pipeline" / "scheduler"):
        made = scheduler_claims.load(str(folder), {"steps_offset": 1})
        assert type(made) is DDIM and made.config.steps_offset == 1
        assert made.config.num_train_timesteps == 100
        assert made.config.timestep_spacing == "trailing"


def test_a_class_of_ones_own_claims_what_its_base_does():
    made = scheduler_claims.load(f"{__name__}:WrongVariance", {})
    (claim,) = scheduler_claims.claims_of(made)
    assert (claim.process, claim.spacing) == ("ddpm", "leading")


def test_the_command_fails_with_the_first_claim_that_does_not_hold(capsys):
    name = f"{__name__}:WrongLastStep"
    with pytest.raises(SystemExit, match=f"{name}: 3 of 14 claims do not hold; the first is: last"):
        cli.main(["check", "scheduler", name, "--option", "num_train_timesteps=100"])
    printed = capsys.readouterr().out
    assert printed.startswith(
        "WrongLastStep claims: process ddpm, variance β̃_{s|t}, spacing leading"
    )
    assert "N = 100, K = 10, prediction epsilon" in printed and "False" in printed


def test_a_folder_that_names_no_class(tmp_path):
    (tmp_path / "scheduler_config.json").write_text(json.dumps({"num_train_timesteps": 10}))
    with pytest.raises(BenchError, match="_class_name: expected the name of a class.*found None"):
        scheduler_claims.load(str(tmp_path), {})


def test_a_folder_of_bench_export_is_named(tmp_path):
    config = {"_class_name": "ReverseScheduler"}
    (tmp_path / "scheduler_config.json").write_text(json.dumps(config))
    with pytest.raises(BenchError, match="takes the harness's own steps.*expected one of DDPM"):
        scheduler_claims.load(str(tmp_path), {})


class WrongAlphaBar(DDPM):
    def __init__(self, num_train_timesteps: int = 1000, **options):
        super().__init__(num_train_timesteps=num_train_timesteps, **options)
        self.alphas_cumprod = self.alphas_cumprod**1.001


@pytest.mark.parametrize("name", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_a_noise_schedule_that_is_not_that_of_its_betas(name):
    right, wrong = (cls(beta_schedule=name) for cls in (DDPM, WrongAlphaBar))
    schedules = [schedulers.schedule_of(made) for made in (right, wrong)]
    assert schedulers.schedule_row(right, schedules[0])["verdict"]
    row = schedulers.schedule_row(wrong, schedules[1])
    assert not row["verdict"] and "the farthest from that of its β" in row["claim"]
