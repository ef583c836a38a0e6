"""The MLflow store: several folders at once, and servers that do not do their work."""

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from mlflow import MlflowClient

from bench.experiment import loading
from bench.report import store
from bench.runtime.errors import BenchError
from tests.helpers.experiments import RAW
from tests.helpers.runs import ROOT, environment

PATIENCE = 30  # seconds that a person waits for a server


def test_folders_that_make_one_store_at_once(tmp_path):
    """The first makes the tables of the database, the others wait."""
    uri = f"sqlite:///{tmp_path}/new/mlflow.db"
    command = [sys.executable, "-m", "bench", "store", "--config", str(ROOT / "params.yaml")]
    started = []
    for name in "abc":
        (tmp_path / name).mkdir()
        variables = environment(MLFLOW_TRACKING_URI=uri)
        one = subprocess.Popen(
            command, cwd=tmp_path / name, env=variables, stderr=subprocess.PIPE, text=True
        )
        started.append(one)
    errors = [one.communicate()[1] for one in started]
    assert [one.returncode for one in started] == [0, 0, 0], errors
    experiments = MlflowClient(tracking_uri=uri).search_experiments()
    assert sorted(one.name for one in experiments) == ["Default", "digits"]


def hang(handler, done):
    done.wait(PATIENCE)


def answer(status, body, **headers):
    def respond(handler, done):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return respond


# what a server does with every request but /health: (function, what the error says)
SERVERS = {
    "hangs": (hang, "timed out"),
    "fails": (answer(500, b"no"), "too many 500 error responses"),
    "asks for an hour": (answer(503, b"", Retry_After="3600"), "too many 503 error responses"),
    "refuses": (answer(403, b"no"), "403"),
    "is another": (answer(200, b"<html>"), "MLflow"),
    "hangs up": (lambda handler, done: handler.connection.close(), "Connection aborted"),
}


@pytest.fixture
def serve():
    """A function that starts a server, which answers /health, and returns its address."""
    done, running = threading.Event(), []

    def start(respond):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                is_health = self.path == "/health"
                (answer(200, b"OK") if is_health else respond)(self, done)

            do_POST = do_GET

            def log_message(self, *arguments):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        running.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    done.set()
    for server in running:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("case", SERVERS)
def test_a_server_that_is_well_and_does_not_work(case, serve, tmp_path, monkeypatch, capfd):
    """One line, and nothing beside it."""
    respond, message = SERVERS[case]
    uri = serve(respond)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    for variable, value in store.VARIABLES.items():  # also removes them after the test
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    experiment = loading.resolve(RAW, folder=ROOT)
    with pytest.raises(BenchError) as caught:
        store.prepare(experiment)
    line = str(caught.value)
    assert line.startswith(f"MLFLOW_TRACKING_URI: {uri}: cannot be read or written (")
    assert line.endswith("; expected a running MLflow server, or unset it for sqlite:///mlflow.db")
    assert message in line and "\n" not in line
    assert capfd.readouterr().err == ""


def test_the_longest_wait_for_a_server():
    """One that hangs is asked for its health, and then for its work as often as MLflow asks."""
    times = int(store.VARIABLES["MLFLOW_HTTP_REQUEST_MAX_RETRIES"]) + 1
    each = int(store.VARIABLES["MLFLOW_HTTP_REQUEST_TIMEOUT"])
    assert store.SERVER_TIMEOUT + times * each < PATIENCE


def test_a_store_whose_making_was_killed(tmp_path, monkeypatch):
    """MLflow makes its tables in many steps, and cannot open a store that has only some."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///my.db")

    def killed(*paths):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", killed)
        with pytest.raises(KeyboardInterrupt):
            store.open_experiment("tiny")
    assert not (tmp_path / "my.db").exists()
    code = "from bench.report import store; print(store.open_experiment('tiny')[1])"
    command = [sys.executable, "-c", code]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert made.stdout.strip() and (tmp_path / "my.db").exists(), made.stderr
