"""A PostgreSQL server of the test's own, from Debian's package or whatever is on the path."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PASSWORD = "correct-horse"


def programs() -> Path | None:
    """The folder with ``initdb`` and ``pg_ctl``, or None."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "pg_ctl").exists()), None)


@dataclass(frozen=True)
class Server:
    """A server that listens on a port of this machine, as whoever may run one: it refuses root."""

    programs: Path
    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://tester:{PASSWORD}@127.0.0.1:{self.port}/postgres"

    def call(self, program: str, *arguments: str) -> None:
        as_other = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        done = subprocess.run(
            [*as_other, str(self.programs / program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # the server would keep a pipe open
            stderr=subprocess.DEVNULL,
            cwd="/",
            check=False,
        )
        assert done.returncode == 0, (program, arguments)

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self.call("pg_ctl", "-D", f"{self.folder}/data", "-w", "-o", options, "-l", f"{self.folder}/log", "start")

    def stop(self, mode: str = "fast") -> None:
        self.call("pg_ctl", "-D", f"{self.folder}/data", "-w", "-m", mode, "stop")


@contextmanager
def server() -> Iterator[Server]:
    """A running server with an empty database."""
    found = programs()
    assert found is not None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="postgres"))
    made = Server(found, folder, port)
    secret = folder / "password"
    secret.write_text(PASSWORD + "\n")
    if os.geteuid() == 0:
        owner = pwd.getpwnam("postgres")
        for path in (folder, secret):
            os.chown(path, owner.pw_uid, owner.pw_gid)
    try:
        made.call(
            "initdb", "-D", f"{folder}/data", "-U", "tester", "-A", "scram-sha-256", f"--pwfile={secret}", "--no-sync"
        )
        made.start()
        try:
            yield made
        finally:
            made.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
