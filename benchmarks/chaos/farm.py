"""The processes under test: a service, its workers, a bad network, and PostgreSQL; started, killed, frozen, started.

All are forked from one warm interpreter, so that a restart takes what the service itself needs and no more.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import socket
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import httpx2

from benchmarks.chaos import proxy, worker
from benchmarks.chaos.mutants import MUTANTS
from client.studies import StudyClient

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["pytest"] * ("pytest" in sys.modules) + ["service.commands", "client.cli", __name__])
READY_S, ANSWER_S, LEAVE_S = 300.0, 10.0, 60.0
"""A machine that is busy with other things is slow, not broken."""


class Server(Protocol):
    """A database server that can be killed."""

    def start(self) -> None: ...
    def kill(self) -> None: ...


class Farm:
    """A service over the database at `url`, on a port it keeps; half of the workers reach it over the bad network."""

    def __init__(
        self, folder: Path, url: str, server: Server | None, *, ttl_s: float, sweep_s: float, mutant: str | None = None
    ) -> None:
        self.folder, self.database, self.server = folder, url, server
        self.ttl_s, self.sweep_s, self.mutant = ttl_s, sweep_s, mutant
        self.artifacts = str(folder / "artifacts")
        self.port, self.bad_port = _free_port(), _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.studies, self._probe = StudyClient(self.url), httpx2.Client(base_url=self.url, timeout=ANSWER_S)
        self.workers: dict[str, BaseProcess] = {}
        self.restarts_s: list[float] = []
        self.service: BaseProcess | None = None
        self._network = self._fork(proxy.run, self.bad_port, self.port, 1)
        self._hired = 0

    def start(self) -> None:
        """Return once the service answers that it is ready."""
        begun = time.monotonic()
        options = ["--database", self.database, "--port", str(self.port), "--log-level", "warning", "--log-json"]
        options += ["--artifacts", self.artifacts, "--lease-ttl", str(self.ttl_s), "--sweep", str(self.sweep_s)]
        self.service = self._fork(serve, options, str(self.folder / "service.log"), self.mutant)
        while not self.ready():
            if not self.service.is_alive() or time.monotonic() > begun + READY_S:
                raise AssertionError(f"the service did not become ready:\n{self.log()}")
            time.sleep(0.02)
        self.restarts_s.append(time.monotonic() - begun)

    def ready(self) -> bool:
        """Whether the service answers, and its database does."""
        try:
            return self._probe.get("/readyz").status_code == 200
        except httpx2.TransportError:
            return False

    def kill(self) -> None:
        """SIGKILL: no goodbye."""
        assert self.service is not None
        self.service.kill()
        self.service.join()

    def drain(self) -> int | None:
        """SIGTERM; the exit code, None when it had to be killed after LEAVE_S."""
        assert self.service is not None
        self.service.terminate()
        self.service.join(LEAVE_S)
        code = self.service.exitcode
        self.kill()
        return code

    def hire(self, count: int, pace_s: float) -> None:
        """Start workers until there are `count`; those killed are replaced under new names."""
        self.workers = {name: process for name, process in self.workers.items() if process.is_alive()}
        while len(self.workers) < count:
            name = f"worker-{self._hired:04}"
            url = self.url if self._hired % 2 else f"http://127.0.0.1:{self.bad_port}"
            self.workers[name] = self._fork(worker.run, name, url, str(self.folder), self.ttl_s, pace_s)
            self._hired += 1

    def signal(self, name: str, number: int) -> None:
        """Send a worker a signal; one that has ended meanwhile gets none."""
        process = self.workers.get(name)
        if process is not None and process.is_alive() and process.pid is not None:
            os.kill(process.pid, number)

    def limit_files(self, size: int) -> None:
        """The service can write no file beyond `size` bytes, as on a full disk; -1 lifts it."""
        assert self.service is not None
        assert self.service.pid is not None
        resource.prlimit(self.service.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def log(self) -> str:
        """All that the service said."""
        path = self.folder / "service.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def dismiss(self) -> None:
        """End every worker, frozen ones too."""
        for name in self.workers:
            self.signal(name, signal.SIGCONT)
            self.signal(name, signal.SIGTERM)
        for process in self.workers.values():
            process.join(15)
            process.kill()
            process.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.dismiss()
        self.studies.close()
        self._probe.close()
        for process in (self.service, self._network):
            if process is not None:
                process.kill()
                process.join()

    def _fork(self, body: object, *arguments: object) -> BaseProcess:
        process = FORKS.Process(target=body, args=arguments, daemon=True)  # type: ignore[arg-type]
        process.start()
        return process


def serve(options: list[str], log: str, mutant: str | None) -> None:
    """The body of the service's process: the command `switchback serve`, with a fault built in when one is named."""
    from client.cli import main

    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(file, 1)
    os.dup2(file, 2)
    if mutant is not None:
        MUTANTS[mutant].install()
    sys.argv = ["switchback", "serve", *options]
    main()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
