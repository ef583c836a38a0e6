"""Files of a finished run that are cut off, gone or of another network; what is in their way."""

import os

import numpy as np
import pytest

from bench.data.dataset import Raw
from bench.data.readers import digits
from bench.mean.train import make_unet
from tests.helpers.models import OPTIONS
from tests.helpers.runs import CONFIG, TABLES

SETTING = ["--setting", "tiny"]
DDIM = [*SETTING, "--process", "ddim"]
AGAIN = "make it again with: snakemake --cores all --forcerun results/tiny/"

# file: (command that reads it, how much of it stays, message)
CUT = {
    "tiny/moments/eps_sq.npy": (["bound", *SETTING], 0.5, "corrupt or truncated"),
    "tiny/moments/eps_sq_mean.npy": (
        ["trajectories", *SETTING, "--kind", "optimal"],
        0,
        "corrupt or truncated",
    ),
    "tiny/bound.parquet": (["cells"], 0.5, "corrupt or truncated"),
    "tiny/mean/unet/diffusion_pytorch_model.safetensors": (
        ["moments", *SETTING],
        0.5,
        f"{AGAIN}mean --snakefile ",
    ),
    "tiny/heads/npr.safetensors": (["bound", *SETTING], 0.5, "npr.safetensors: corrupt or tru"),
    "tiny/trajectories/even.json": (["bound", *SETTING], 0.5, "even.json: corrupt or truncated"),
    "tiny/data/train.npy": (["moments", *SETTING], 0.5, "train.npy: corrupt or truncated"),
    "tiny/samples/ddim/heads/npr/even_K5/0.npz": (
        ["fidelity", *DDIM],
        0.5,
        "npr/even_K5/0.npz: corrupt or truncated",
    ),
    "tiny-tables/cells.csv": (["tables"], 0, f"{TABLES}/cells.csv: corrupt or truncated"),
    "tiny/extractor/classifier.safetensors": (["reference", *SETTING], 0.5, "corrupt or truncated"),
}


@pytest.mark.parametrize("file", CUT)
def test_files_that_are_cut_off(file, copy, refuse):
    arguments, keep, message = CUT[file]
    path = copy / "results" / file
    os.truncate(path, int(path.stat().st_size * keep))
    refuse(copy, [*arguments, "--config", CONFIG], message)


GONE = {
    "tiny/moments/eps_sq.npy": (["bound", *SETTING], "eps_sq.npy: missing; make it with: snakem"),
    "tiny/data/data.json": (["moments", *SETTING], "data/data.json: missing; make it with: snakem"),
    "tiny/heads/heads.json": (["bound", *SETTING], "heads/heads.json: missing; make it with: s"),
    "tiny/mean/mean.json": (["moments", *SETTING], "mean/mean.json: missing; make it with: snakem"),
    "tiny/trajectories/even.json": (
        ["bound", *SETTING],
        "even.json: missing; make it with: snakem",
    ),
    "tiny/reference.json": (["fidelity", *DDIM], "reference.json: missing; make it with: snakem"),
    "tiny/fidelity/ddim.json": (["cells"], "fidelity/ddim.json: missing; make it with: snakemake"),
    "tiny-tables/cells.csv": (["tables"], f"{TABLES}/cells.csv: missing; make it with: snakemake"),
}


@pytest.mark.parametrize("file", GONE)
def test_files_that_are_gone(file, copy, refuse):
    arguments, message = GONE[file]
    (copy / "results" / file).unlink()
    refuse(copy, [*arguments, "--config", CONFIG], message)


@pytest.mark.parametrize(
    "file", ["tiny/data/train.npy", "tiny/mean/mean.json", "tiny/bound.parquet"]
)
def test_a_fifo_in_place_of_a_file(file, copy, refuse):
    arguments = ["cells"] if file.endswith("parquet") else ["moments", *SETTING]
    (copy / "results" / file).unlink()
    os.mkfifo(copy / "results" / file)
    refuse(
        copy, [*arguments, "--config", CONFIG], f"results/{file}: found a FIFO, which is not read"
    )


def another_network(folder):
    """A mean model for images of three channels."""
    make_unet(OPTIONS, (3, 8, 8)).save_pretrained(folder / "results" / "tiny" / "mean" / "unet")


def another_head(folder):
    """A complex head where heads.json says simple."""
    path = folder / "results" / "tiny" / "heads" / "heads.json"
    path.write_text(path.read_text().replace('"sn": "complex"', '"sn": "simple"'))


def pickled_images(folder):
    path = folder / "results" / "tiny" / "data" / "train.npy"
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)


def file_in_the_way(folder):
    (folder / TABLES / "plots").rename(folder / TABLES / "elsewhere")
    (folder / TABLES / "plots").write_text("in the way")


