"""The product's own processes, started as a user starts them and killed as a machine kills them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx2

READY_S = 300.0
"""A machine that is busy with other things is slow, not broken; a test's own time is shorter where that matters."""
SWITCHBACK = str(Path(sys.executable).parent / "switchback")


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serve(*options: str) -> subprocess.CompletedProcess[str]:
    """Run `switchback serve` where it is expected to refuse."""
    return subprocess.run([SWITCHBACK, "serve", *options], capture_output=True, text=True, timeout=60, check=False)


class Service:
    """`switchback serve` on one port, which a restart takes again."""

    def __init__(self, database: str, folder: Path, *options: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "service.log"
        kept = ["--database", database, "--artifacts", str(folder / "artifacts")]
        self._command = [SWITCHBACK, "serve", *kept, "--port", str(self.port), *options]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return once the service answers that it is ready."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        until = time.monotonic() + READY_S
        while time.monotonic() < until:
            try:
                if httpx2.get(f"{self.url}/readyz", timeout=10).status_code == 200:
                    return
            except httpx2.TransportError:
                pass
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        self.kill()
        raise AssertionError(f"the service did not become ready:\n{self.log.read_text()}")

    def kill(self) -> None:
        """SIGKILL: no goodbye."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(timeout=20)


class Workers:
    """`switchback worker`, `count` times."""

    def __init__(self, url: str, folder: Path, count: int = 1, *options: str) -> None:
        self.logs = [folder / f"worker-{index}.log" for index in range(count)]
        self._commands = [
            [SWITCHBACK, "worker", "--url", url, "--name", f"worker-{index}", "--device", "cpu", *options]
            for index in range(count)
        ]
        self.processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        for command, path in zip(self._commands, self.logs, strict=True):
            with path.open("ab") as log:
                self.processes.append(subprocess.Popen(command, stdout=log, stderr=log, env=os.environ))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
