"""Worker processes that `switchback up` runs beside the service on one machine."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import typer

GRACE_S = 5
STOP_S = GRACE_S + 10


class LocalWorkers:
    """Workers in sessions of their own: a Ctrl-C reaches them through `stop`, while the service still listens."""

    def __init__(self, url: str, count: int) -> None:
        command = [str(Path(sys.executable).parent / "switchback"), "worker", "--url", url, "--grace", str(GRACE_S)]
        self._stopping = False
        self._processes = [
            subprocess.Popen([*command, "--name", f"local-{index}"], start_new_session=True) for index in range(count)
        ]
        for process in self._processes:
            threading.Thread(target=self._watch, args=(process,), daemon=True).start()

    def stop(self) -> None:
        """Let each finish or give back its trial; kill what is left after a while."""
        self._stopping = True
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(timeout=STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        code = process.wait()
        if not self._stopping:
            typer.echo(f"error: a worker ended with exit code {code}; studies wait until another is started", err=True)
