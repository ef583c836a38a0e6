"""Downloads from a server on this machine: whole, resumed, cut off, of the wrong content, and not
to be had.
"""

import contextlib
import hashlib
import http.server
import os
import re
import resource
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from bench.runtime import download, files
from bench.runtime.errors import BenchError

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA256, MD5 = hashlib.sha256(CONTENT).hexdigest(), hashlib.md5(CONTENT).hexdigest()
PART = 123_456


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT at any path; `log` has (path, Range) of the requests."""

    def __init__(self, kind):
        super().__init__(("127.0.0.1", 0), Handler)
        self.kind, self.log, self.open = kind, [], threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request, client_address):
        """A client that goes away is none."""


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as the server's kind says."""

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        kind, asked = self.server.kind, self.headers["Range"]
        self.server.log.append((self.path, asked))
        if kind in (404, 503):
            return self.send_error(kind)
        if kind == "elsewhere" and self.path == "/file":
            return self.answer(302, b"", Location="/other")
        if kind == "ftp":
            return self.answer(302, b"", Location="ftp://127.0.0.1/file")
        if kind == "disk":
            return self.answer(302, b"", Location="file:///etc/hostname")
        if kind == "no http":
            return self.wfile.write(b"SSH-2.0\r\n\r\n")
        begin = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and kind != "no ranges" else 0
        if begin >= len(CONTENT):
            return self.answer(416, b"", Content_Range=f"bytes */{len(CONTENT)}")
        if kind == "other range" and begin:
            return self.answer(
                206, CONTENT[7:], Content_Range=f"bytes 7-{len(CONTENT) - 1}/{len(CONTENT)}"
            )
        extra = (
            {"Content_Range": f"bytes {begin}-{len(CONTENT) - 1}/{len(CONTENT)}"} if begin else {}
        )
        self.answer(206 if begin else 200, CONTENT[begin:], **extra)

    def answer(self, code, content, **headers):
        kind, unknown = self.server.kind, self.server.kind in ("no length", "chunked")
        self.protocol_version = "HTTP/1.1" if kind == "chunked" else "HTTP/1.0"
        self.send_response(code)
        for name, value in (
            {} if unknown else {"Content-Length": len(content)}
        ).items() | headers.items():
            self.send_header(name.replace("_", "-"), value)
        if kind == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if kind == "drops":
            self.server.kind = "ranges"  # the next time it does not
            content = content[:PART]
        if kind == "hangs":
            self.wfile.write(content[:PART])
            self.server.open.wait(20)
        elif kind == "chunked":
            self.wfile.write(b"%x\r\n" % (len(content)) + content[:PART])
            self.close_connection = True
        else:
            self.wfile.write(content)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


@contextlib.contextmanager
def serving(kind):
    """A server of some kind, in a thread."""
    with Server(kind) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.open.set()
            server.shutdown()
            thread.join()


@pytest.fixture
def path(tmp_path):
    """Where the file goes, in a folder that is not there yet."""
    return tmp_path / "cache" / "file.bin"


@pytest.fixture
def partial(path):
    """The partial file beside it; its folder is there."""
    path.parent.mkdir()
    return path.with_name(".file.bin.partial")


def left(folder):
    """The names in a folder, without that of the lock of `file.bin`."""
    return [name for name in os.listdir(folder) if name != ".file.bin.lock"]


def wrong(url, path, *words, **checksums):
    """Asserts that the download is one line that holds the words, and leaves no file that looks
    finished.
    """
    with pytest.raises(BenchError) as caught:
        download.fetch(url, path, **checksums)
    line = str(caught.value)
    assert "\n" not in line and all(word in line for word in words), line
    assert not path.exists()


@pytest.mark.parametrize("kind", ["ranges", "no ranges", "no length", "elsewhere"])
@pytest.mark.parametrize(
    "checksums",
    [{}, {"sha256": SHA256}, {"md5": MD5.upper()}, {"sha256": SHA256, "md5": MD5}],
    ids=["none", "sha256", "md5", "both"],
)
def test_whole(path, kind, checksums, capfd):
    with serving(kind) as server:
        assert download.fetch(f"{server.url}/file", path, **checksums) == path
        requests = len(server.log)
        assert path.read_bytes() == CONTENT and left(path.parent) == ["file.bin"]
        download.fetch(f"{server.url}/file", path, **checksums)
        assert len(server.log) == requests == (2 if kind == "elsewhere" else 1) and server.log[
            0
        ] == ("/file", None)
    assert "file.bin" in capfd.readouterr().err  # the bar


