"""Values of the configuration, each through `bench config`."""

import pytest

from tests.bad_input.conftest import DELETE

MIXTURE = {"name": "mixture", "components": 2, "dim": 2, "train": 4, "test": 180}
PUBLISHED = {"format": "pytorch_diffusion", "path": "x"}

# what is wrong: (key, value, message)
CASES = {
    # keys
    "key misspelt": ("*.moments.drwas", 3, "unknown key 'drwas'; did you mean 'draws'"),
    "section misspelt": ("*.momnts", {}, "unknown key 'momnts'; did you mean 'moments'"),
    "key of 1000 letters": ("a" * 1000, 1, "unknown key 'aaaa"),
    "missing key": ("*.schedule.N", DELETE, "schedule.N: missing"),
    "missing section": ("*.data", DELETE, "data: missing"),
    "no settings": ("settings", [], "settings: expected a list of setting names, found []"),
    "settings null": ("settings", None, "settings: expected a list of setting names, found None"),
    "a text for a section": ("*.moments", "all", "moments: input should be a valid dictionary"),
    # types
    "text": ("*.moments.draws", "many", "draws: input should be a valid integer, found 'many'"),
    "fraction": ("*.moments.draws", 2.5, "draws: input should be a valid integer, found 2.5"),
    "true for an integer": ("*.moments.draws", True, "input should be a valid integer, found True"),
    "true for a number": ("*.fidelity.target_fid", True, "input should be a number, found True"),
    "false for a number": ("*.processes.ddim.eta", False, "input should be a number, found False"),
    "1 for true": (
        "*.mean",
        {"published": PUBLISHED | {"rescale_timesteps": 1}},
        "rescale_timesteps: input should be a valid boolean, found 1",
    ),
    "a list for a text": ("device", ["cpu"], "device: input should be 'auto', 'cpu' or 'cuda'"),
    "nothing": ("seed", None, "seed: input should be a valid integer, found None"),
    "K no number": ("*.samples.K", ["ten"], "samples.K.0: input should be a valid integer"),
    "K no list": ("*.samples.K", 5, "samples.K: input should be a valid list, found 5"),
    # ranges
    "negative": ("*.bound.images", -1, "images: input should be greater than or equal to 1"),
    "zero": ("*.schedule.N", 0, "N: input should be greater than or equal to 1, found 0"),
    "NaN": ("*.fidelity.target_fid", float("nan"), "input should be a finite number, found nan"),
    "infinite": (
        "*.mean.train.learning_rate",
        float("inf"),
        "learning_rate: input should be a finite number",
    ),
    "EMA of 1": ("*.mean.train.ema", 1.0, "ema: input should be less than 1, found 1.0"),
    "warm-up below 0": ("*.mean.train.warmup", -1, "warmup: input should be greater than or"),
    "η": ("*.processes.ddim.eta", -0.1, "eta: input should be greater than or equal to 0"),
    "η above 1": ("*.processes.ddim.eta", 1.5, "eta: input should be less than or equal to 1"),
    "seed below 0": ("seed", -1, "seed: input should be greater than or equal to 0, found -1"),
    "K > N": ("*.bound.K", [101], "bound.K: expected 2 ≤ K ≤ schedule.N = 100"),
    "K = 0": ("*.samples.K", [0], "samples.K.0: input should be greater than or equal to 1"),
    "K twice": ("*.samples.K", [5, 5], "samples.K: expected no repetitions, found 5 2 times"),
    "K of no stride": ("*.bound.K", [3], "even_ddim: a stride of 33 gives 4 steps for K = 3"),
    "too few for FID": ("*.samples.count", 3, "count: input should be greater than or equal to 4"),
    "no shard": ("*.shards", 0, "shards: input should be greater than or equal to 1, found 0"),
    "shards of one stage": (
        "*.samples.shards",
        4,
        "shards: expected it beside `samples`, not in it, as it is of all stages: shards: 4",
    ),
    "one resample": ("*.fidelity.resamples", 1, "resamples: input should be greater than or equal"),
    "negative imperfection": (
        "*.mean",
        {"oracle": {"imperfection": -1}},
        "imperfection: input should be greater than",
    ),
    # names
    "unknown variant": (
        "*.processes.ddpm.variants",
        ["nrp"],
        "unknown variant 'nrp'; did you mean 'npr'",
    ),
    "no variants": (
        "*.processes.ddpm.variants",
        [],
        "processes.ddpm.variants: list should have at least 1 item",
    ),
    "variant twice": ("*.processes.ddpm.variants", ["beta"] * 2, "expected no repetitions"),
    "beta with ddim": (
        "*.processes.ddim.variants",
        ["beta"],
        "variant 'beta' is not defined for process 'ddim'",
    ),
    "no module": ("*.processes.ddpm.variants", ["no.such:Class"], "no.such"),
    "no plug-in": ("plugins", ["nothing:Here"], "nothing:Here"),
    "head not configured": (
        "*.heads.targets",
        {"npr": "simple"},
        "variant 'sn' needs the head 'sn', which is not",
    ),
    "unknown head": ("*.heads.targets", {"nrp": "simple"}, "heads.targets.nrp"),
    "unknown mode": (
        "*.heads.targets.npr",
        "big",
        "heads.targets.npr: input should be 'simple', 'complex', 'mlp'",
    ),
    "unknown process": (
        "*.processes.dpm",
        {"variants": ["beta"]},
        "unknown key 'dpm'; did you mean 'ddpm'",
    ),
    "no process": ("*.processes", {}, "processes: expected at least one of ddpm, ddim"),
    "unknown trajectory": (
        "*.bound.trajectories",
        ["evn"],
        "unknown trajectory 'evn'; did you mean 'even'",
    ),
    "unknown schedule": (
        "*.schedule.name",
        "linaer",
        "unknown schedule 'linaer'; did you mean 'linear'",
    ),
    "unknown metric": ("metrics", ["fdi"], "unknown metric 'fdi'; did you mean 'fid'"),
    "metric twice": ("metrics", ["fid", "fid"], "metrics: expected no repetitions"),
    "unknown extractor": (
        "*.extractor.name",
        "clasifier",
        "unknown extractor 'clasifier'; did you mean 'classifier'",
    ),
    "no extractor": (
        "*.extractor",
        None,
        "fid needs settings.tiny.extractor, which is not configured",
    ),
    "unknown data set": ("*.data.name", "digts", "unknown data set 'digts'; did you mean 'digits'"),
    "unknown format": (
        "*.mean",
        {"published": PUBLISHED | {"format": "pytorch_difusion"}},
        "mean.published.format: unknown format 'pytorch_difusion'; did you mean",
    ),
    "a published head of whole images": (
        "*.mean",
        {"published": PUBLISHED | {"heads": {"kdct": "x"}}},
        "mean.published.heads.kdct: a published file has a number for each coordinate, and kdct",
    ),
    "unknown precision": ("*.samples.precision", "fp8", "input should be 'fp32' or 'bf16'"),
    "unknown device": ("device", "tpu", "device: input should be 'auto', 'cpu' or 'cuda'"),
    # what belongs together
    "two means": (
        "*.mean.checkpoint",
        "x",
        "mean: expected either unet and train, or one of checkpoint, pu",
    ),
    "no training": ("*.mean.train", None, "mean: expected either unet and train"),
    "option of no format": (
        "*.mean",
        {"published": PUBLISHED | {"attention_heads": 1}},
        "mean.published.attention_heads: unknown key 'attention_heads'",
    ),
    "half a checksum": (
        "*.mean",
        {"published": PUBLISHED | {"sha256": "abc"}},
        "sha256: string should match pattern",
    ),
    "option of no reader": ("*.data.path", "x", "data.path: unknown key 'path'"),
    "option misspelt": ("*.data", MIXTURE | {"componnets": 2}, "unknown key 'componnets'"),
    "option missing": ("*.data", {"name": "cifar10"}, "data.path: missing"),
    "option of another type": (
        "*.data",
        MIXTURE | {"dim": "two"},
        "data.dim: input should be a valid integer, found",
    ),
    "two references": (
        "*.fidelity",
        {"target_fid": 1.0, "resamples": 9, "reference": "x.npz", "reference_images": 9},
        "reference_images: expected none beside reference",
    ),
    # what does not fit into memory
    "10¹² steps": ("*.schedule.N", 10**12, "N: found 1000000000000, with which the schedule"),
    "10⁶ steps": ("*.schedule.N", 10**6, "the costs of the optimal trajectory would take 8,000 GB"),
    "10¹⁵ images": ("*.samples.count", 10**15, "images of a cell would take 64,000,000 GB"),
    "10³⁰ images": ("*.samples.count", 10**30, "samples.count: found 1000000"),
    "a batch of 10¹²": ("*.samples.batch", 10**12, "samples.batch: found 1000000000000"),
    "a training batch": ("*.mean.train.batch", 10**12, "mean.train.batch: found 1000000000000"),
    "10¹⁴ draws": ("*.moments.draws", 10**14, "moments.draws: found 100000000000000"),
    "10¹² test images": ("*.bound.images", 10**12, "bound.images: found 1000000000000"),
    "10¹² resamples": ("*.fidelity.resamples", 10**12, "fidelity.resamples: found 1000000000000"),
    "a value of 10000 letters": ("*.moments.draws", "x" * 10**4, "valid integer, found 'xxxx"),
    "a list of 1000": ("*.moments.draws", [1] * 1000, "integer, found [1, 1, 1, 1, 1, 1, ...]"),
}


@pytest.mark.parametrize("case", CASES)
def test_values(case, configured, refuse):
    key, value, message = CASES[case]
    folder = configured({key: value})
    line = refuse(folder, ["config", "--config", "config.yaml"], message)
    assert line.startswith("bench config: error: config.yaml: ")
