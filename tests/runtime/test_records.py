"""Records: what is read from results/ is what was written, and says what made it."""

import hashlib
import json
import os
import subprocess

import numpy as np
import pytest

import bench
from bench import cli
from bench.runtime import digests, files, records
from bench.runtime.errors import BenchError

AGAIN = "; make it again with: snakemake --cores all --forcerun "


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(records.RUN, raising=False)
    return tmp_path


@pytest.fixture
def moments(here):
    files.write_arrays("results/tiny/moments", {"a": np.arange(9.0), "b": np.ones(3)})
    return here / "results" / "tiny" / "moments"


def read_a():
    return files.read_npy("results/tiny/moments/a.npy")


def flip(path, place=-1):
    """Flips a bit of a file; its size and time stay."""
    content, status = bytearray(path.read_bytes()), path.stat()
    content[place] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_record_says_what_was_read_and_what_made_it(moments, here):
    (here / "mine.csv").write_text("a,b\n1,2\n")
    with records.job("bench bound --setting tiny"):
        read_a()
        files.read_csv("mine.csv")
        files.write_json("results/tiny/bound.json", [1])
    record = json.loads((here / "results" / "tiny" / ".bound.json.record").read_text())
    assert record["content"] == {"bound.json": sha256(here / "results/tiny/bound.json")}
    assert record["inputs"] == {
        "results/tiny/moments/a.npy": sha256(moments / "a.npy"),
        "mine.csv": sha256(here / "mine.csv"),
    }
    head = ["git", "rev-parse", "HEAD"]
    folder = os.path.dirname(bench.__file__)
    commit = subprocess.run(head, cwd=folder, capture_output=True, text=True).stdout.strip()
    made_by = record["made_by"]
    assert (made_by["version"], made_by["command"]) == ("0.1.0", "bench bound --setting tiny")
    assert (made_by["commit"] or "").removesuffix("-dirty") == commit


def test_the_command_is_the_one_that_was_typed(here):
    cli.main(["thresholds"])
    record = json.loads((here / "results" / ".table3.csv.record").read_text())
    assert record["made_by"]["command"] == "bench thresholds"


def test_a_flipped_bit_is_one_line(moments):
    assert read_a().sum() == 36
    flip(moments / "a.npy")
    expected = f"results/tiny/moments/a.npy: corrupt or truncated .*{AGAIN}"
    with pytest.raises(BenchError, match=expected + "results/tiny/moments -- results/tiny/moments"):
        read_a()
    with pytest.raises(BenchError, match=expected):
        digests.digest_of("results/tiny/moments")
    files.read_npy("results/tiny/moments/b.npy")


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda record: record.unlink(), "a.npy: found no record of it"),
        (lambda record: record.write_text("{}"), r"a.npy: its record .record cannot be read"),
        (lambda record: record.write_text('{"con'), r"a.npy: its record .record cannot be read"),
        (lambda record: record.write_bytes(b"\xff"), r"a.npy: its record .record cannot be read"),
    ],
)
def test_a_record_that_is_gone_or_damaged_is_one_line(moments, damage, message):
    damage(moments / ".record")
    with pytest.raises(BenchError, match=message) as caught:
        read_a()
    assert AGAIN in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_has_the_files_of_its_record(moments):
    np.save(moments / "c.npy", np.ones(2))
    with pytest.raises(BenchError, match="moments/c.npy: found no record of it"):
        digests.digest_of(moments)
    (moments / "c.npy").unlink()
    (moments / "b.npy").unlink()
    with pytest.raises(BenchError, match="moments/b.npy: missing; make it again"):
        digests.digest_of(moments)


def test_files_of_other_places_need_no_record(here):
    """A person's own, a configuration, which people edit, and accounts of jobs."""
    (here / "elsewhere").mkdir()
    np.save(here / "elsewhere" / "a.npy", np.ones(2))
    files.read_npy("elsewhere/a.npy")
    for path in ("results/config.yaml", "results/tiny-tables/config.yaml", "results/.jobs/a.json"):
        files.write_text(path, "{}")
        (here / path).write_text("[]")
        assert files.read_json(path) == []
    assert not list(here.rglob("*.record"))


