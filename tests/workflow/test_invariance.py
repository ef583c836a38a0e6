"""What changes no number: the size of batches, the number of shards, the order of cells."""

import re
import shutil

import numpy as np
import pytest
import yaml

from bench import cli
from tests.helpers.runs import CONFIG, TINY, snakemake


@pytest.mark.parametrize("batch", [1, 7])
def test_batches_and_shards_change_no_noise(copy, monkeypatch, batch):
    """Against batches of 64 in one shard, with the real network: bounds to 1e-4, pixels to a level
    in 1 of 10⁴.
    """
    from bench import bound, process, sampler
    from bench.experiment import loading
    from bench.runtime import paths
    from bench.stages import models

    monkeypatch.chdir(copy)
    experiment = loading.load(CONFIG)
    setting, place = experiment.setting("tiny"), paths.Setting("tiny")
    denoiser = models.load_denoiser(experiment, setting, place, setting.variants("ddpm"))
    forward, names = process.make("ddpm", denoiser.schedule), (0, "tiny")
    cells = [bound.Cell("even", name, 5, (1, 26, 50, 75, 100)) for name in setting.variants("ddpm")]
    whole, parts = (
        bound.evaluate(denoiser, forward, cells, 16, names, batch=size).total
        for size in (64, batch)
    )
    np.testing.assert_allclose(
        parts.mean(axis=1), whole.mean(axis=1), rtol=0, atol=1e-4
    )  # a cell is the mean over images
    for variant in ("npr", "analytic_diagonal"):
        made = [
            sampler.sample(
                denoiser,
                forward,
                variant,
                cells[0].steps,
                first,
                last - first,
                1,
                names,
                batch=size,
            ).astype(int)
            for first, last, size in ((0, 40, 64), (0, 13, batch), (13, 26, batch), (26, 40, batch))
        ]
        off = np.abs(made[0] - np.concatenate(made[1:]))
        assert off.max() <= 1 and (off > 0).mean() <= 1e-4


def changed_config(folder, change):
    """A copy of the run's resolved configuration with `change` made to the section of its setting;
    its path.
    """
    raw = yaml.safe_load((folder / CONFIG).read_text())
    change(raw["settings"]["tiny"])
    (folder / "changed.yaml").write_text(yaml.safe_dump(raw))
    return "changed.yaml"


def images_of(folder, process):
    """{cell: the images of all its shards} of a process."""
    cells = {
        path.parent for path in (folder / "results" / "tiny" / "samples" / process).rglob("*.npz")
    }
    return {
        cell.relative_to(folder): np.concatenate(
            [
                np.load(cell / f"{shard}.npz")["images"]
                for shard in range(len(list(cell.glob("*.npz"))))
            ]
        )
        for cell in cells
    }


def test_the_number_of_shards_changes_no_image(copy, tiny_run, monkeypatch):
    monkeypatch.chdir(copy)
    config = changed_config(copy, lambda setting: setting.update(shards=3))
    for shard in (2, 0, 1):
        command = ["samples", "--setting", "tiny", "--config", config, "--process", "ddim"]
        cli.main([*command, "--shard", str(shard)])
    whole, shards = images_of(tiny_run, "ddim"), images_of(copy, "ddim")
    assert len(list((copy / "results/tiny/samples/ddim/heads/npr/even_K5").glob("*.npz"))) == 3
    assert shards.keys() == whole.keys() and all(
        (shards[cell] == whole[cell]).all() for cell in whole
    )


SHARDED = {  # {stage: (options, its outputs)}
    "moments": ([], ["moments"]),
    "bound": ([], ["bound.parquet", "terms.parquet", "calibration.parquet"]),
    "bound_2m": ([], ["bound_2m.parquet"]),
    "reference": ([], ["reference.json"]),
    "fidelity": (["--process", "ddim"], ["fidelity/ddim.json"]),
}


def in_shards(setting, shards, batch=None):
    """Cuts the stages of a setting into shards, and adds rows of the second order."""
    setting["shards"] = shards
    setting["processes"]["ddpm_2m"] = {"variants": ["beta", "npr", "mle_diagonal"]}
    if batch:
        setting["samples"]["batch"] = batch


def bytes_of(paths):
    """{path: its bytes} of files, and of the files in folders that are not hidden."""
    members = [[path] if path.is_file() else sorted(path.glob("[!.]*")) for path in paths]
    return {member: member.read_bytes() for found in members for member in found}


