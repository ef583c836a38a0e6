"""The stages: each reads what earlier ones wrote, calls the library, and writes its own files (see `bench.paths`).

This is the only place where configuration, files and physics meet. Every function takes the experiment and
the name of a setting; `bench.cli` makes a subcommand of each, and Snakemake calls those.
"""

import numpy as np

from bench import files, paths, process, tracking, trajectory
from bench.errors import BenchError, unknown


def data(experiment, name):
    """Reads and splits the data set: results/<setting>/data/."""
    from bench import data as datasets

    setting, place = experiment.setting(name), paths.Setting(name)
    # What does not fit the setting is refused here, hours before the bound would.
    datasets.prepare(setting.data.name, place.data, setting.data.options, lambda raw: _check_images(setting, name, raw))


def _check_images(setting, name, dataset):
    if (setting.clip_levels is None) != (dataset.levels is None):
        raise BenchError(f"settings.{name}.clip_levels: expected " + (
            "none, as continuous data have no grey levels" if dataset.levels is None
            else "y of ddpm and ddim, as the data have grey levels"))
    if setting.bound.images > len(dataset.test):
        raise BenchError(f"bound.images: expected at most the {len(dataset.test)} test images of {name}, "
                         f"found {setting.bound.images}")


def mean(experiment, name):
    """Trains the mean model, imports it, or takes the exact one: results/<setting>/mean/."""
    from bench import data as datasets
    from bench import device
    from bench import heads as networks
    from bench import mean as means
    from bench.mean import checkpoint, oracle, published
    from bench.mean import train as training

    setting, place = experiment.setting(name), paths.Setting(name)
    dataset = datasets.load(place.data)
    if setting.mean.oracle:
        oracle.save(setting.mean.oracle, dataset, place.mean)
        return
    if setting.mean.published or setting.mean.checkpoint:
        found = (published.read(setting.mean.published) if setting.mean.published
                 else checkpoint.read(setting.mean.checkpoint, setting.schedule))
        means.check_channels(found["unet"], dataset.shape, setting.mean.checkpoint or setting.mean.published.path)
        if setting.heads:
            networks.check_imported(setting.heads.imported, found["heads"])
        means.save(folder=place.mean, **found)
        return
    with tracking.live_run(experiment, name, "mean") as log_loss:
        network, log = training.train(dataset, setting.schedule.make(), setting.mean, (experiment.seed, name),
                                      place.checkpoints / "mean.pt", log_loss, device.choose(experiment.device))
    means.save(network, "epsilon", place.mean, source="trained", log=log)


def extractor(experiment, name):
    """Prepares the feature extractor of the scores: results/<setting>/extractor/."""
    from bench import data as datasets
    from bench import extractor as extractors

    setting, place = experiment.setting(name), paths.Setting(name)
    with tracking.live_run(experiment, name, "extractor") as log_loss:
        extractors.get(setting.extractor.name).prepare(
            datasets.load(place.data), setting.extractor, (experiment.seed, name), place.extractor,
            place.checkpoints / "extractor.pt", log_loss)


def moments(experiment, name):
    """Moments of the mean model at every step: results/<setting>/moments.npz."""
    import torch

    from bench import moments as estimators

    setting, place = experiment.setting(name), paths.Setting(name)
    model, dataset, schedule = load_model(experiment, setting, place)
    with torch.inference_mode():
        result = estimators.estimate(model, dataset, schedule, setting.moments.draws, (experiment.seed, name),
                                     setting.samples.batch, setting.moments.relative_error)
    files.write_npz(place.moments, **result)


def heads(experiment, name):
    """Trains all heads together: results/<setting>/heads/. BenchError where none is configured."""
    from bench import heads as networks

    setting, place = experiment.setting(name), paths.Setting(name)
    if setting.heads is None:
        raise BenchError(f"settings.{name}.heads: not configured; expected targets and train")
    model, dataset, schedule = load_model(experiment, setting, place)
    known = files.map_npz(place.moments) if setting.heads_need_moments else None
    with tracking.live_run(experiment, name, "heads") as log_loss:
        trained, log = networks.train(model, dataset, schedule, setting.heads, (experiment.seed, name),
                                      place.checkpoints / "heads.pt", log_loss, known)
    networks.save(trained, log, place.heads)


