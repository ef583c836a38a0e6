"""What changes no number: the size of batches, the number of shards, the order of cells."""

import shutil

import numpy as np
import pytest
import yaml

from bench import cli
from tests.helpers.runs import CONFIG


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


def test_the_number_of_shards_changes_no_byte(copy, tiny_run, monkeypatch):
    monkeypatch.chdir(copy)
    config = changed_config(copy, lambda setting: setting["samples"].update(shards=3))
    for shard in (2, 0, 1):
        cli.main(
            [
                "samples",
                "--setting",
                "tiny",
                "--config",
                config,
                "--process",
                "ddim",
                "--shard",
                str(shard),
            ]
        )
    whole, shards = images_of(tiny_run, "ddim"), images_of(copy, "ddim")
    assert len(list((copy / "results/tiny/samples/ddim/heads/npr/even_K5").glob("*.npz"))) == 3
    assert shards.keys() == whole.keys() and all(
        (shards[cell] == whole[cell]).all() for cell in whole
    )


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
