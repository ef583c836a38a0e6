"""What makes networks faster: torch.compile, and bf16 with what it does to every metric.

docs/performance.md has the figures of threads, memory layout and batch size.
"""

import copy
import shutil
import statistics
import time
from pathlib import Path

import torch

from bench import bound, process, sampler, scores, trajectory
from bench.benchmark import Figure, quiet
from bench.data import dataset
from bench.experiment.resolved import Experiment
from bench.runtime import files, paths
from bench.scores import fidelity, report
from bench.scores.samples import Samples
from bench.stages import models, scoring

ROUNDS = 12
IMAGES = 24  # of the bound in bf16
VARIANTS = ("analytic_scalar", "sn")
METRICS = ("fid", "kid", "precision", "recall")


def figures(experiment: Experiment, name: str) -> list[Figure]:
    """The figures of both, on a CPU."""
    setting, place = experiment.setting(name), paths.Setting(name)
    with torch.inference_mode():
        model, *_ = models.load_model(experiment, setting, place)
        if model.device.type == "cuda":
            return [Figure("levers", "levers of a CPU", "not measured", limit="there is a GPU")]
        return [_compiled(model, setting.samples.batch), *_bf16(experiment, name)]


def _compiled(model, batch):
    """Speed of the compiled network, and from how many images on it pays."""
    if not (shutil.which("g++") or shutil.which("clang++")):
        limit = "it needs a C++ compiler, which is not here"
        return Figure("levers", "torch.compile", "not measured", limit=limit)
    eager = copy.deepcopy(model.unet)
    for module in eager.modules():  # hooks that pass features and times on break the graph
        module._forward_hooks.clear()
        module._forward_pre_hooks.clear()
    compiled = torch.compile(copy.deepcopy(eager))
    images, t = torch.randn(batch, *model.shape), torch.full((batch,), 500)

    def seconds(network):
        begun = time.perf_counter()
        network(images, t, return_dict=False)
        return time.perf_counter() - begun

    with quiet():
        cost = seconds(compiled)
    seconds(eager)  # not counted, as it prepares what later passes reuse
    pairs = [(seconds(eager), seconds(compiled)) for _ in range(ROUNDS)]
    plain, fast = (statistics.median(times) for times in zip(*pairs, strict=True))
    pays = f"from {batch * cost / (plain - fast):,.0f} images on" if fast < plain else "never"
    limit = f"{batch / plain:.0f} images/s without it; {cost:.0f} s to compile; pays {pays}"
    return Figure("levers", "torch.compile", f"{plain / fast:.2f} times as fast", limit=limit)


def _bf16(experiment, name):
    """Speed of autocast to bf16, and each metric beside fp32 on the same noise."""
    seconds, result, K = {"fp32": 0.0, "bf16": 0.0}, [], experiment.setting(name).samples.K[:2][-1]
    for variant in VARIANTS:
        of_precision = {}
        for precision in seconds:
            taken, of_precision[precision] = _scored(experiment, name, variant, K, precision)
            seconds[precision] += taken
        full, half = of_precision["fp32"], of_precision["bf16"]
        values = [f"{metric} {full[metric][0]:.4g} → {half[metric][0]:.4g}" for metric in full]
        errors = [f"{metric} {full[metric][1]:.2g}" for metric in METRICS if full[metric][1]]
        limit = f"fp32 → bf16; standard errors: {', '.join(errors)}"
        result.append(Figure("levers", f"bf16: {variant}, K = {K}", ", ".join(values), limit=limit))
    cpuinfo = Path("/proc/cpuinfo")
    amx = cpuinfo.exists() and "amx_bf16" in cpuinfo.read_text()
    limit = "with AMX" if amx else "without products in bf16 (AMX) the CPU converts"
    value = f"{seconds['fp32'] / seconds['bf16']:.2f} times as fast as fp32"
    return [Figure("levers", "bf16", value, limit=limit), *result]


def _scored(experiment, name, variant, K, precision):
    """(seconds of sampling, {metric: (value, standard error)}) of a variant at a precision."""
    setting, place = experiment.setting(name), paths.Setting(name)
    stream, forward = (experiment.seed, name), process.make("ddpm", setting.schedule.make())
    tau = tuple(trajectory.even(setting.schedule.N, K))
    section, clip = setting.samples, setting.clip("ddpm", variant)
    with quiet(), torch.inference_mode():
        denoiser = models.load_denoiser(experiment, setting, place, [variant], precision)
        begun = time.perf_counter()
        images = sampler.sample(
            denoiser, forward, variant, tau, 0, section.count, clip, stream, section.batch
        )
        seconds = time.perf_counter() - begun
        cell = bound.Cell("even", variant, K, tau)
        nll = bound.evaluate(denoiser, forward, [cell], IMAGES, stream).total.mean()
    network = scoring.load_extractors(experiment, setting, place)[None]
    about = files.read_json(place.reference, report.Reference)
    reference = scoring.load_reference(place, about, None)
    features = fidelity.features(network, images, dataset.load(place.data).levels)["features"]
    seen = Samples(features, None, reference, setting.fidelity.resamples, stream)
    computed = {metric: scores.get(metric).compute(seen) for metric in METRICS}
    return seconds, {"nll": (nll, None), **computed}
