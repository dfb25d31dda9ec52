"""The faults: what each takes away, for how long, and giving it back. All draw from one seed."""

from __future__ import annotations

import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field

import psycopg
from sqlalchemy.engine import make_url

from benchmarks.chaos.farm import Farm
from benchmarks.chaos.history import Window

PATIENCE_S = 120.0
"""SQLite's lock is given to nobody in particular: another process may have to try for long."""
RECOVERY_S = 2.0
"""After a database is back, requests that met its absence may still be on their way."""


@dataclass
class Nemesis:
    """Strikes a farm; counts what it did, and notes when the service may say that it is overloaded."""

    farm: Farm
    draw: random.Random
    done: Counter[str] = field(default_factory=Counter)
    windows: list[Window] = field(default_factory=list)
    drains: list[int | None] = field(default_factory=list)
    _frozen: dict[str, float] = field(default_factory=dict)

    def faults(self) -> list[Callable[[], None]]:
        """Those that this farm's database can suffer, beside the kill of the service."""
        if self.farm.server is None:
            return [self.hold_write_lock, self.freeze_worker, self.fill_disk, self.kill_worker, self.drain]
        return [
            self.kill_database,
            self.freeze_worker,
            self.take_connections,
            self.kill_worker,
            self.cut_connections,
            self.drain,
        ]

    def kill_service(self) -> None:
        """SIGKILL, and start it again at once."""
        self.farm.kill()
        self.done["service killed"] += 1
        self.farm.start()

    def drain(self) -> None:
        """SIGTERM: it finishes what it has begun, and turns away what comes then."""
        with self._away():
            self.drains.append(self.farm.drain())
            self.done["service drained"] += 1
            self.farm.start()

    def kill_worker(self) -> None:
        """SIGKILL of one."""
        self.farm.signal(self._someone(), signal.SIGKILL)
        self.done["worker killed"] += 1

    def freeze_worker(self) -> None:
        """SIGSTOP of one, until past its lease; `thaw` lets it go on, as a zombie."""
        name = self._someone()
        self.farm.signal(name, signal.SIGSTOP)
        self._frozen[name] = time.monotonic() + self.farm.ttl_s * self.draw.uniform(1.3, 2.5)
        self.done["worker frozen"] += 1

    def thaw(self, *, everyone: bool = False) -> None:
        """Let workers go on whose time in the ice is up."""
        for name, until in list(self._frozen.items()):
            if everyone or until <= time.monotonic():
                self.farm.signal(name, signal.SIGCONT)
                del self._frozen[name]

    def hold_write_lock(self) -> None:
        """Another process writes to the SQLite file, and takes its time to commit."""
        path = make_url(self.farm.database).database
        assert path is not None
        with closing(sqlite3.connect(path, timeout=PATIENCE_S, isolation_level=None)) as connection:
            for _ in range(5):
                connection.execute("begin immediate")
                connection.execute("update pulse set beat_at = beat_at")
                time.sleep(self.draw.uniform(0.1, 0.3))
                connection.execute("commit")
                time.sleep(0.02)
        self.done["write lock held"] += 1

    def fill_disk(self) -> None:
        """The service's files can grow no further for a moment."""
        with self._away():
            self.farm.limit_files(4_096)
            time.sleep(self.draw.uniform(0.2, 0.5))
            self.farm.limit_files(-1)
            self.done["disk full"] += 1

    def kill_database(self) -> None:
        """SIGKILL of PostgreSQL with all its processes, and start it again."""
        assert self.farm.server is not None
        with self._away():
            self.farm.server.kill()
            self.done["PostgreSQL killed"] += 1
            time.sleep(self.draw.uniform(0.0, 0.5))
            self.farm.server.start()
            while not self.farm.ready():
                time.sleep(0.02)

    def take_connections(self) -> None:
        """Take every connection that PostgreSQL has left, and hold them."""
        with self._away(), ExitStack() as held:
            with suppress(psycopg.OperationalError):
                while True:
                    held.enter_context(psycopg.connect(self.farm.database))
            self._cut()
            time.sleep(self.draw.uniform(0.2, 0.5))
            self.done["connections exhausted"] += 1

    def cut_connections(self) -> None:
        """Cut the service's connections in the middle of whatever they do."""
        with self._away():
            self._cut()
            self.done["connections cut"] += 1

    def _cut(self) -> None:
        with suppress(psycopg.OperationalError), psycopg.connect(self.farm.database, autocommit=True) as connection:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() "
                "and datname = current_database() and application_name <> 'nemesis'"
            )

    def _someone(self) -> str:
        names = [name for name, process in self.farm.workers.items() if process.is_alive() and name not in self._frozen]
        return self.draw.choice(names) if names else ""

    def _away(self) -> ExitStack:
        """Notes the time from here to the end of the block, and what comes after it, as one of overload."""
        stack, start = ExitStack(), time.monotonic()
        stack.callback(lambda: self.windows.append(Window(start, time.monotonic() + RECOVERY_S)))
        return stack
