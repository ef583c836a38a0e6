"""A stand-in for the API of a Kubernetes cluster, which runs containers of jobs as processes."""

import base64
import contextlib
import json
import re
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml

from tests.helpers.runs import environment

JOBS = r"/apis/batch/v1/namespaces/\w+/jobs"


class Cluster:
    """What clients asked for. A pod is a process in a new folder; without `folder` every job fails.

    jobs: {name: manifest as it was sent}; pods: {name: finished or running process}.
    """

    def __init__(self, folder=None):
        self.folder, self.jobs, self.pods, self.secrets = folder, {}, {}, {}

    def create(self, body):
        """Takes a job's manifest, and starts its container.

        The address says which kind it is, so clients leave that out, as they may.
        """
        name = body["metadata"]["name"]
        self.jobs[name] = {"apiVersion": "batch/v1", "kind": "Job", **body}
        if self.folder:
            (container,) = body["spec"]["template"]["spec"]["containers"]
            place = self.folder / name
            place.mkdir(parents=True)
            with open(place.with_suffix(".log"), "w") as log:
                self.pods[name] = subprocess.Popen(
                    [*container["command"], *container["args"]],
                    cwd=place,
                    env=self._environment(container),
                    stdout=log,
                    stderr=log,
                )

    def _environment(self, container):
        """The image's commands. Its pip installs nothing: the image has the plug-ins."""
        commands = self.folder / "commands"
        commands.mkdir(exist_ok=True)
        (commands / "pip").write_text("#!/bin/sh\n")
        (commands / "pip").chmod(0o755)
        variables = environment()
        variables["PATH"] = f"{commands}:{variables['PATH']}"
        for variable in container["env"]:
            key = variable["valueFrom"]["secretKeyRef"]
            value = self.secrets[key["name"]]["data"][key["key"]]
            variables[variable["name"]] = base64.b64decode(value).decode()
        return variables

    def status(self, name):
        """The status of a job."""
        code = self.pods[name].poll() if name in self.pods else 1
        return {None: {"active": 1}, 0: {"succeeded": 1}}.get(code, {"failed": 1})


@contextlib.contextmanager
def serving(cluster):
    """Yields the address of an API server of a `Cluster` on this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if re.fullmatch(JOBS, self.path):
                cluster.create(body)
            else:
                assert re.fullmatch(r"/api/v1/namespaces/\w+/secrets", self.path), self.path
                cluster.secrets[body["metadata"]["name"]] = body
            self.answer(201, body)

        def do_GET(self):
            job = re.fullmatch(rf"{JOBS}/(.*)/status", self.path)
            self.answer(200, {"status": cluster.status(job[1])} if job else {"items": []})

        def do_DELETE(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.answer(200, {"status": "Success"})

        def answer(self, code, value):
            content = json.dumps(value).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        for pod in cluster.pods.values():
            pod.kill()


def kubeconfig(path: Path, address):
    """Writes a configuration of kubectl that names the server."""
    names = {"cluster": "here", "user": "me"}
    value = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "here", "cluster": {"server": address}}],
        "users": [{"name": "me", "user": {"token": "none"}}],
        "contexts": [{"name": "here", "context": names}],
        "current-context": "here",
    }
    path.write_text(yaml.safe_dump(value))
    return path
