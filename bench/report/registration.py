"""The mean model of a setting as a model of MLflow's registry, with its signature.

A version is the network as it is used: an image x_t and the timestep that the network is given make
what it predicts. `mlflow.pyfunc.load_model("models:/digits/1")` loads it, in a Python that has
`bench`. Networks larger than `records.LARGE` are not copied: their version says where they lie.
"""

import contextlib
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from bench.report import store
from bench.runtime import digests, files, records
from bench.runtime.errors import BenchError

FOLDER = "mean"  # in the artifacts of a run
TAG, PLACE_TAG = "mean", "weights"  # of a version: the digest of its weights, and where they lay
NO_TIME = "1970-01-01 00:00:00"


def artifacts(mean: Path, shape: tuple[int, int, int], into: Path) -> dict[str, list[Path]]:
    """{folder: files} of a model for MLflow; none of an exact mean model, which has no network.

    mean: results/<setting>/mean. shape: (channels, height, width). into: a folder for its MLmodel.
    """
    if not (mean / "unet").is_dir():
        return {}
    flavor = {
        "loader_module": __name__,
        "data": "unet",
        "python_version": platform.python_version(),
    }
    images, one_each = ("float32", [-1, *shape]), ("int64", [-1])
    about = {
        "flavors": {"python_function": flavor},
        "signature": {
            "inputs": _schema(x_t=images, timestep=one_each),
            "outputs": _schema(prediction=images),
        },
        "model_uuid": digest(mean),
        "utc_time_created": NO_TIME,  # equal networks give equal files
    }
    into.mkdir(parents=True, exist_ok=True)
    (into / "MLmodel").write_text(yaml.safe_dump(about))
    network = [path.resolve() for path in records.members(mean / "unet")]
    if sum(path.stat().st_size for path in network) > records.LARGE:
        network = [path for path in network if path.suffix == ".json"]
    return {FOLDER: [into / "MLmodel"], f"{FOLDER}/unet": network}


def _schema(**tensors):
    """The schema of named tensors, (type, shape), as MLflow writes it. Its own class for this is in
    a module that imports for a second.
    """
    spec = [
        {"name": name, "type": "tensor", "tensor-spec": {"dtype": dtype, "shape": shape}}
        for name, (dtype, shape) in tensors.items()
    ]
    return json.dumps(spec)


def digest(mean: Path) -> str:
    """The digest of a network in results/<setting>/mean, from the record of that folder."""
    content = files.read_json(mean / records.OF_FOLDER, records.Record).content
    return digests.digest({file: sha for file, sha in content.items() if file != "mean.json"})


def register(client: Any, name: str, run: Any, mean: Path, note: str) -> None:
    """Makes the mean model among the artifacts of a run a version of the model `name`, unless these
    weights are one.

    mean: results/<setting>/mean.
    """
    from mlflow.exceptions import MlflowException

    weights = digest(mean)

    def versions():
        found = client.search_model_versions(f"name = '{name}'")
        same = [one for one in found if one.tags.get(TAG) == weights]
        return sorted(int(one.version) for one in same)

    if versions():
        return
    with contextlib.suppress(MlflowException):  # it is there; if it failed, so does its version
        client.create_registered_model(name)
    source, tags = f"{run.info.artifact_uri}/{FOLDER}", {TAG: weights, PLACE_TAG: str(mean)}
    created = store.retry(
        client.create_model_version, name, source, run.info.run_id, tags, description=note
    )
    if int(created.version) > versions()[0]:  # another client was first
        client.delete_model_version(name, created.version)


def _load_pyfunc(path: str) -> Any:
    """What MLflow loads: an object with `predict`. path: of the folder `unet` of a version."""
    from bench.mean import storage  # it imports torch

    folder = Path(path)
    if not any((folder / name).is_file() for name in storage.WEIGHTS):
        raise BenchError(
            f"{path}: the weights were not copied; metadata.weights says where they are"
        )
    return _Network(storage.read_unet(folder, "log it again with: bench log results"))


class _Network:
    """A UNet2DModel as a model of MLflow."""

    def __init__(self, unet):
        self.unet = unet.eval()

    def predict(self, model_input: Mapping[str, Any], params: dict | None = None) -> Any:
        """What the network predicts, of {"x_t": images, "timestep": integers}."""
        import torch

        x_t, timestep = (torch.as_tensor(model_input[key]) for key in ("x_t", "timestep"))
        with torch.no_grad():
            return self.unet(x_t, timestep).sample.numpy()