def trajectories(experiment, name, kind=None):
    """The trajectories of one kind, or of all that the grid asks for: results/<setting>/trajectories/<kind>.json

    {variant: {K: steps}}, with variant '*' for a kind that serves all of them. BenchError for a kind that is not asked for.
    """
    setting, place = experiment.setting(name), paths.Setting(name)
    forward = process.make("ddpm", setting.schedule.make())
    wanted = setting.trajectories()
    if kind not in (None, *wanted):
        raise unknown("--kind", kind, wanted)
    for one in [kind] if kind else wanted:
        found = {variant: _optimal(forward, variant, Ks, place) if one == "optimal"
                 else {K: trajectory.fixed(one, setting.schedule.N, K) for K in Ks}
                 for variant, Ks in sorted(wanted[one].items())}
        files.write_json(place.trajectories(one), found)


def _optimal(forward, variant, Ks, place):
    """Optimal trajectories of one variant, {K: steps}, from the moments alone."""
    from bench import covariance
    from bench import data as datasets

    arrays, radius = files.map_npz(place.moments), datasets.load(place.data).radius
    above = np.flatnonzero(arrays["eps_sq"][1:].mean(axis=1) > 1)
    estimated = covariance.get(variant).uses_moments
    last_sound = max(int(above[0]), 1) if estimated and len(above) else None
    cost = covariance.get(variant).edge_costs(forward, radius, arrays)
    return trajectory.optimal(cost, Ks, last_sound)


def bound(experiment, name):
    """The bound of every DDPM cell and test image, in rows: results/<setting>/bound.parquet.

    Columns trajectory, variant, K, image, and nll_bpd, or for continuous data nll_nats and, where the law is known,
    exact_nats, the −log p(x) of the very point.
    """
    import pandas

    from bench import bound as bounds

    setting, place = experiment.setting(name), paths.Setting(name)
    variants = setting.variants("ddpm")
    denoiser = load_denoiser(experiment, setting, place, variants)
    _check_images(setting, name, denoiser.data)
    steps = read_trajectories(place, setting.kinds("bound", "ddpm", variants))
    cells = [bounds.Cell(kind, variant, K, tuple(_steps(steps, kind, variant, K)))
             for variant, kind, K in setting.cells("bound", "ddpm")]
    values = bounds.evaluate(denoiser, process.make("ddpm", denoiser.schedule), cells, setting.bound.images,
                             (experiment.seed, name), setting.samples.batch)
    unit = "nll_nats" if denoiser.data.levels is None else "nll_bpd"
    exact = denoiser.data.exact_nats(setting.bound.images)
    frame = pandas.concat([pandas.DataFrame({
        "trajectory": cell.trajectory, "variant": cell.variant, "K": cell.K,
        "image": np.arange(setting.bound.images), unit: row, **exact}) for cell, row in zip(cells, values, strict=True)])
    with files.writing(place.bound) as partial:
        frame.to_parquet(partial, index=False)


def samples(experiment, name, process_name, shard=0, needs=None):
    """One shard of the cells of a process, of all or of variants that need the same: results/<setting>/samples/…"""
    groups = experiment.setting(name).variants_by_need(process_name)
    if needs not in (None, *groups):
        raise unknown("--needs", needs, groups)
    for need in [needs] if needs else groups:
        _sample(experiment, name, process_name, need, groups[need], shard)