def test_who_is_killed_before_the_new_name_leaves_nothing_that_is_believed(here, monkeypatch):
    class Killed(BaseException):
        pass

    path = here / "results" / "tiny" / "scores.json"
    files.write_json(path, 1)
    replace = os.replace

    def killed(source, target):
        if target == path:
            raise Killed
        replace(source, target)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(Killed):
        files.write_json(path, 2)
    with pytest.raises(BenchError, match="scores.json: corrupt or truncated"):
        files.read_json(path)
    monkeypatch.undo()
    monkeypatch.chdir(here)
    files.write_json(path, 2)
    assert files.read_json(path) == 2


def test_a_failed_write_keeps_the_old_file_and_its_record(here):
    path = here / "results" / "a.json"
    files.write_json(path, 1)
    with pytest.raises(RuntimeError), files.writing(path) as partial:
        partial.write_text("2")
        raise RuntimeError
    assert files.read_json(path) == 1
    assert sorted(one.name for one in path.parent.iterdir()) == [".a.json.record", "a.json"]
    files.remove(path)
    assert not list(path.parent.iterdir())


def test_files_in_a_folder_that_is_written_have_no_records_of_their_own(here):
    with files.writing("results/tiny/heads") as partial:
        partial.mkdir()
        files.write_json(partial / "heads.json", {})
    names = sorted(path.name for path in (here / "results" / "tiny" / "heads").iterdir())
    assert names == [".record", "heads.json"]


def test_equal_content_has_the_digest_of_a_folder_without_a_record(here):
    """What stands in tables and in the digests of samples knows no record."""
    for folder, command in (
        ("elsewhere", "one"),
        ("results/tiny/mean", "one"),
        ("results/b", "two"),
    ):
        with records.job(command):
            files.write_arrays(folder, {"a": np.arange(3)})
    assert (
        len({digests.digest_of(place) for place in ("elsewhere", "results/tiny/mean", "results/b")})
        == 1
    )


def test_a_large_file_is_read_once_in_a_run(moments, monkeypatch):
    """A later job of the run believes the stamp, another run and a changed file do not."""
    monkeypatch.setattr(records, "LARGE", 10)
    read, sha256 = [], records.sha256

    def job(run):
        monkeypatch.setattr(records, "_digests", {})  # as a new process
        if run:
            monkeypatch.setenv(records.RUN, run)
        read.clear()
        monkeypatch.setattr(records, "sha256", lambda path: read.append(path) or sha256(path))
        read_a()
        return len(read)

    assert [job(run) for run in (None, "one", "one", "two", "one", "one")] == [1, 1, 0, 1, 1, 0]
    flip(moments / "a.npy")
    with pytest.raises(BenchError, match="a.npy: corrupt or truncated"):
        job("one")


def test_a_file_is_checked_once_by_a_process(moments, monkeypatch):
    read_a()
    monkeypatch.setattr(records, "sha256", None)
    read_a()


def test_a_remedy_has_the_options_of_the_run(moments, monkeypatch):
    monkeypatch.setenv(files.OPTIONS, "--configfile 'my tiny.yaml'")
    (moments / "a.npy").unlink()
    with pytest.raises(BenchError) as caught:
        read_a()
    assert str(caught.value).endswith(
        "make it with: snakemake --cores all --forcerun results/tiny/moments "
        "--configfile 'my tiny.yaml' -- results/tiny/moments"
    )


def test_a_remedy_of_a_stage_by_hand_has_the_options_that_are_left_beside_its_configuration(
    moments, monkeypatch
):
    monkeypatch.delenv(files.OPTIONS, raising=False)
    (moments / "a.npy").unlink()
    (moments / ".options").write_text("--configfile tiny.yaml")
    with files.options_beside(moments / "config.yaml"), pytest.raises(BenchError) as caught:
        read_a()
    assert str(caught.value).endswith(
        "make it with: snakemake --cores all --forcerun results/tiny/moments "
        "--configfile tiny.yaml -- results/tiny/moments"
    )
    assert "--configfile" not in files.remake(moments / "a.npy")
