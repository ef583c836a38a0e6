"""MLFLOW_TRACKING_URI: addresses that lead nowhere, and passwords that are written nowhere."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench import cli
from bench.report import address
from tests.helpers.runs import TINY, snakemake

NOWHERE = "127.0.0.1:9"
SECRET = "hunter2"  # noqa: S105

# what the address is: (MLFLOW_TRACKING_URI, how the error shows it)
ADDRESSES = {
    "no server": (f"http://{NOWHERE}", f"http://{NOWHERE} "),
    "a password": (f"http://me:{SECRET}@{NOWHERE}", f"http://***@{NOWHERE} "),
    "a token": (f"http://{SECRET}@{NOWHERE}", f"http://***@{NOWHERE} "),
    "a password with a slash": (f"http://me:{SECRET}/x@{NOWHERE}", "found /, ? or # before @"),
    "a password with an @": (f"http://me:x@{SECRET}@{NOWHERE}", f"http://***@{NOWHERE} "),
    "an encoded password": (f"http://me:{SECRET}%40@{NOWHERE}", f"http://***@{NOWHERE} "),
    "a token behind": (f"http://{NOWHERE}/?token={SECRET}", f"http://{NOWHERE}/?*** "),
    "another scheme": (f"ftp://me:{SECRET}@{NOWHERE}", f"ftp://***@{NOWHERE}"),
    "a database": (f"postgresql://me:{SECRET}@{NOWHERE}/db", f"postgresql://***@{NOWHERE}/db"),
    "no database": (f"nosql://me:{SECRET}@{NOWHERE}/db", f"nosql://***@{NOWHERE}/db"),
    "no port": (f"http://me:{SECRET}@127.0.0.1:port", "http://***@127.0.0.1:port"),
    "half an address": (f"http://me:{SECRET}@[::1", "http://***@[::1"),
    "a word": ("foo", "MLFLOW_TRACKING_URI: foo cannot be used ("),
    "no host": ("http://", "MLFLOW_TRACKING_URI: http:// does not answer ("),
    "capitals": (f"HTTP://{NOWHERE}", f"MLFLOW_TRACKING_URI: HTTP://{NOWHERE} does not answer ("),
    "one slash": ("http:/x", "MLFLOW_TRACKING_URI: http:/x: cannot be read or written ("),
    "no slash": ("sqlite:x.db", "MLFLOW_TRACKING_URI: sqlite:x.db: names no file; expected"),
    "two slashes": ("sqlite://", "MLFLOW_TRACKING_URI: sqlite://: names no file; expected"),
    "no file": ("sqlite:///", "MLFLOW_TRACKING_URI: sqlite:///: names no file; expected"),
    "in memory": ("sqlite:///:memory:", "sqlite:///:memory:: names no file; expected"),
    "a folder": ("sqlite:////tmp", "MLFLOW_TRACKING_URI: sqlite:////tmp: found a folder; expected"),
    "a device": ("sqlite:////dev/null", "sqlite:////dev/null: found a device; expected"),
    "another file": ("sqlite:///config.yaml", "(sqlite3.DatabaseError) file is not a database"),
    "a plain folder": ("file:/dev/null", "MLFLOW_TRACKING_URI: file:/dev/null cannot be used ("),
    "a bucket": ("s3://bucket", "MLFLOW_TRACKING_URI: s3://bucket cannot be used ("),
}


@pytest.mark.parametrize("case", ADDRESSES)
def test_addresses(case, configured, refuse, monkeypatch, caplog):
    uri, shown = ADDRESSES[case]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    line = refuse(configured({}), ["store", "--config", "config.yaml"], shown)
    assert SECRET not in line and SECRET not in caplog.text


@pytest.mark.parametrize("case", ["a password", "no database"])
def test_a_traceback_has_no_password(case, configured, monkeypatch):
    import traceback

    monkeypatch.setenv("MLFLOW_TRACKING_URI", ADDRESSES[case][0])
    monkeypatch.chdir(configured({}))
    with pytest.raises(Exception) as caught:  # noqa: B017
        cli.main(["store", "--config", "config.yaml", "--debug"])
    assert SECRET not in "".join(traceback.format_exception(caught.value))


SHOWN = {
    "sqlite:///mlflow.db": "sqlite:///mlflow.db",
    "sqlite:////home/a@b/mlflow.db": "sqlite:////home/a@b/mlflow.db",
    f"sqlite+pysqlcipher://:{SECRET}@/a.db": "sqlite+pysqlcipher://***@/a.db",
    f"mysql://me:{SECRET}@host/db?ssl_key={SECRET}": "mysql://***@host/db?***",
    "https://host:5000/mlflow": "https://host:5000/mlflow",
    "databricks": "databricks",
}


@pytest.mark.parametrize("uri", SHOWN)
def test_what_is_shown_of_an_address(uri, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert address.shown() == SHOWN[uri]
    text = address.without_secrets(f"cannot open {uri}: password {SECRET} refused")
    assert SECRET not in text or SECRET not in uri


@pytest.fixture
def server():
    """(port, headers of every request) of a server that knows every experiment, for me:hunter2."""
    headers = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            headers.append(self.headers)
            pair = f"me:{SECRET}@"
            allowed = f"Basic {base64.b64encode(pair.encode()).decode()}"
            known = self.headers["Authorization"] == allowed
            experiment = {"experiment_id": "1", "name": "tiny", "lifecycle_stage": "active"}
            self.send_response(200 if known else 401)
            self.end_headers()
            self.wfile.write(json.dumps({"experiment": experiment}).encode() if known else b"{}")

        do_POST = do_GET

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running.server_port, headers
        running.shutdown()


def test_a_name_and_a_password_work(server, configured, monkeypatch):
    """Every request has them, and no file."""
    port, headers = server
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:{SECRET}%40@127.0.0.1:{port}")
    for variable in ("USERNAME", "PASSWORD"):  # set by the command in this process
        monkeypatch.setenv(f"MLFLOW_TRACKING_{variable}", "")
    monkeypatch.chdir(configured({}))
    cli.main(["store", "--config", "config.yaml"])
    assert len(headers) >= 2
    written = (configured({}) / "results" / ".store").read_text()
    assert json.loads(written) == [f"http://***@127.0.0.1:{port}", ["tiny"]]


@pytest.mark.parametrize("uri", ["foo", "sqlite://"])
def test_a_run_of_snakemake_ends_before_its_jobs(uri, tmp_path):
    run = snakemake(tmp_path, "tables", "--configfile", str(TINY), MLFLOW_TRACKING_URI=uri)
    (line,) = [line for line in run.stderr.splitlines() if "error" in line.lower()]
    assert run.returncode == 1 and line.startswith(f"error: MLFLOW_TRACKING_URI: {uri}")
    assert line.endswith("running MLflow server, or unset it for sqlite:///mlflow.db")
    assert "rule " not in run.stderr and not (tmp_path / "results" / "tiny").exists()


def test_through_snakemake(tmp_path):
    """Neither its output nor what it keeps of a run has the password."""
    uri = f"http://me:{SECRET}@{NOWHERE}"
    run = snakemake(tmp_path, "tables", MLFLOW_TRACKING_URI=uri)
    (line,) = [line for line in run.stderr.splitlines() if line.startswith("error: ")]
    assert run.returncode == 1 and f"http://***@{NOWHERE} does not answer" in line
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert SECRET not in run.stderr + run.stdout
    assert not [content for content in files if SECRET.encode() in content]