@pytest.mark.parametrize("stage", SHARDED)
@pytest.mark.parametrize("shards", [2, 5])
def test_the_number_of_shards_changes_no_byte(copy, monkeypatch, stage, shards):
    """In batches of 6 images there are 3 of the bound; the others have more units than shards."""
    monkeypatch.chdir(copy)
    options, outputs = SHARDED[stage]
    outputs = [copy / "results/tiny" / output for output in outputs]
    batch = 6 if stage in ("moments", "bound", "bound_2m") else None
    command = [stage, "--setting", "tiny", *options, "--config"]
    cli.main([*command, changed_config(copy, lambda setting: in_shards(setting, 1, batch))])
    whole = bytes_of(outputs)
    features = sorted((copy / "results/.features").glob("*/features.npy"))
    whole |= bytes_of(features)
    if stage == "reference":
        for file in features:
            shutil.rmtree(file.parent)
        monkeypatch.setattr("bench.scores.reference.CHUNK", 100)
    config = changed_config(copy, lambda setting: in_shards(setting, shards, batch))
    if stage == "fidelity":
        cli.main(["samples", *command[1:], config])
    number = min(shards, 3) if stage in ("bound", "bound_2m") else shards
    for shard in reversed(range(number)):
        cli.main([*command, config, "--shard", str(shard)])
    with pytest.raises(SystemExit, match=f"expected 0 ≤ shard < {number}, .* found {number}"):
        cli.main([*command, config, "--shard", str(number)])
    if stage == "moments":
        shutil.rmtree("results/tiny/moments")
    accounts = copy / "results/.jobs"
    shutil.rmtree(accounts)
    cli.main([*command, config])
    assert not accounts.exists()  # which is made with the first pass
    assert bytes_of([*outputs, *features]) == whole


def test_samples_of_another_number_of_shards_are_refused(copy, monkeypatch):
    """Shards of as many images, but of others: 12 to 23 of three shards, 8 to 19 of four."""
    monkeypatch.chdir(copy)

    def command(stage, shards):
        config = changed_config(copy, lambda setting: in_shards(setting, shards, batch=4))
        cli.main([stage, "--setting", "tiny", "--process", "ddim", "--config", config])

    command("samples", 3)
    for shard in (0, 2, 3):
        place = copy / "results/tiny/samples/ddim"
        for path in place.glob(f"*-{shard}.json"):
            path.unlink()
    with pytest.raises(SystemExit, match=r"-0.json: missing"):
        command("fidelity", 1)
    config = changed_config(copy, lambda setting: in_shards(setting, 4, batch=4))
    for shard in (0, 2, 3):
        options = ["--setting", "tiny", "--process", "ddim", "--config", config]
        cli.main(["samples", *options, "--shard", str(shard)])
    with pytest.raises(SystemExit, match=r"-1.json: found images 12 to 23, expected 8 to 19, as"):
        cli.main(["fidelity", *options, "--shard", "0"])


def test_another_number_of_shards_makes_every_sample_job_again(copy):
    run = snakemake(copy, "tables", "--configfile", str(TINY), "--config", "shards=3", "--dry-run")
    groups = 6  # nothing, moments and heads of ddpm and ddim
    assert re.search(rf"^samples +{groups * 3}$", run.stdout, re.MULTILINE), run.stdout[-2000:]


def test_a_shard_of_another_configuration_is_not_taken(copy, monkeypatch, capsys):
    monkeypatch.chdir(copy)
    config = changed_config(copy, lambda setting: in_shards(setting, 2))
    command = ["moments", "--setting", "tiny", "--config", config]
    cli.main([*command, "--shard", "0"])
    with pytest.raises(SystemExit, match="shards/moments-1: missing; make it .*tiny/moments"):
        cli.main(command)
    cli.main([*command, "--shard", "1"])

    def fewer(setting):
        in_shards(setting, 2)
        setting["moments"]["draws"] = 7

    changed_config(copy, fewer)
    forced = "--forcerun results/tiny/shards/moments-0"
    with pytest.raises(SystemExit, match=f"moments-0: found a shard of another .*{forced}"):
        cli.main(command)


def test_only_beta_is_sampled_again_where_its_clipping_changes(copy, tiny_run, monkeypatch):
    monkeypatch.chdir(copy)
    config = changed_config(
        copy, lambda setting: setting["clip_levels"].update(variants={"beta": 9})
    )
    cli.main(["samples", "--setting", "tiny", "--config", config, "--process", "ddpm"])
    before, after = images_of(tiny_run, "ddpm"), images_of(copy, "ddpm")
    changed = {cell.parent.name for cell in before if (before[cell] != after[cell]).any()}
    assert changed == {"beta"}


def test_the_order_of_cells_changes_no_byte(copy, tiny_run, monkeypatch):
    import pandas

    def backwards(setting):
        for process in ("ddpm", "ddim"):
            setting["processes"][process]["variants"].reverse()
        for stage in ("bound", "samples"):
            setting[stage]["K"].reverse()
            setting[stage]["trajectories"].reverse()

    monkeypatch.chdir(copy)
    setting = ["--setting", "tiny", "--config", changed_config(copy, backwards)]
    shutil.rmtree("results/tiny/samples/ddim")
    cli.main(["samples", *setting, "--process", "ddim"])
    cli.main(["bound", *setting])
    whole, found = images_of(tiny_run, "ddim"), images_of(copy, "ddim")
    assert found.keys() == whole.keys() and all(
        (found[cell] == whole[cell]).all() for cell in whole
    )
    key = ["trajectory", "variant", "K", "image"]
    bounds = [
        pandas.read_parquet(folder / "results/tiny/bound.parquet").set_index(key).sort_index()
        for folder in (copy, tiny_run)
    ]
    pandas.testing.assert_frame_equal(*bounds, check_exact=True)