def test_a_file_that_is_there(path):
    """The right one needs no network; a wrong one stays until a right one is there."""
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    download.fetch("http://127.0.0.1:9/none", path, sha256=SHA256, md5=MD5)
    path.write_bytes(b"mine")
    download.fetch("http://127.0.0.1:9/none", path)
    with pytest.raises(BenchError):
        download.fetch("http://127.0.0.1:9/none", path, sha256=SHA256)
    assert path.read_bytes() == b"mine"
    with serving("ranges") as server:
        download.fetch(server.url, path, sha256=SHA256)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "kind, ranges",
    [
        ("ranges", [f"bytes={PART}-"]),
        ("no ranges", [f"bytes={PART}-"]),
        ("other range", [f"bytes={PART}-", None]),
    ],
)
def test_resumed(path, partial, kind, ranges):
    partial.write_bytes(CONTENT[:PART])
    with serving(kind) as server:
        download.fetch(server.url, path, sha256=SHA256)
        assert [asked for _, asked in server.log] == ranges
    assert path.read_bytes() == CONTENT and left(path.parent) == ["file.bin"]


@pytest.mark.parametrize(
    "content",
    [CONTENT, CONTENT + b"longer", CONTENT[::-1] * 2],
    ids=["complete", "longer", "other"],
)
@pytest.mark.parametrize("kind", ["ranges", "no ranges"])
def test_partial_as_long_or_longer(path, partial, content, kind):
    partial.write_bytes(content)
    with serving(kind) as server:
        download.fetch(server.url, path, sha256=SHA256)
        assert [asked for _, asked in server.log] == [f"bytes={len(content)}-", None][
            : 2 if kind == "ranges" else 1
        ]
    assert path.read_bytes() == CONTENT


def test_without_a_checksum_nothing_is_resumed(path, partial):
    partial.write_bytes(b"of another file")
    with serving("ranges") as server:
        download.fetch(server.url, path)
        assert [asked for _, asked in server.log] == [None]
    assert path.read_bytes() == CONTENT


def test_dropped_connection(path):
    """What came is kept, and the next call asks for the rest alone."""
    with serving("drops") as server:
        wrong(
            server.url,
            path,
            f"{path}: the download from {server.url} ended after {PART} of 300000 bytes; "
            "run it again",
            sha256=SHA256,
        )
        assert left(path.parent) == [".file.bin.partial"]
        download.fetch(server.url, path, sha256=SHA256)
        assert [asked for _, asked in server.log] == [None, f"bytes={PART}-"]
    assert path.read_bytes() == CONTENT and left(path.parent) == ["file.bin"]


def test_dropped_in_a_chunk(path):
    with serving("chunked") as server:
        wrong(server.url, path, f"{server.url} cannot be read (IncompleteRead(")


def test_timeout(path, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", 0.2)
    with serving("hangs") as server:
        wrong(server.url, path, f"{path}: {server.url} cannot be read (timed out)", sha256=SHA256)
        server.kind = "ranges"
        download.fetch(server.url, path, sha256=SHA256)
        assert re.fullmatch(r"bytes=\d+-", server.log[1][1])
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "checksums",
    [{"sha256": MD5 * 2}, {"md5": SHA256[:32]}, {"sha256": SHA256, "md5": "0" * 32}],
    ids=["sha256", "md5", "one of both"],
)
def test_wrong_checksum(path, checksums):
    kind, expected = list(checksums.items())[-1]
    with serving("ranges") as server:
        found = {"sha256": SHA256, "md5": MD5}[kind]
        wrong(
            server.url,
            path,
            f"{path}: found {kind} {found}, expected {expected}; "
            f"what came from {server.url} was removed",
            **checksums,
        )
    assert left(path.parent) == []


def test_a_partial_of_another_file_is_removed(path, partial):
    partial.write_bytes(b"?" * PART)
    with serving("ranges") as server:
        wrong(server.url, path, "was removed", sha256=SHA256)
        assert not partial.exists()
        download.fetch(server.url, path, sha256=SHA256)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "kind, words",
    [
        (404, "answers 404 Not Found"),
        (503, "answers 503 Service Unavailable"),
        ("ftp", "ftp"),
        ("disk", "answers 302"),
        ("no http", "cannot be read (SSH-2.0"),
    ],
)
def test_not_to_be_had(path, kind, words):
    with serving(kind) as server:
        wrong(f"{server.url}/file", path, f"{path}: {server.url}/file ", words)
    assert left(path.parent) == []


