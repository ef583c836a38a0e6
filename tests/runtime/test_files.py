"""Files: whole or absent, and named when they are broken."""

import os
import threading
import time

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
    "text": np.array("σabc"),
    "a name of its own length": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
}


def test_mapped_arrays_equal_loaded_ones(tmp_path):
    files.write_arrays(tmp_path / "a", ARRAYS)
    mapped = files.read_arrays(tmp_path / "a", ARRAYS)
    assert mapped.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert isinstance(mapped[name], np.memmap) and not mapped[name].flags.writeable
        assert mapped[name].flags.f_contiguous == array.flags.f_contiguous
        np.testing.assert_array_equal(np.asarray(mapped[name]), array, strict=True)


def test_mapped_arrays_survive_replacement(tmp_path):
    files.write_arrays(tmp_path / "a", {"a": np.zeros(1000)})
    mapped = files.read_arrays(tmp_path / "a", ["a"])
    files.write_arrays(tmp_path / "a", {"a": np.ones(10)})
    assert (mapped["a"] == 0).all() and (files.read_arrays(tmp_path / "a", ["a"])["a"] == 1).all()


def test_sums_of_mapped_arrays_are_those_of_loaded_ones_to_the_last_digit(tmp_path):
    # Beyond 8192 values numpy's order of summation depends on the alignment.
    rows = np.random.default_rng(0).random((40, 12288))
    files.write_arrays(tmp_path / "a", {"rows": rows})
    mapped = files.read_arrays(tmp_path / "a", ["rows"])["rows"]
    assert (mapped.sum(axis=1) == rows.sum(axis=1)).all()
    assert (mapped[1:].mean(axis=1) == rows[1:].mean(axis=1)).all()
    assert all(mapped[t].mean() == rows[t].mean() for t in range(40))


def test_a_mapped_array_cannot_be_changed(tmp_path):
    files.write_arrays(tmp_path / "a", {"a": ARRAYS["rows"]})
    with pytest.raises(ValueError, match="read-only"):
        files.read_arrays(tmp_path / "a", ["a"])["a"][2] += 1


def test_damaged_and_object_arrays_are_named(tmp_path):
    files.write_arrays(tmp_path / "a", {"good": np.zeros(10), "bad": np.zeros(10)})
    os.truncate(tmp_path / "a" / "bad.npy", 100)
    again = "a/bad.npy: corrupt or truncated .*; make it again with: snakemake"
    with pytest.raises(BenchError, match=again):
        files.read_arrays(tmp_path / "a", ["good", "bad"])
    np.save(tmp_path / "a" / "bad.npy", np.array([{}], dtype=object))
    with pytest.raises(BenchError, match=again):
        files.read_arrays(tmp_path / "a", ["good", "bad"])
    with pytest.raises(BenchError, match="a/absent.npy: missing; make it with: snakemake"):
        files.read_arrays(tmp_path / "a", ["absent"])


def test_who_waits_says_for_what(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(files, "PATIENCE", 0.05)
    entered = []

    def enter():
        with files.alone(tmp_path / "moments"):
            entered.append(time.monotonic())

    thread = threading.Thread(target=enter)
    with files.alone(tmp_path / "moments"):
        thread.start()
        thread.join(0.3)
        assert thread.is_alive() and not entered
    thread.join()
    assert len(entered) == 1
    assert capsys.readouterr().err == (
        f"{tmp_path}/moments: another process is at work on it; waiting for its end\n"
    )


def test_a_lock_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    lock = files.alone(tmp_path / "file" / "moments")
    with pytest.raises(BenchError, match="file/moments: cannot be written"), lock:
        pass


def test_a_file_does_not_replace_a_folder(tmp_path):
    (tmp_path / "results").mkdir()
    with pytest.raises(BenchError, match="results: cannot be written"):
        files.write_text(tmp_path / "results", "")


@pytest.mark.parametrize(
    "path, target",
    [
        ("results/digits/moments/eps_sq.npy", "results/digits/moments"),
        ("results/digits/data/train.npy", "results/digits/data"),
        ("results/digits/mean/unet/config.json", "results/digits/mean"),
        ("/somewhere/results/digits/heads", "/somewhere/results/digits/heads"),
        (
            "results/digits/samples/ddpm/heads/npr/even_K5/3.npz",
            "results/digits/samples/ddpm/heads-3.json",
        ),
        (
            "results/digits/samples/ddim/nothing/zero/even_K5/0.npz",
            "results/digits/samples/ddim/nothing-0.json",
        ),
        ("results/digits/fidelity/ddim.json", "results/digits/fidelity/ddim.json"),
        ("results/cells.csv", "results/cells.csv"),
        ("elsewhere/unet", "elsewhere/unet"),
    ],
)
def test_targets_are_outputs_of_rules(path, target):
    assert str(paths.target(path)) == target
