"""Worker processes that `switchback up` runs beside the service on one machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from service import migrate
from service.access import tokens
from service.settings import Settings

NAME = "workers of `switchback up`"
GRACE_S = 5
STOP_S = GRACE_S + 10


@contextmanager
def access(settings: Settings) -> Iterator[str | None]:
    """A token for the workers started here, revoked when they have ended; None where the service asks for none."""
    with migrate.opened(settings) as database:
        with database.write() as session:
            now = database.now(session)
            left = [row.key for row in tokens.listed(session) if row.name == NAME]  # by one that was killed
            tokens.revoke(session, *left, now=now)
            token = None
            if tokens.exist(session):
                token = tokens.create(session, name=NAME, role="worker", projects=None, expires_at=None, now=now)
        try:
            yield token
        finally:
            if token is not None:
                with database.write() as session:
                    tokens.revoke(session, tokens.key_of(token), now=database.now(session))


class LocalWorkers:
    """Workers in sessions of their own: a Ctrl-C reaches them through `stop`, while the service still listens."""

    def __init__(self, url: str, count: int, token: str | None) -> None:
        environment = os.environ | ({} if token is None else {"SWITCHBACK_TOKEN": token})
        command = [str(Path(sys.executable).parent / "switchback"), "worker", "--url", url, "--grace", str(GRACE_S)]
        self._stopping = False
        self._processes = [
            subprocess.Popen([*command, "--name", f"local-{index}"], start_new_session=True, env=environment)
            for index in range(count)
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
