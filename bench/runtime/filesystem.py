"""What results/ asks of its file system, and a check of that.

* A lock of flock excludes: who asks for one that another process holds does not get it.
* A rename inside a folder replaces a file whole, and takes a folder whole.
* A file can be mapped into memory.
* The clock that times files is that of this machine, within `SKEW`.

A check on one machine does not see whether a rename is atomic for others, whether a lock excludes
the processes of another machine, and when another machine sees a new file. For locks it looks at
the options of the mount: some say that locks are each machine's own (`OWN_LOCKS`). docs/storage.md
says what follows.
"""

import errno
import fcntl
import mmap
import os
import re
import socket
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.runtime.errors import BenchError

SKEW = 2.0  # seconds; file systems round times to as much
MOUNTS = Path("/proc/self/mountinfo")
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
# {file system: options of its mount with which a lock is known to this machine alone}
OWN_LOCKS = {
    "nfs": ("nolock", "local_lock=flock", "local_lock=all"),
    "nfs4": ("nolock", "local_lock=flock", "local_lock=all"),
    "lustre": ("localflock",),
    "cifs": ("nobrl",),
    "smb3": ("nobrl",),
}
ELSEWHERE = "start the same command with --directory FOLDER, on a file system that does"
ONE_RUN = (
    "so start one run at a time, and keep MLflow's store elsewhere: "
    "export MLFLOW_TRACKING_URI=sqlite:////FOLDER/mlflow.db, or a server's http://…"
)


@dataclass(frozen=True)
class Mount:
    """A mounted file system: its type, and its options."""

    kind: str
    options: tuple[str, ...]


def check(folder: str | Path) -> list[str]:
    """Tries in a folder what results need of its file system, in a few milliseconds.

    Returns a line for each fault that results survive: locks that do not exclude, a clock that is
    off. Raises BenchError for one that they do not: no locks at all, no renames, no memory maps, or
    a folder that cannot be written to.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".probe-{writer()}-", dir=folder) as place:
            return [*_locks(folder, Path(place)), *_renames(folder, Path(place))]
    except OSError as error:
        raise BenchError(f"{folder}: cannot be written ({error.strerror or error})") from error


def _locks(folder, place):
    """A line if a lock does not exclude everyone. BenchError if there are no locks."""
    with open(place / "lock", "w") as first, open(place / "lock", "w") as second:
        try:
            fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise no_locks(folder, error) from error
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            mount = mount_of(folder)
            own = set(OWN_LOCKS.get(mount.kind, ())) & set(mount.options)
            if not own:
                return []
            fault = f"is {mount.kind} with {min(own)}, whose locks exclude no other machine"
            return [f"{folder}: its file system {fault}; {ONE_RUN}"]
    return [f"{folder}: its file system grants a lock to two at once; {ONE_RUN}"]


def no_locks(path: str | Path, error: OSError) -> BenchError:
    """The error of a file system that gives no locks, with the one that it gave."""
    return BenchError(
        f"{path}: its file system gives no locks ({error.strerror}), expected those of flock; "
        f"mount it with them (NFS without nolock, Lustre with flock), or {ELSEWHERE}"
    )


def _renames(folder, place):
    """A line if the clock is off. BenchError if renames or memory maps do not work."""
    old, new = place / "old", place / "new"
    old.write_bytes(b"old")
    new.write_bytes(b"new")
    skew = new.stat().st_mtime - time.time()
    (place / "made").mkdir()
    try:
        os.replace(new, old)
        os.replace(place / "made", place / "named")
        with open(old, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as map:
            content = map[:]
    except OSError as error:
        why = f"renames or maps no files ({error.strerror})"
        raise BenchError(f"{folder}: its file system {why}; {ELSEWHERE}") from error
    if content != b"new" or new.exists() or not (place / "named").is_dir():
        raise BenchError(f"{folder}: its file system lost a file in a rename; {ELSEWHERE}")
    if abs(skew) <= SKEW:
        return []
    way = "ahead of" if skew > 0 else "behind"
    return [
        f"{folder}: its clock is {abs(skew):.0f} s {way} this machine's, so a run may leave out "
        "errors of its jobs at its end; set both by NTP, and see results/.logs/ meanwhile"
    ]


def mount_of(path: str | Path, table: Path = MOUNTS) -> Mount:
    """The mount that a path is on; without type and options where the system has no such table."""
    if not table.is_file():
        return Mount("", ())
    path, best = Path(path).resolve(), None
    for line in table.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        before, after = line.split(" - ", 1)
        point, options = before.split(" ")[4:6]
        kind, _, more = after.split(" ")[:3]
        point = Path(re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), point))
        if path.is_relative_to(point) and (best is None or len(point.parts) >= len(best[0].parts)):
            best = point, Mount(kind, (*options.split(","), *more.split(",")))
    return best[1] if best else Mount("", ())


def writer() -> str:
    """The name of this process among all that write to a shared folder: machine and number."""
    return f"{socket.gethostname()}-{os.getpid()}"


def beside(path: Path, what: str) -> Path:
    """A hidden path beside `path` that no other process uses. what: the end of its name."""
    return path.with_name(f".{path.name.removeprefix('.')}.{writer()}.{what}")


def leftovers(path: Path) -> list[Path]:
    """What processes of this machine that have ended left beside a path, and this one.

    Of those of other machines nothing is known: theirs stay.
    """
    pattern = re.compile(
        rf"\.{re.escape(path.name.removeprefix('.'))}(?:\.record)?"
        rf"\.{re.escape(socket.gethostname())}-(\d+)\.(?:partial|old)"
    )
    found = []
    for name in os.listdir(path.parent):
        match = pattern.fullmatch(name)
        if match and (int(match[1]) == os.getpid() or not psutil.pid_exists(int(match[1]))):
            found.append(path.with_name(name))
    return found
