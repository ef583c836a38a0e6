"""What makes the networks themselves faster or slower here, tried side by side: threads, memory layout, images a pass,
torch.compile, and bf16 with what it does to every metric."""

import copy
import shutil
import statistics
import time

import torch

from bench import bound, process, sampler, scores, trajectory
from bench.benchmark import Figure, cpuinfo, quiet
from bench.data import dataset
from bench.runtime import files, paths
from bench.scores import fidelity
from bench.scores.evidence import Samples
from bench.stages import inputs, scoring

ROUNDS = 12
IMAGES = 24  # of the bound in bf16
BATCHES = (32, 128, 256, 512)
VARIANTS = ("analytic_scalar", "sn")


def figures(experiment, name):
    """The figures of all levers."""
    setting, place = experiment.setting(name), paths.Setting(name)
    with torch.inference_mode():
        model, *_ = inputs.load_model(experiment, setting, place)
        if model.device.type == "cuda":
            return [
                Figure(
                    "levers",
                    "levers of a CPU",
                    "not measured",
                    limit="the networks run on a GPU here",
                )
            ]
        found = [
            _threads(model, setting),
            _layout(model, setting),
            _batch(model),
            _compiled(model, setting),
        ]
    return [*found, *_bf16(experiment, name)]


def _rates(ways):
    """{way: images a second} of {way: (images, a function that passes them)}, the median of rounds in which each has its turn."""
    times = {way: [] for way in ways}
    for _ in range(ROUNDS + 1):
        for way, (_, step) in ways.items():
            begun = time.perf_counter()
            step()
            times[way].append(time.perf_counter() - begun)
    return {way: ways[way][0] / statistics.median(taken[1:]) for way, taken in times.items()}


def _pass(network, shape, images, layout=torch.contiguous_format):
    """(images, a function that passes so many)."""
    x, t = torch.randn(images, *shape).contiguous(memory_format=layout), torch.full((images,), 500)
    return images, lambda: network(x, t, return_dict=False)


def _compare(title, rates, base, limit):
    said = ", ".join(
        f"{way}: {rate / rates[base]:.2f}" for way, rate in rates.items() if way != base
    )
    return Figure("levers", title, said, limit=f"times {base}, {rates[base]:.0f} images/s; {limit}")


def _threads(model, setting):
    (images, step), before = (
        _pass(model.unet, model.shape, setting.samples.batch),
        torch.get_num_threads(),
    )

    def with_threads(count):
        torch.set_num_threads(count)
        step()

    rates = _rates(
        {
            "1 thread": (images, lambda: with_threads(1)),
            "2 threads": (images, lambda: with_threads(2)),
        }
    )
    torch.set_num_threads(before)
    return _compare(
        "a second thread in a pass",
        rates,
        "1 thread",
        "jobs of one thread side by side fill the cores better",
    )


def _layout(model, setting):
    last = copy.deepcopy(model.unet).to(memory_format=torch.channels_last)
    images = setting.samples.batch
    rates = _rates(
        {
            "rows of pixels": _pass(model.unet, model.shape, images),
            "channels last": _pass(last, model.shape, images, torch.channels_last),
        }
    )
    return _compare(
        "channels last", rates, "rows of pixels", "GroupNorm is slower on them on a CPU"
    )


def _batch(model):
    rates = _rates(
        {f"{images} images": _pass(model.unet, model.shape, images) for images in BATCHES}
    )
    return _compare(
        "images a pass", rates, f"{BATCHES[-1]} images", "few images leave the time to the calls"
    )


def _compiled(model, setting):
    if not (shutil.which("g++") or shutil.which("clang++")):
        return Figure(
            "levers",
            "torch.compile",
            "not measured",
            limit="it needs a C++ compiler, which is not here",
        )
    images = setting.samples.batch
    plain = copy.deepcopy(model.unet)
    for module in plain.modules():  # hooks that tell features and time to others break the graph
        module._forward_hooks.clear()
        module._forward_pre_hooks.clear()
    compiled = torch.compile(copy.deepcopy(plain))
    begun = time.perf_counter()
    with quiet():
        _pass(compiled, model.shape, images)[1]()
    cost = time.perf_counter() - begun
    rates = _rates(
        {
            "eager": _pass(plain, model.shape, images),
            "compiled": _pass(compiled, model.shape, images),
        }
    )
    gain = 1 / rates["eager"] - 1 / rates["compiled"]
    pays = f"pays from {cost / gain:,.0f} images on" if gain > 0 else "never pays"
    return _compare(
        "torch.compile",
        rates,
        "eager",
        f"{cost:.0f} s to compile, fewer where its cache is warm: {pays}",
    )


def _bf16(experiment, name):
    """Speed of autocast to bf16, and each metric beside fp32 on the same noise."""
    setting, place = experiment.setting(name), paths.Setting(name)
    names, forward = (experiment.seed, name), process.make("ddpm", setting.schedule.make())
    levels = dataset.load(place.data).levels
    network = scoring.load_extractors(experiment, setting, place)[None]
    against = scoring.load_reference(place, files.read_json(place.reference), None)
    metrics = ["fid", "kid", "precision", "recall"]
    found, seconds, K = [], {"fp32": 0.0, "bf16": 0.0}, setting.samples.K[:2][-1]
    tau = tuple(trajectory.even(setting.schedule.N, K))
    for variant in VARIANTS:
        values = {}
        for precision in seconds:
            with quiet(), torch.inference_mode():
                made = inputs.load_denoiser(experiment, setting, place, [variant], precision)
                begun = time.perf_counter()
                images = sampler.sample(
                    made,
                    forward,
                    variant,
                    tau,
                    0,
                    setting.samples.count,
                    setting.clip("ddpm", variant),
                    names,
                    setting.samples.batch,
                )
                seconds[precision] += time.perf_counter() - begun
                nll = bound.evaluate(
                    made, forward, [bound.Cell("even", variant, K, tau)], IMAGES, names
                ).mean()
            features = fidelity.features(network, images, levels)["features"]
            seen = Samples(features, None, against, setting.fidelity.resamples, names)
            scored = {metric: scores.get(metric).compute(seen) for metric in metrics}
            values[precision] = {"nll": (nll, None), **scored}
        full, half = values["fp32"], values["bf16"]
        said = ", ".join(
            f"{metric} {full[metric][0]:.4g} → {half[metric][0]:.4g}" for metric in full
        )
        errors = ", ".join(
            f"{metric} {full[metric][1]:.2g}" for metric in metrics if full[metric][1]
        )
        found.append(
            Figure(
                "levers",
                f"bf16: {variant}, K = {K}",
                said,
                limit=f"fp32 → bf16; standard errors: {errors}",
            )
        )
    ratio = seconds["fp32"] / seconds["bf16"]
    how = (
        "with AMX"
        if "amx_bf16" in cpuinfo()
        else "this CPU has no products in bf16 (AMX): it converts"
    )
    return [Figure("levers", "bf16", f"{ratio:.2f} times as fast as fp32", limit=how), *found]
