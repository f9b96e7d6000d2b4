"""A real SLURM on this one machine: munge, slurmctld and two slurmd, in a temporary folder, touching nothing in /etc.

    python tests/slurm/cluster.py snakemake --workflow-profile profiles/slurm smoke

runs a command inside such a cluster and takes it down afterwards. Node n1 has two GPUs (character devices that are no
GPUs, which SLURM cannot tell), n2 has none; each says that it has 8 cores, whatever the machine has. There is no
accounting, as on many small clusters. It needs root, for the devices and for slurmd, and Debian's packages slurmctld,
slurmd, slurm-client and munge.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "munged")
NODES = ("n1", "n2")
GPU_NODE = "n1"
START_SECONDS = 30
NODE_TIMEOUT_SECONDS = 10
"""After this long without a word from its daemon, the controller takes a node for dead."""

SLURM_CONF = """
ClusterName=worldmodels-test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
MinJobAge=900
ReturnToService=2
KillWait=10
SlurmdTimeout={node_timeout}
JobRequeue=1
GresTypes=gpu
SlurmdParameters=config_overrides
DefMemPerCPU=500
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={port_n1} CPUs=8 RealMemory=9000 Gres=gpu:a100:2
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={port_n2} CPUs=8 RealMemory=9000
PartitionName=cpu Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=n1 MaxTime=04:00:00 State=UP
"""


def why_not() -> str | None:
    """What this machine lacks for a cluster; None when it can have one."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=_search_path()) is None]
    if missing:
        return f"needs {', '.join(missing)}: apt-get install slurmctld slurmd slurm-client munge"
    return None if os.geteuid() == 0 else "needs root: slurmd runs as root, and fake GPUs are devices"


class Cluster:
    """A running SLURM. Use as a context manager; `environment` is for the commands that should see it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = os.environ | {
            "SLURM_CONF": str(folder / "slurm.conf"),
            "PATH": f"{folder / 'bin'}:{_search_path()}",
        }

    def __enter__(self) -> "Cluster":
        self._write_configuration()
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        files = {"key-file": key, "socket": "munge.socket", "pid-file": "munged.pid", "log-file": "munged.log"}
        files["seed-file"] = "munged.seed"
        self.run("munged", "--force", *(f"--{name}={self.folder / file}" for name, file in files.items()))
        self.run("slurmctld", "-f", self.environment["SLURM_CONF"])
        for node in NODES:
            self.start_node(node)
        self._wait_until_idle()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(subprocess.SubprocessError):
            self.run("scancel", "--user=root", check=False)
            time.sleep(1)
        for name in (*(f"slurmd-{node}" for node in NODES), "slurmctld", "munged"):
            self._kill(name, signal.SIGTERM)
        self._wait_until_gone()

    def run(self, *words: str, check: bool = True) -> str:
        """Output of one of SLURM's commands."""
        result = subprocess.run(words, capture_output=True, text=True, env=self.environment, timeout=60)
        if check and result.returncode != 0:
            raise RuntimeError(f"{' '.join(words)} failed: {result.stderr}\n{self.logs()}")
        return result.stdout

    def start_node(self, node: str) -> None:
        """Start a node's daemon."""
        self.run("slurmd", "-f", self.environment["SLURM_CONF"], "-N", node)

    def kill_node(self, node: str) -> None:
        """Kill a node's daemon and all of its job steps, as when its power fails."""
        self._kill(f"slurmd-{node}", signal.SIGKILL)
        (self.folder / f"slurmd-{node}.pid").unlink()
        for job in self.run("squeue", "--noheader", "--nodelist", node, "--format=%A").split():
            _kill_processes_of_job(job)

    def jobs(self, layout: str = "%A %T %k") -> list[str]:
        """A line for each job that the controller remembers, finished ones too; `layout` as squeue's --format."""
        return self.run("squeue", "--noheader", "--states=all", f"--format={layout}").splitlines()

    def logs(self) -> str:
        """The end of every daemon's log, for a test that failed."""
        return "\n".join(f"== {path.name}\n{path.read_text()[-1500:]}" for path in self.folder.glob("*.log"))

    def _write_configuration(self) -> None:
        (self.folder / "state").mkdir(parents=True)
        (self.folder / "bin").mkdir()
        for number in range(2):
            os.mknod(self.folder / f"nvidia{number}", 0o600 | 0o020000, os.makedev(1, 3))  # a character device
        ports = dict(zip(("controller_port", "port_n1", "port_n2"), _free_ports(3), strict=True))
        host = socket.gethostname().split(".")[0]
        text = SLURM_CONF.format(folder=self.folder, host=host, node_timeout=NODE_TIMEOUT_SECONDS, **ports)
        (self.folder / "slurm.conf").write_text(text.lstrip())
        gres = f"NodeName={GPU_NODE} Name=gpu Type=a100 File={self.folder}/nvidia[0-1]\n"
        (self.folder / "gres.conf").write_text(gres)
        # The executor's job step drops every SLURM_ variable before it calls srun.
        shim = f'#!/bin/sh\nSLURM_CONF={self.folder}/slurm.conf exec {shutil.which("srun")} "$@"\n'
        (self.folder / "bin" / "srun").write_text(shim)
        (self.folder / "bin" / "srun").chmod(0o755)

    def _wait_until_idle(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while self.run("sinfo", "--noheader", "--Node", "--format=%t", check=False).split().count("idle") < 3:
            if time.monotonic() > deadline:
                raise RuntimeError(f"SLURM did not start within {START_SECONDS} s:\n{self.logs()}")
            time.sleep(0.3)

    def _wait_until_gone(self) -> None:
        """The daemons remove their files as they end, and write their state until then."""
        deadline = time.monotonic() + START_SECONDS
        while list(self.folder.glob("*.pid")) and time.monotonic() < deadline:
            time.sleep(0.1)

    def _kill(self, name: str, number: signal.Signals) -> None:
        path = self.folder / f"{name}.pid"
        with suppress(OSError, ValueError):
            os.kill(int(path.read_text()), number)


def _kill_processes_of_job(job: str) -> None:
    """SIGKILL to every process whose environment says that it belongs to the SLURM job, and to its step daemons."""
    import psutil

    for process in psutil.process_iter(["name", "cmdline"]):
        with suppress(psutil.Error):
            of_step = f"[{job}." in " ".join(process.info["cmdline"] or [])
            if of_step or process.environ().get("SLURM_JOB_ID") == job:
                process.kill()


def _search_path() -> str:
    """PATH with the folders of the daemons, which a user's PATH may lack."""
    return f"{os.environ['PATH']}:/usr/sbin:/sbin"


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def main() -> int:
    """Run a command inside a cluster of its own; returns its exit status."""
    problem = why_not()
    if problem or len(sys.argv) < 2:
        print(problem or "usage: python tests/slurm/cluster.py COMMAND ...", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder, Cluster(Path(folder) / "slurm") as cluster:
        return subprocess.run(sys.argv[1:], env=cluster.environment).returncode


if __name__ == "__main__":
    sys.exit(main())
