"""mean.checkpoint from the Hugging Face hub: a server on this machine that speaks as much of its
protocol as is needed.
"""

import hashlib
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from huggingface_hub import constants

from bench.experiment import sections
from bench.mean import checkpoint
from bench.mean.train import make_unet
from bench.runtime.errors import BenchError
from tests.helpers.models import SHAPE

SCHEDULE = sections.ScheduleSection(name="linear", N=1000)
SHA = "0123456789abcdef0123456789abcdef01234567"
# as google/ddpm-cifar10-32 is laid out: everything at the top, the attention under its first names
OPTIONS = {
    "block_out_channels": [8, 16],
    "layers_per_block": 1,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
    "norm_num_groups": 4,
    "attention_head_dim": None,
    "freq_shift": 1,
    "flip_sin_to_cos": False,
    "downsample_padding": 0,
    "norm_eps": 1e-6,
}
FIRST_NAMES = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


@pytest.fixture
def unet():
    torch.manual_seed(0)
    return make_unet(OPTIONS, SHAPE)


def at(monkeypatch, port):
    """Lets the hub be at a port of this machine."""
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        f"http://127.0.0.1:{port}/{{repo_id}}/resolve/{{revision}}/{{filename}}",
    )
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """(folder that is served as owner/name, names of the files asked for).

    The cache of the hub is empty.
    """
    folder, asked = tmp_path / "repository", []
    folder.mkdir()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.answer(body=True)

        def do_HEAD(self):
            self.answer(body=False)

        def answer(self, body):
            path = self.path.split("?")[0]
            if path in (
                "/api/models/owner/name/revision/main",
                "/api/models/owner/name/revision/v1",
            ):
                return self.send(
                    json.dumps({"id": "owner/name", "sha": SHA, "siblings": []}).encode(), body
                )
            if path == f"/api/models/owner/name/tree/{SHA}":
                listed = [
                    {
                        "type": "file",
                        "path": str(file.relative_to(folder)),
                        "size": file.stat().st_size,
                        "oid": "0" * 40,
                    }
                    for file in folder.rglob("*")
                    if file.is_file()
                ]
                return self.send(json.dumps(listed).encode(), body)
            file = folder / path.removeprefix(f"/owner/name/resolve/{SHA}/")
            if not path.startswith("/owner/name/resolve/") or not file.is_file():
                return self.send(b"{}", body, status=404)
            asked.append(file.name)
            return self.send(file.read_bytes(), body)

        def send(self, content, body, status=200):
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("X-Repo-Commit", SHA)
            self.send_header(
                "ETag", f'"{hashlib.sha1(content, usedforsecurity=False).hexdigest()}"'
            )
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, *words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    at(monkeypatch, server.server_port)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    yield folder, asked
    server.shutdown()
    server.server_close()


def write(unet, folder, weights):
    """A repository of the network, its weights in safetensors, .bin or both, with the first names
    of attention.
    """
    unet.save_pretrained(folder)
    state = {key: tensor for key, tensor in unet.state_dict().items()}
    for new, old in FIRST_NAMES.items():
        state = {key.replace(f".{new}.", f".{old}."): tensor for key, tensor in state.items()}
    torch.save(state, folder / "diffusion_pytorch_model.bin")
    for name in ("safetensors", "bin"):
        if name not in weights:
            (folder / f"diffusion_pytorch_model.{name}").unlink()
    (folder / "scheduler_config.json").write_text(
        json.dumps(
            {
                "beta_schedule": "linear",
                "beta_start": 1e-4,
                "beta_end": 0.02,
                "num_train_timesteps": 1000,
            }
        )
    )
    (folder / "model_index.json").write_text("{}")
    (folder / "README.md").write_text("not wanted")


@pytest.mark.parametrize("weights", [("safetensors", "bin"), ("bin",)])
@pytest.mark.parametrize("name", ["owner/name", "owner/name@v1"])
def test_a_repository_gives_its_network_and_revision(unet, hub, weights, name):
    folder, asked = hub
    write(unet, folder, weights)
    found = checkpoint.read(name, SCHEDULE)
    assert (
        found["source"] == name
        and found["revision"] == SHA
        and found["prediction_type"] == "epsilon"
    )
    for key, tensor in unet.state_dict().items():
        assert torch.equal(found["unet"].state_dict()[key], tensor), key
    assert set(asked) == {
        "config.json",
        "scheduler_config.json",
        f"diffusion_pytorch_model.{weights[0]}",
    }


def test_what_is_in_the_cache_needs_no_network(unet, hub, monkeypatch):
    folder, _ = hub
    write(unet, folder, ("safetensors",))
    checkpoint.read("owner/name", SCHEDULE)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        at(monkeypatch, closed.getsockname()[1])
        found = checkpoint.read("owner/name", SCHEDULE)
        with pytest.raises(
            BenchError, match="other/name: no such folder, and not found on the Hugging Face hub"
        ) as error:
            checkpoint.read("other/name", SCHEDULE)
    assert found["revision"] == SHA and torch.equal(
        found["unet"].conv_in.weight, unet.conv_in.weight
    )
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["owner/nothing", "owner/name@v2"])
def test_what_the_hub_does_not_have(hub, name):
    with pytest.raises(
        BenchError, match=f"{name}: no such folder, and not found on the Hugging Face hub"
    ) as error:
        checkpoint.read(name, SCHEDULE)
    assert "\n" not in str(error.value)


def test_a_repository_without_a_network(hub):
    folder, _ = hub
    (folder / "README.md").write_text("nothing else")
    with pytest.raises(
        BenchError,
        match="expected config.json and diffusion_pytorch_model.safetensors of a UNet2DModel",
    ):
        checkpoint.read("owner/name", SCHEDULE)
