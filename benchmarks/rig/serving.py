"""The service in a process of its own, over a fresh database of either kind, durable as in production."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import text

from benchmarks.rig.load import ask, request
from service import migrate
from service.database import Database
from service.settings import Settings
from tests.postgres import PostgresServer
from tests.processes import free_port

KINDS = ("sqlite", "postgresql")


@contextmanager
def database(kind: str, *, migrated: bool = True) -> Iterator[str]:
    """The URL of an empty database, with our schema if `migrated`: synchronous=FULL, or a PostgreSQL that syncs each
    commit.
    """
    with tempfile.TemporaryDirectory(prefix="switchback-bench-") as folder:
        if kind == "sqlite":
            url = f"sqlite:///{folder}/switchback.db"
            if migrated:
                _migrate(url)
            yield url
            return
        with PostgresServer(durable=True) as server:
            server.create("bench")
            if migrated:
                _migrate(server.url("bench"))
            yield server.url("bench")


def opened(url: str) -> Database:
    """The database in this process, to fill it before the service starts."""
    return Database(Settings(database=url))


def settle(filled: Database) -> None:
    """Leave PostgreSQL as autovacuum does, which counts the rows a while after they came.

    While it is at work on them, no change counts as settled; before it, statements are planned for an empty table.
    """
    if not filled.is_sqlite:
        with filled.writer.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))


def _migrate(url: str) -> None:
    found = opened(url)
    migrate.upgrade(found)
    found.close()


class Service:
    """`switchback serve`, ready when entered; knows what processor time it has used."""

    def __init__(self, url: str, *options: str) -> None:
        self.address = ("127.0.0.1", free_port())
        self._command = [
            str(Path(sys.executable).parent / "switchback"),
            *("serve", "--database", url, "--port", str(self.address[1]), "--log-level", "warning", *options),
        ]

    def __enter__(self) -> Service:
        root = str(Path(__file__).parents[2])
        self._process = subprocess.Popen(self._command, env={**os.environ, "PYTHONPATH": root})
        until = time.monotonic() + 300
        while time.monotonic() < until and self._process.poll() is None:
            try:
                if ask(self.address, request("GET", "/readyz")).status == 200:
                    return self
            except OSError:
                time.sleep(0.05)
        self._process.kill()
        raise RuntimeError("the service did not become ready")

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=30)

    def resident(self) -> int:
        """Bytes of memory it has now."""
        return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def cpu_s(self) -> float:
        """Processor seconds used so far, user and system."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