def test_no_network(path, monkeypatch):
    def unknown(*arguments, **keywords):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    wrong(f"http://127.0.0.1:{port}/file", path, "Connection refused); run it again when it is")
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    wrong(
        "http://nowhere.invalid/file",
        path,
        "http://nowhere.invalid/file cannot be read (",
        "Name or service not known",
    )
    assert left(path.parent) == []


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/file",
        "data:text/plain,x",
        "/etc/hostname",
        "file.bin",
        "",
        "httpx://a/b",
        "http://",
        "http://127.0.0.1/a b",
        "http://a\nb/",
    ],
)
def test_other_addresses(path, url):
    wrong(url, path, f"{url!r}: expected an address that begins with http://, https:// or file://")
    assert not path.parent.exists()


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:port/", "http://[::1/", "file:///none/at/all", "file:///etc"]
)
def test_addresses_that_lead_nowhere(path, url):
    wrong(url, path, "cannot be read (")


def test_file_address(path, tmp_path):
    (tmp_path / "source").write_bytes(CONTENT)
    url = (tmp_path / "source").as_uri()
    wrong(url, path, "expected 0000", sha256="0" * 64)
    download.fetch(url, path, sha256=SHA256)
    assert path.read_bytes() == CONTENT
    path.unlink()
    path.with_name(".file.bin.partial").write_bytes(CONTENT[:5])
    download.fetch(url, path, sha256=SHA256)
    assert path.read_bytes() == CONTENT


def test_empty_file(path, tmp_path):
    (tmp_path / "source").write_bytes(b"")
    download.fetch((tmp_path / "source").as_uri(), path, md5=hashlib.md5(b"").hexdigest())
    assert path.read_bytes() == b"" and left(path.parent) == ["file.bin"]


def test_full_disk(path):
    """The system refuses to write beyond a size, as it does where the disk is full; what fitted is
    kept.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with serving("ranges") as server:
        resource.setrlimit(resource.RLIMIT_FSIZE, (PART, before[1]))
        try:
            wrong(server.url, path, f"{path}: cannot be written (File too large)", sha256=SHA256)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        download.fetch(server.url, path, sha256=SHA256)
        assert len(server.log) == 2 and server.log[1][1]
    assert path.read_bytes() == CONTENT


def test_a_path_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with serving("ranges") as server:
        for path, words in (
            (tmp_path, "found a folder, expected a file"),
            (tmp_path / "file" / "x", "cannot be written ("),
        ):
            with pytest.raises(BenchError) as caught:
                download.fetch(server.url, path)
            assert str(caught.value).startswith(f"{path}: {words}")
        assert server.log == []


@pytest.mark.parametrize("finished", [True, False])
def test_who_waited_looks_again(path, partial, finished):
    """What the other finished is not downloaded again; where it removed the partial file, there is
    a new one.
    """
    with serving("ranges") as server:
        thread = threading.Thread(
            target=download.fetch, args=(server.url, path), kwargs={"sha256": SHA256}
        )
        with files.alone(path):
            thread.start()
            thread.join(0.1)
            assert thread.is_alive() and server.log == []
            if finished:
                partial.write_bytes(CONTENT)
                os.replace(partial, path)
        thread.join(10)
        assert len(server.log) == (0 if finished else 1)
    assert path.read_bytes() == CONTENT and left(path.parent) == ["file.bin"]


def test_a_killed_process(path):
    """Another process that waits for it goes on from what it left."""
    command = (
        "import sys; from bench.runtime import download; "
        "download.fetch(sys.argv[1], sys.argv[2], sha256=sys.argv[3])"
    )
    with serving("hangs") as server:
        other = subprocess.Popen(
            [sys.executable, "-c", command, server.url, path, SHA256], stderr=subprocess.DEVNULL
        )
        while not server.log:
            time.sleep(0.01)
        thread = threading.Thread(
            target=download.fetch, args=(server.url, path), kwargs={"sha256": SHA256}
        )
        thread.start()
        thread.join(0.1)
        assert thread.is_alive() and len(server.log) == 1
        server.kind = "ranges"
        other.kill()
        other.wait()
        thread.join(10)
        assert (
            path.read_bytes() == CONTENT
            and len(server.log) == 2
            and left(path.parent) == ["file.bin"]
        )
