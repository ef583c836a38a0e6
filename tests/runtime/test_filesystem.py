"""What results need of a file system: faults of fake ones are found, and survived where said."""

import errno
import fcntl
import multiprocessing
import os
import socket
import subprocess
import sys
import time

import pytest

from bench.runtime import files, filesystem
from bench.runtime.errors import BenchError
from tests.helpers.runs import ROOT, environment

NFS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 22 0:50 / /mnt/my\\040lab rw,relatime shared:2 - nfs4 server:/lab rw,vers=4.2,local_lock=none
41 40 0:51 / /mnt/my\\040lab/old rw,relatime - nfs server:/old rw,vers=3,nolock,local_lock=all
"""


def flock_fails(number):
    """A flock that raises an error as a file system without locks does."""

    def flock(file, operation):
        raise OSError(number, os.strerror(number))

    return flock


def test_a_good_file_system_has_no_faults_and_keeps_no_probe(tmp_path):
    assert filesystem.check(tmp_path / "results") == []
    assert list((tmp_path / "results").iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_no_locks_end_the_run(tmp_path, monkeypatch, number):
    monkeypatch.setattr(fcntl, "flock", flock_fails(number))
    with pytest.raises(BenchError, match=r"gives no locks \(.*--directory FOLDER") as caught:
        filesystem.check(tmp_path)
    assert "\n" not in str(caught.value) and list(tmp_path.iterdir()) == []


def test_a_lock_that_excludes_nobody_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", lambda file, operation: None)
    (fault,) = filesystem.check(tmp_path)
    assert "two at once" in fault and "MLFLOW_TRACKING_URI" in fault


def test_locks_of_one_machine_are_a_warning(tmp_path, monkeypatch):
    mount = filesystem.Mount("nfs4", ("rw", "local_lock=flock"))
    monkeypatch.setattr(filesystem, "mount_of", lambda folder: mount)
    (fault,) = filesystem.check(tmp_path)
    assert "nfs4 with local_lock=flock" in fault and "no other machine" in fault
    mount = filesystem.Mount("nfs4", ("rw", "local_lock=none"))
    assert filesystem.check(tmp_path) == []


def test_the_mount_of_a_path_is_the_innermost(tmp_path):
    table = tmp_path / "mountinfo"
    table.write_text(NFS)
    kinds = {"/home": "ext4", "/mnt/my lab/results": "nfs4", "/mnt/my lab/old/x": "nfs"}
    for path, kind in kinds.items():
        assert filesystem.mount_of(path, table).kind == kind
    assert "nolock" in filesystem.mount_of("/mnt/my lab/old", table).options
    assert "nolock" not in filesystem.mount_of("/mnt/my lab/older", table).options
    assert filesystem.mount_of("/", tmp_path / "absent") == filesystem.Mount("", ())


def test_a_rename_that_fails_or_loses_a_file_ends_the_run(tmp_path, monkeypatch):
    def lose(old, new):
        if os.path.isfile(old):
            os.unlink(old)

    def refuse(old, new):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    for rename, words in ((lose, "lost a file"), (refuse, "renames or maps no files")):
        monkeypatch.setattr(os, "replace", rename)
        with pytest.raises(BenchError, match=words):
            filesystem.check(tmp_path)


def test_a_clock_that_is_off_is_a_warning(tmp_path, monkeypatch):
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 60)
    (fault,) = filesystem.check(tmp_path)
    assert "60 s ahead" in fault and "NTP" in fault


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match="file/results: cannot be written"):
        filesystem.check(tmp_path / "file" / "results")


def test_a_stage_on_a_machine_without_locks_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", flock_fails(errno.ENOLCK))
    lock = files.alone(tmp_path / "moments")
    with pytest.raises(BenchError, match="moments: its file system gives no locks"), lock:
        pass


def write(path, text, start, entered):
    """Writes a folder of two files slowly enough for another process to do the same meanwhile."""
    start.wait()
    with files.writing(path) as partial:
        partial.mkdir()
        (partial / "first").write_text(text)
        entered.wait()
        (partial / "second").write_text(text)


def test_writers_that_no_lock_excludes_do_not_mix(tmp_path):
    """The folder is one's or the other's, whole; nothing else is left."""
    spawn = multiprocessing.get_context("spawn")
    start, entered = spawn.Barrier(2, timeout=60), spawn.Barrier(2, timeout=60)
    arguments = [(tmp_path / "moments", text, start, entered) for text in "ab"]
    writers = [spawn.Process(target=write, args=each) for each in arguments]
    for each in writers:
        each.start()
    for each in writers:
        each.join(60)
    assert any(each.exitcode == 0 for each in writers)
    texts = {path.name: path.read_text() for path in (tmp_path / "moments").iterdir()}
    assert texts in ({"first": text, "second": text} for text in "ab")
    assert [path.name for path in tmp_path.iterdir()] == ["moments"]


def test_what_a_killed_process_left_goes_and_what_another_machine_writes_stays(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    host = socket.gethostname()
    left = tmp_path / f".out.json.{host}-{ended.pid}.partial"
    others = [
        tmp_path / f".out.json.another-{host}-{ended.pid}.partial",
        tmp_path / f".out.json.{host}-{os.getppid()}.partial",
        tmp_path / f".other.json.{host}-{ended.pid}.partial",
    ]
    for path in (left, *others):
        path.write_text("half")
    files.write_json(tmp_path / "out.json", {})
    assert not left.exists() and all(path.exists() for path in others)


FAKE = """
import fcntl

def flock(file, operation):
    {body}

fcntl.flock = flock
"""


@pytest.mark.parametrize(
    "body, code, says",
    [
        ("raise OSError(37, 'No locks available')", 1, "error: results: its file system gives no"),
        pytest.param(
            "return None",
            0,
            "warning: results: its file system grants a lock to two at once",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_run_says_it_in_a_line_before_any_job(tmp_path, body, code, says):
    """A fake file system: `flock` of every process of the run does as `body` says."""
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake" / "sitecustomize.py").write_text(FAKE.format(body=body))
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile"]
    found = subprocess.run(
        [*command, "--cores", "1", "results/table3.csv"],
        cwd=tmp_path,
        env=environment(PYTHONPATH=f"{tmp_path / 'fake'}:{ROOT}"),
        capture_output=True,
        text=True,
    )
    assert found.returncode == code, found.stderr[-2000:]
    assert len([line for line in found.stderr.splitlines() if line.startswith(says)]) == 1
    assert "Traceback" not in found.stderr
    assert (tmp_path / "results" / "table3.csv").exists() == (code == 0)