def _sample(experiment, name, process_name, needs, variants, shard):
    """One shard of every cell of some variants of a process, and the manifest that lists them.

    A cell's file carries a digest of everything that determines it. A file that has the right one is kept, so
    that a new variant or K samples what is new, and an interrupted job goes on with the next cell.
    """
    from tqdm import tqdm

    from bench import sampler

    setting, place = experiment.setting(name), paths.Setting(name)
    first, last = _shard_range(setting, shard)
    denoiser = load_denoiser(experiment, setting, place, variants, setting.samples.precision)
    forward = process.make(process_name, denoiser.schedule, setting.processes.eta(process_name))
    common = {"seed": experiment.seed, "setting": name, "process": process_name, "eta": forward.eta, "first": first,
              "last": last, "batch": setting.samples.batch, "precision": setting.samples.precision,
              "schedule": setting.schedule.model_dump()}
    cells = _cells_to_sample(setting, place, process_name, variants, common)
    missing = [cell for cell, (_, digest) in cells.items()
               if files.digest_inside(place.samples(process_name, *cell, shard)) != digest]
    passes = (last - first) * sum(len(cells[cell][0]) for cell in missing)
    with tqdm(total=passes, desc=f"samples {name} {process_name} {needs}", unit="pass", mininterval=1.0) as bar:
        for cell in missing:
            steps, digest = cells[cell]
            clip_levels = setting.clip(process_name, cell[0])
            images = sampler.sample(denoiser, forward, cell[0], steps, first, last - first, clip_levels,
                                    (experiment.seed, name), setting.samples.batch, bar.update)
            files.write_npz(place.samples(process_name, *cell, shard), images=images, digest=np.array(digest))
    files.write_json(place.manifest(process_name, needs, shard), {
        str(place.samples(process_name, *cell, shard)): digest for cell, (_, digest) in cells.items()})


def _cells_to_sample(setting, place, process_name, variants, common):
    """{(variant, trajectory, K): (steps, digest)}, the digest of all that determines the images of the cell."""
    from bench import covariance

    saved = read_trajectories(place, setting.kinds("samples", process_name, variants))
    needed = {"data": bool, "mean": bool, "moments": setting.needs_moments, "heads": setting.heads_of}
    digests = {part: files.digest_of(getattr(place, part)) for part, needed_by in needed.items() if needed_by(variants)}
    cells = {}
    for variant in variants:
        parts = {part: digest for part, digest in digests.items() if needed[part]([variant])}
        made_by = {**common, **parts, "variant": variant, "code": covariance.code(variant),
                   "clip_levels": setting.clip(process_name, variant)}
        for kind, K in setting.grid("samples", process_name, variant):
            steps = _steps(saved, kind, variant, K)
            cells[variant, kind, K] = steps, files.digest({**made_by, "steps": steps})
    return cells


def _shard_range(setting, shard):
    """(first, one past the last) image of a shard."""
    if not 0 <= shard < setting.samples.shards:
        raise BenchError(f"--shard: expected 0 ≤ shard < samples.shards = {setting.samples.shards}, found {shard}")
    return setting.samples.range(shard)


def read_samples(setting, place, process_name, variant, kind, K):
    """All samples of a cell, uint8 levels (count, channels, height, width), shards in order."""
    return np.concatenate([files.read_npz(place.samples(process_name, variant, kind, K, shard))["images"]
                           for shard in range(setting.samples.shards)])


def load_model(experiment, setting, place):
    """(mean model, data, schedule) of a setting."""
    from bench import data as datasets
    from bench import device
    from bench import mean as means

    dataset, schedule = datasets.load(place.data), setting.schedule.make()
    return means.load(place.mean, schedule, dataset, device.choose(experiment.device)), dataset, schedule


def load_denoiser(experiment, setting, place, variants, precision="fp32"):
    """The setting's Denoiser, with the heads and the moments that some of `variants` need."""
    from bench import denoiser
    from bench import heads as networks

    model, dataset, schedule = load_model(experiment, setting, place)
    moments_ = files.map_npz(place.moments) if setting.needs_moments(variants) else None
    heads_ = networks.load(place.heads, model, setting.heads_of(variants))
    return denoiser.Denoiser(model, heads_, moments_, dataset, schedule, precision)


def read_trajectories(place, kinds):
    """{kind: {variant: {K: steps}}} as `trajectories` wrote them, K as a string."""
    return {kind: files.read_json(place.trajectories(kind)) for kind in kinds}


def _steps(saved, kind, variant, K):
    """τ of a cell from what `read_trajectories` returned."""
    try:
        of_kind = saved[kind]
        return of_kind[variant if kind == "optimal" else "*"][str(K)]
    except KeyError as error:
        raise BenchError(f"trajectories/{kind}.json: holds no trajectory with K = {K}; make it again with: "
                         "snakemake --cores all --forcerun trajectories") from error

