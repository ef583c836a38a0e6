"""Jobs as pods: what Snakemake's plug-in sends to Kubernetes with the profile of this project.

There is no cluster. A server on this machine takes what the plug-in sends, and runs the containers
of jobs as processes, each in a new folder, which share the folder of the volume.
"""

import shutil
import subprocess
import sys

import kubernetes_validate
import pytest
import yaml

from tests.helpers.cluster import Cluster, kubeconfig, serving
from tests.helpers.runs import ROOT, environment

PROFILE = "workflows/profiles/kubernetes"
OVERLAY = "workflows/experiments/tiny.yaml"
PLACES = ("default-storage-prefix", "local-storage-prefix", "remote-job-local-storage-prefix")


@pytest.fixture
def clone(tmp_path):
    """A repository with the workflow, as Snakemake packs what git tracks."""
    folder = tmp_path / "clone"
    folder.mkdir()
    for name in ("Snakefile", "params.yaml", "workflows", "profiles"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy2)(ROOT / name, folder / name)
    for command in (["init", "--quiet"], ["add", "."]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def run(clone, cluster, *arguments):
    """Runs Snakemake with the profile and its volume beside the clone."""
    profile = yaml.safe_load((ROOT / PROFILE / "config.yaml").read_text())
    shared = clone.parent / "shared"
    places = []
    for key in PLACES:
        places += [f"--{key}", profile[key].replace("/shared", str(shared))]
    command = [sys.executable, "-m", "snakemake", *arguments, "--profile", PROFILE, *places]
    command += ["--kubernetes-persistent-volumes", f"bench:{shared}", "--latency-wait", "1"]
    command += ["--container-image", "example/bench:1", "--configfile", OVERLAY]
    with serving(cluster) as address:
        return subprocess.run(
            [*command, "--seconds-between-status-checks", "1"],
            cwd=clone,
            env=environment(KUBECONFIG=str(kubeconfig(clone.parent / "kube.yaml", address))),
            capture_output=True,
            text=True,
        )


def test_the_manifest_of_a_job_is_one_of_kubernetes(clone):
    """With the image, the volume, and memory and processors as limits."""
    cluster = Cluster()
    found = run(clone, cluster, "results/tiny/data")
    assert found.returncode == 1, found.stderr  # the server says that the job failed
    (body,) = cluster.jobs.values()
    kubernetes_validate.validate(body, "1.32", strict=True)
    pod = body["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == "example/bench:1"
    assert "--target-jobs 'data:setting=tiny'" in container["args"][1]
    claims = [volume.get("persistentVolumeClaim", {}).get("claimName") for volume in pod["volumes"]]
    assert claims == [None, "bench"]
    assert container["volumeMounts"][1]["mountPath"] == str(clone.parent / "shared")
    limits = container["resources"]["limits"]
    assert limits["memory"] == "8000M" and limits.keys() >= {"cpu", "memory"}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**body, "spec": {"template": 1}}, "1.32", strict=True)


@pytest.mark.slow
@pytest.mark.timeout(1200)  # a pod starts Snakemake three times
@pytest.mark.skipif(shutil.which("rsync") is None, reason="the storage plug-in `fs` needs rsync")
def test_pods_that_share_the_volume_alone_make_samples_and_their_scores(clone):
    """A pod reads what another wrote beside its outputs: records, samples, features."""
    target = "results/tiny/only/fidelity/ddim.json"
    cluster = Cluster(clone.parent / "pods")
    found = run(clone, cluster, target, "--config", "only=[ddim/zero/K5]")
    logs = [log.read_text()[-3000:] for log in (clone.parent / "pods").glob("*.log")]
    assert found.returncode == 0, "\n".join([found.stderr[-3000:], *logs])
    assert (clone.parent / "shared" / "store" / target).is_file()
    gpus = []
    for body in cluster.jobs.values():
        kubernetes_validate.validate(body, "1.32", strict=True)
        (container,) = body["spec"]["template"]["spec"]["containers"]
        gpus.append(container["resources"]["limits"].get("nvidia.com/gpu"))
    assert {"1", None} == set(gpus)
