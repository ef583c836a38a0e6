"""A Slurm of its own on this machine: munged, slurmctld, and a slurmd for each of two nodes.

Everything that it writes is in one folder, it listens on free ports of the loopback, and it stops
all that it has started. Each node has two cores and two GPUs. A GPU is a device file that is none:
Slurm hands it out and sets CUDA_VISIBLE_DEVICES, and PyTorch finds nothing there. To run a command
in such a cluster:

    python -m tests.workflow.slurm_cluster sinfo
"""

import contextlib
import getpass
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "setpriv")
SEARCH = f"{os.environ['PATH']}:/usr/sbin"  # Debian has the daemons there
NODES = ("n0", "n1")
GPUS = ("/dev/null", "/dev/zero")  # of each node
PATIENCE = 60  # seconds until a daemon that does not answer is taken to have failed

# No accounting and no cgroups: a job that takes more memory than it asked for is found by looking
# at /proc every second, and ended. A node that does not answer is down after SlurmdTimeout seconds.
# config_overrides: a node has what stands here, whatever this machine has. The first node is filled
# before the second.
CONFIGURATION = """\
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=1
SlurmdTimeout=10
MinJobAge=3600
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=5,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=1000
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
KillWait=2
GresTypes=gpu
SlurmdParameters=config_overrides
{nodes}
PartitionName=main Nodes=ALL Default=YES State=UP
"""


def missing():
    """The programs of PROGRAMS that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name, path=SEARCH) is None]


def free_ports(count):
    """That many ports of the loopback that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


class Cluster:
    """The running daemons. `folder`: of their configuration, logs and state."""

    def __init__(self, folder):
        self.folder, self.daemons = Path(folder), {}
        self.environment = {
            **os.environ,
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "PATH": f"{self.folder / 'bin'}:{SEARCH}",
        }

    def write_configuration(self):
        """slurm.conf, gres.conf and the key of munge."""
        port, *ports = free_ports(1 + len(NODES))
        nodes, devices = [], []
        for weight, (name, port_of_node) in enumerate(zip(NODES, ports, strict=True), 1):
            (self.folder / f"spool-{name}").mkdir()
            nodes.append(
                f"NodeName={name} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port_of_node} "
                f"CPUs=2 RealMemory=16000 Gres=gpu:{len(GPUS)} Weight={weight}"
            )
            devices += [f"NodeName={name} Name=gpu File={file}" for file in GPUS]
        (self.folder / "state").mkdir()
        text = CONFIGURATION.format(
            folder=self.folder, port=port, user=getpass.getuser(), nodes="\n".join(nodes)
        )
        (self.folder / "slurm.conf").write_text(text)
        (self.folder / "gres.conf").write_text("\n".join(["AutoDetect=off", *devices, ""]))
        # Snakemake's jobs start srun without any SLURM_… variable, SLURM_CONF among them
        # (snakemake-executor-plugin-slurm-jobstep 0.6). It would look in /etc/slurm.
        srun = self.folder / "bin" / "srun"
        srun.parent.mkdir()
        place = shlex.quote(self.environment["SLURM_CONF"])
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={place} exec {shutil.which("srun")} "$@"\n')
        srun.chmod(0o755)
        (self.folder / "munge.key").write_bytes(os.urandom(128))
        (self.folder / "munge.key").chmod(0o600)

    def start(self, name):
        """Starts a daemon: munged, slurmctld, or the slurmd of a node, in the foreground."""
        folder = self.folder
        commands = {
            "munged": [
                "munged", "--foreground", "--force", "--key-file", folder / "munge.key",
                "--socket", folder / "munge.socket", "--pid-file", folder / "munge.pid",
                "--log-file", folder / "munge.log", "--seed-file", folder / "munge.seed",
            ],
            "slurmctld": ["slurmctld", "-D"],
        }  # fmt: skip
        command = commands.get(name) or ["slurmd", "-D", "-N", name]
        alive = ["setpriv", "--pdeathsig", "TERM"]  # it ends with this process, however that ends
        with open(folder / f"{name}.out", "a") as log:
            self.daemons[name] = subprocess.Popen(
                [*alive, *command], env=self.environment, cwd=folder, stdout=log, stderr=log
            )

    def kill(self, name):
        """SIGKILL to a daemon, as if its machine had failed."""
        daemon = self.daemons.pop(name)
        daemon.kill()
        daemon.wait()

    def run(self, *command):
        """The output of a command of Slurm, which must end well."""
        return subprocess.run(
            command, env=self.environment, check=True, capture_output=True, text=True
        ).stdout

    def wait(self, ready, what, patience=PATIENCE):
        """Until `ready()` is true and no daemon has ended; else RuntimeError with their logs."""
        deadline = time.monotonic() + patience
        while not ready():
            ended = [name for name, daemon in self.daemons.items() if daemon.poll() is not None]
            if ended or time.monotonic() > deadline:
                logs = [path.read_text()[-2000:] for path in sorted(self.folder.glob("*.out"))]
                raise RuntimeError(f"{what}: ended: {ended}\n" + "\n".join(logs))
            time.sleep(0.1)

    def answers(self):
        """Whether the controller does."""
        ping = subprocess.run(["scontrol", "ping"], env=self.environment, capture_output=True)
        return ping.returncode == 0

    def is_idle(self):
        """Whether the controller answers and every node is there and without a job."""
        found = subprocess.run(
            ["sinfo", "--noheader", "--Node", "--format=%T"],
            env=self.environment, capture_output=True, text=True,
        )  # fmt: skip
        return found.stdout.split() == ["idle"] * len(NODES)

    def stop(self):
        """Cancels all jobs and ends the daemons, nodes first."""
        with contextlib.suppress(subprocess.SubprocessError, RuntimeError):
            subprocess.run(
                ["scancel", "--quiet", f"--user={getpass.getuser()}"],
                env=self.environment, timeout=10, capture_output=True,
            )  # fmt: skip
            self.wait(lambda: not self.run("squeue", "--noheader").strip(), "jobs", 20)
        for name in reversed(list(self.daemons)):
            daemon = self.daemons.pop(name)
            daemon.terminate()
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self.kill_strays()

    def kill_strays(self):
        """SIGKILL to what a job has left. Slurm loses sight of it when it takes a node down, and
        Snakemake (9.27) may wait for ever after the SIGTERM that it has sent.
        """
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):  # it has ended, or is somebody else's
                if process.environ().get("SLURM_CONF") == self.environment["SLURM_CONF"]:
                    process.kill()


@contextlib.contextmanager
def running(folder):
    """A `Cluster` that is up, in a new folder; it is stopped in the end, however that comes."""
    cluster = Cluster(folder)
    cluster.folder.mkdir(parents=True)
    cluster.write_configuration()
    try:
        cluster.start("munged")
        cluster.wait((cluster.folder / "munge.socket").exists, "munged")
        for name in ("slurmctld", *NODES):
            cluster.start(name)
        cluster.wait(cluster.is_idle, "nodes")
        yield cluster
    finally:
        cluster.stop()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the cluster is stopped
    if len(sys.argv) == 1 or sys.argv[1].startswith("-"):
        sys.exit("usage: python -m tests.workflow.slurm_cluster COMMAND [ARGUMENT ...]")
    if missing():
        sys.exit(f"error: not installed: {' '.join(missing())}: apt-get install slurm-wlm munge")
    with tempfile.TemporaryDirectory() as place, running(f"{place}/slurm") as made:
        sys.exit(subprocess.run(sys.argv[1:], env=made.environment).returncode)