def folder_in_the_way(folder):
    """Nothing that a person keeps there is lost for a table."""
    (folder / TABLES / "table1.csv").unlink()
    (folder / TABLES / "table1.csv" / "kept").mkdir(parents=True)


# what is wrong: (arrange, command, message)
OTHERS = {
    "network of other channels": (
        another_network,
        ["moments", *SETTING],
        "3 input and 3 output channels, expected 1 of each",
    ),
    "head of another mode": (another_head, ["bound", *SETTING], "heads/sn.safetensors: corrupt"),
    "pickled images": (
        pickled_images,
        ["moments", *SETTING],
        "tiny/data/train.npy: corrupt or truncated (Array can't be memory-mapped: Python objects",
    ),
    "file in the way": (file_in_the_way, ["tables"], f"{TABLES}/plots/nll.csv: cannot be written"),
    "folder in the way": (folder_in_the_way, ["tables"], "table1.csv: cannot be written (Is a dir"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_what_does_not_fit(case, copy, refuse):
    arrange, arguments, message = OTHERS[case]
    arrange(copy)
    refuse(copy, [*arguments, "--config", CONFIG], message)


# what is wrong: (changes of the configuration, command, message)
STAGES = {
    "too many test images": ({"*.bound.images": 181}, "data", "at most the 180 test images of"),
    "too many test images for data that were read before": (
        {"*.data": {"name": "npz", "path": "it"}, "*.bound.images": 181},
        "mean",
        "bound.images: expected at most the 180 test images of tiny, found 181",
    ),
    "no clip levels": ({"*.clip_levels": None}, "data", "clip_levels: expected y of ddpm and ddim"),
    "clip levels of vectors": (
        {"*.data": {"name": "mixture", "components": 2, "dim": 2, "train": 4, "test": 180}},
        "data",
        "clip_levels: expected none, as continuous",
    ),
    "10¹⁵ vectors": (
        {"*.data": {"name": "mixture", "components": 2, "dim": 2, "train": 10**15, "test": 180}},
        "data",
        "data.train: found 1000000000000000, with which the draws would take 32,000,000 GB",
    ),
    "10¹² components": (
        {"*.data": {"name": "mixture", "components": 10**12, "dim": 2, "train": 9, "test": 180}},
        "data",
        "data.components: found 1000000000000, with which the covariances would take 96,000 GB",
    ),
    "exact mean of digits": (
        {"*.mean": {"oracle": {}}},
        "mean",
        "mean.oracle: expected data whose law is",
    ),
    "extractor untrained": ({"*.extractor.train": None}, "extractor", "extractor.train: missing"),
    "unknown option of the U-Net": (
        {"*.mean.unet.layrs": 1},
        "mean",
        "not accepted by UNet2DModel",
    ),
    "groups that divide nothing": (
        {"*.mean.unet.norm_num_groups": 0},
        "mean",
        "mean.unet: not accepted by UNet2DModel (integer modulo by zero)",
    ),
    "10⁸ channels": (
        {"*.mean.unet.block_out_channels": [8, 10**8]},
        "mean",
        "with which its training would take",
    ),
    "images that cannot be halved": (
        {
            "*.mean.unet.block_out_channels": [8] * 5,
            "*.mean.unet.down_block_types": ["DownBlock2D"] * 5,
            "*.mean.unet.up_block_types": ["UpBlock2D"] * 5,
        },
        "mean",
        "the network halves images 4 times; expected sides that 16 divides, found 8×8",
    ),
}


@pytest.mark.parametrize("case", STAGES)
def test_what_only_a_stage_can_see(case, copy, configured, refuse):
    changes, stage, message = STAGES[case]
    config = configured(changes) / "config.yaml"
    refuse(copy, [stage, *SETTING, "--config", config], message)


# what is wrong: (shape of the training images, of the test images, their level, message)
READERS = {
    "images out of range": (
        (4, 1, 8, 8),
        (180, 1, 8, 8),
        17,
        "data set 'digits': expected levels 0..16, found 17",
    ),
    "no test split": (
        (4, 1, 8, 8),
        (0, 1, 8, 8),
        16,
        "the test split is empty; expected both a train and a test split",
    ),
    "splits of other channels": (
        (4, 1, 8, 8),
        (180, 3, 8, 8),
        16,
        "one shape in both splits, found (1, 8, 8) and (3, 8, 8)",
    ),
}


@pytest.mark.parametrize("case", READERS)
def test_what_a_reader_returns(case, copy, refuse, monkeypatch):
    train, test, level, message = READERS[case]
    raw = Raw(np.full(train, level, np.uint8), np.full(test, level, np.uint8), levels=17)
    monkeypatch.setattr(digits, "read", lambda: raw)
    refuse(copy, ["data", *SETTING, "--config", CONFIG], message)
