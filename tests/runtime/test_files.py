"""Files: whole or absent, and named when they are broken."""

import os
import warnings

import numpy as np
import pytest

from bench.runtime import files, paths
from bench.runtime.errors import BenchError


def test_nothing_is_left_of_a_failed_write(tmp_path):
    with pytest.raises(RuntimeError), files.writing(tmp_path / "out.txt") as partial:
        partial.write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_folder_replaces_the_old_one_whole(tmp_path):
    for content in ("a", "b"):
        with files.writing(tmp_path / "out") as partial:
            partial.mkdir()
            (partial / content).write_text(content)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b"]


def test_an_unwritable_place_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match="file/out.json: cannot be written"):
        files.write_json(tmp_path / "file" / "out.json", {})


def test_missing_file_says_what_makes_it(tmp_path):
    with pytest.raises(
        BenchError, match="moments.npz: missing; make it with: snakemake --cores all .*moments.npz"
    ):
        files.read_npz(tmp_path / "moments.npz")


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9])
def test_truncated_files_are_named(tmp_path, keep):
    import pandas
    import torch

    frame = pandas.DataFrame({"a": np.arange(1000.0)})
    makers = {
        "a.npz": (lambda path: files.write_npz(path, a=np.arange(1000)), files.read_npz),
        "b.npz": (
            lambda path: files.write_npz(path, a=np.arange(1000), b=np.zeros(2)),
            files.map_npz,
        ),
        "a.json": (lambda path: files.write_json(path, list(range(1000))), files.read_json),
        "a.npy": (lambda path: np.save(path, np.arange(1000)), files.read_npy),
        "a.safetensors": (
            lambda path: files.write_safetensors(path, {"a": torch.zeros(1000)}),
            files.read_safetensors,
        ),
        "a.parquet": (frame.to_parquet, files.read_parquet),
    }
    for name, (write, read) in makers.items():
        path = tmp_path / name
        write(path)
        read(path)
        os.truncate(path, int(path.stat().st_size * keep))
        with pytest.raises(
            BenchError, match=f"{name}: corrupt or truncated .*make it again with: snakemake"
        ):
            read(path)


def test_pickles_are_not_loaded(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(BenchError, match="a.npy: corrupt"):
        files.read_npy(tmp_path / "a.npy")


ARRAYS = {
    "rows": np.random.default_rng(0).random((5, 12288)),
    "columns": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "single": np.float32([[1.5], [np.nan]]),
    "counts": np.arange(7, dtype=np.int64),
    "swapped": np.arange(3, dtype=">u2"),
    "yes": np.array([True, False]),
    "none": np.zeros((0, 3)),
    "number": np.array(2.5),
    "digest": np.array("σabc"),
    "a name of its own length": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
}


def test_mapped_arrays_equal_loaded_ones(tmp_path):
    files.write_npz(tmp_path / "a.npz", **ARRAYS)
    mapped = files.map_npz(tmp_path / "a.npz")
    assert list(mapped) == list(ARRAYS) == list(files.read_npz(tmp_path / "a.npz"))
    for name, array in ARRAYS.items():
        assert isinstance(mapped[name], np.memmap) and not mapped[name].flags.writeable
        assert (
            mapped[name].dtype == array.dtype
            and mapped[name].flags.f_contiguous == array.flags.f_contiguous
        )
        np.testing.assert_array_equal(np.asarray(mapped[name]), array, strict=True)
        np.testing.assert_array_equal(mapped[name][...], array, strict=True)


def test_mapped_arrays_survive_replacement(tmp_path):
    files.write_npz(tmp_path / "a.npz", a=np.zeros(1000))
    mapped = files.map_npz(tmp_path / "a.npz")
    files.write_npz(tmp_path / "a.npz", a=np.ones(10))
    assert (mapped["a"] == 0).all() and (files.map_npz(tmp_path / "a.npz")["a"] == 1).all()


def test_sums_of_mapped_arrays_are_those_of_loaded_ones_to_the_last_digit(tmp_path):
    for name in ("a", "of another length"):
        rows = np.random.default_rng(0).random(
            (40, 12288)
        )  # beyond 8192 values numpy's order depends on the alignment
        files.write_npz(tmp_path / "a.npz", **{name: rows})
        mapped = files.map_npz(tmp_path / "a.npz")[name]
        assert (mapped.sum(axis=1) == rows.sum(axis=1)).all() and (
            mapped[1:].mean(axis=1) == rows[1:].mean(axis=1)
        ).all()
        assert all(mapped[t].mean() == rows[t].mean() for t in range(40))


def test_a_row_of_a_map_can_become_a_tensor(tmp_path):
    import torch

    files.write_npz(tmp_path / "a.npz", a=ARRAYS["rows"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        row = torch.as_tensor(files.map_npz(tmp_path / "a.npz")["a"][2].reshape(1, -1))
    row += 1  # in memory, not in the file
    assert (files.read_npz(tmp_path / "a.npz")["a"] == ARRAYS["rows"]).all()


def test_compressed_and_object_arrays_are_not_mapped(tmp_path):
    np.savez_compressed(tmp_path / "compressed.npz", a=np.zeros(10))
    with pytest.raises(
        BenchError,
        match="compressed.npz: corrupt or truncated .a is compressed.; make it again with: snakemake",
    ):
        files.map_npz(tmp_path / "compressed.npz")
    np.savez(tmp_path / "object.npz", a=np.array([{}], dtype=object))
    with pytest.raises(BenchError, match="object.npz: a: found object .1,., expected no objects"):
        files.map_npz(tmp_path / "object.npz")


def test_digest_inside(tmp_path):
    assert files.digest_inside(tmp_path / "a.npz") is None
    files.write_npz(tmp_path / "a.npz", images=np.zeros(3), digest=np.array("abc"))
    assert files.digest_inside(tmp_path / "a.npz") == "abc"
    os.truncate(tmp_path / "a.npz", 50)
    assert files.digest_inside(tmp_path / "a.npz") is None


def test_digest_of_a_folder_sees_names_and_bytes(tmp_path):
    (tmp_path / "a").write_text("1")
    first = files.digest_of(tmp_path)
    (tmp_path / ".hidden").write_text("2")
    assert files.digest_of(tmp_path) == first
    (tmp_path / "a").rename(tmp_path / "b")
    assert files.digest_of(tmp_path) != first


@pytest.mark.parametrize(
    "path, target",
    [
        ("results/digits/moments.npz", "results/digits/moments.npz"),
        ("results/digits/data/train.npy", "results/digits/data"),
        ("results/digits/mean/unet/config.json", "results/digits/mean"),
        ("/somewhere/results/digits/heads", "/somewhere/results/digits/heads"),
        (
            "results/digits/samples/ddpm/npr/even_K5/3.npz",
            "results/digits/samples/ddpm/heads-3.json",
        ),
        (
            "results/digits/samples/ddim/zero/even_K5/0.npz",
            "results/digits/samples/ddim/nothing-0.json",
        ),
        ("results/digits/fidelity/ddim.json", "results/digits/fidelity/ddim.json"),
        ("results/cells.csv", "results/cells.csv"),
        ("elsewhere/unet", "elsewhere/unet"),
    ],
)
def test_targets_are_outputs_of_rules(path, target):
    assert str(paths.target(path)) == target
