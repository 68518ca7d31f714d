"""A SLURM cluster of one node, this machine, with a user's rights and no cgroups: from Debian's slurm-wlm and munge."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
LIMIT = 240.0
"""Seconds after which what does not come is given up."""
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin"])
"""As in a shell where the environment of these tests is active; daemons are in a folder that users do not search."""
CONFIGURATION = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser={user}
SlurmdUser={user}
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_interval=1
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=16 RealMemory=65536 Gres=gpu:4
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""
"""What a node has is what is said here, whatever the machine has: four jobs of the script find a place."""
DEVICES = "".join(f"Name=gpu File=/dev/{name}\n" for name in ("null", "zero", "full", "random"))
"""A GPU is any device file."""
USER = pwd.getpwuid(os.geteuid()).pw_name


def missing() -> list[str]:
    """The programs that a cluster takes and this machine has not."""
    return [name for name in ("munged", "slurmctld", "slurmd", "sbatch") if shutil.which(name, path=PATH) is None]


def until(condition: Callable[[], T | None], failure: Callable[[], str]) -> T:
    """Wait for a condition, within the limit, and give what it gave."""
    end = time.monotonic() + LIMIT
    while not (given := condition()):
        assert time.monotonic() < end, failure()
        time.sleep(0.05)
    return given


@dataclass(frozen=True)
class Cluster:
    """A running cluster."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """A login shell's: nothing of a job that the tests themselves may be."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "SBATCH", "SRUN"))}
        return own | {"PATH": PATH, "SLURM_CONF": str(self.folder / "slurm.conf")}

    def call(self, *words: str, cwd: Path | None = None, **environment: str) -> str:
        """What one of SLURM's commands says."""
        done = subprocess.run(
            words, env=self.environment | environment, cwd=cwd, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (words, done.stderr, self.log())
        return done.stdout.strip()

    def log(self) -> str:
        """The ends of the daemons' logs."""
        return "\n".join("\n".join(path.read_text().splitlines()[-20:]) for path in self.folder.glob("*.log"))

    def jobs(self) -> list[str]:
        """The jobs that wait, run or are being ended."""
        return self.call("squeue", "--noheader", "--array", "--format=%i %T").splitlines()


@contextmanager
def _daemon(made: Cluster, *words: str) -> Iterator[None]:
    with (made.folder / f"{words[0]}.log").open("wb") as log:
        process = subprocess.Popen(words, env=made.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A cluster without jobs, and none is left when it ends."""
    folder = Path(tempfile.mkdtemp(prefix="slurm"))
    made = Cluster(folder)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o755)  # munged refuses a socket that not everybody reaches
        for name in ("state", "spool"):
            (folder / name).mkdir()
        key = folder / "munge.key"
        key.touch(0o600)
        key.write_bytes(secrets.token_bytes(128))
        with socket.socket() as one, socket.socket() as other:
            for probe in (one, other):
                probe.bind(("127.0.0.1", 0))
            controller, daemon = (probe.getsockname()[1] for probe in (one, other))
        host = socket.gethostname().partition(".")[0]
        text = CONFIGURATION.format(host=host, controller=controller, daemon=daemon, user=USER, folder=folder)
        (folder / "slurm.conf").write_text(text)
        (folder / "gres.conf").write_text(DEVICES)
        files = [f"--{name}-file={folder / file}" for name, file in (("key", key.name), ("pid", "munge.pid"))]
        files += [f"--seed-file={folder / 'munge.seed'}", f"--log-file={folder / 'munge.log'}"]
        stack.enter_context(_daemon(made, "munged", "--foreground", f"--socket={folder / 'munge.socket'}", *files))
        until((folder / "munge.socket").exists, made.log)
        stack.enter_context(_daemon(made, "slurmctld", "-D"))
        stack.enter_context(_daemon(made, "slurmd", "-D", "-N", host))
        until(lambda: _idle(made), made.log)
        try:
            yield made
        finally:
            made.call("scancel", "--full", "--signal=KILL", "--user", USER)
            made.call("scancel", "--user", USER)
            until(lambda: not made.jobs(), made.log)


def _idle(made: Cluster) -> bool:
    """Whether the controller answers and knows the node."""
    done = subprocess.run(
        ["sinfo", "--noheader", "--format=%T"], env=made.environment, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() == "idle"
