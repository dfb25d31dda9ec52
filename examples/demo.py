"""Find a learning-rate schedule for real handwritten digits, from nothing to the winner, through the SDK.

Starts a service with one worker on this machine, submits a study, follows it, shows what it found, and leaves the
dashboard up until Ctrl-C. `--exit` ends after the result; `--data FOLDER` keeps the database.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console

from client.display.result import show_result
from client.display.watching import conclusion, watch
from client.errors import ServiceUnavailable
from client.studies import StudyClient
from contract.search import Tpe
from contract.space import Family, Range, Space
from contract.studies import CreateStudy
from contract.tasks import Budget, Sgd, Task

START_S = 90.0
STOP_S = 20.0

STUDY = CreateStudy(
    name="digits in eight epochs",
    task=Task(dataset="digits", model="mlp", optimizer=Sgd(momentum=0.9, nesterov=True), batch_size=64),
    budget=Budget(epochs=8),
    # Six ways to spend the same eight epochs. What is not named keeps the schedule's own default.
    space=Space(
        schedules=["cosine", "linear", "rex", "onecycle", "wsd", Family(family="step")],
        lr=Range(low=1e-3, high=1.0, log=True),
    ),
    search=Tpe(method="tpe", trials=24),
)


def main() -> int:
    """Run the demo; 0 when the study found a schedule."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--exit", action="store_true", help="end after the result instead of leaving the dashboard up")
    options.add_argument("--data", type=Path, help="folder for the database and the log; a temporary one by default")
    options.add_argument("--port", type=int, default=8765, help="port of the service; when taken, the next free one")
    given = options.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # leaves through every `finally`
    console = Console(highlight=False)
    try:
        with data_folder(given.data) as folder, switchback_up(folder, free_port(given.port), console) as url:
            found = run_study(url, console)
            if not given.exit:
                console.print("Press Ctrl-C to end.")
                signal.pause()
    except KeyboardInterrupt:
        console.print("\nEnded.")
        return 0
    return 0 if found else 1


def run_study(url: str, console: Console) -> bool:
    """Submit the study, follow it, show the result: all that a user of the SDK needs."""
    with StudyClient(url) as client:
        study = client.create(STUDY)
        begun = time.monotonic()
        ended = watch(client, study.id, console=console, poll_s=0.5)
        conclusion(ended, console)
        console.print(f"{ended.progress.complete} schedules trained in {time.monotonic() - begun:.0f} seconds\n")
        found = show_result(client, ended, console)
        console.print(f"\nDashboard: {url}/#/studies/{study.id}")
        return found


@contextmanager
def data_folder(given: Path | None) -> Iterator[Path]:
    """The folder asked for, or one that is gone afterwards."""
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="switchback-") as folder:
        yield Path(folder)


def free_port(first: int) -> int:
    """`first`, or the first port after it that nobody listens on."""
    for port in range(first, min(first + 100, 65536)):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise SystemExit(f"--port: no free port from {first} on, name another")


@contextmanager
def switchback_up(folder: Path, port: int, console: Console) -> Iterator[str]:
    """`switchback up` with one worker, ready to be used; ended, worker and all, whatever happens inside."""
    log = folder / "switchback.log"
    database = f"sqlite:///{folder.resolve()}/switchback.db"
    command = [str(Path(sys.executable).parent / "switchback"), "up", "--database", database, "--port", str(port)]
    # A session of its own: Ctrl-C reaches this process only, which then ends the service in order.
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    try:
        url = f"http://127.0.0.1:{port}"
        with console.status("Starting the service and a worker ..."):
            wait_until_ready(url, process, log)
        yield url
    finally:
        end(process)


def wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return once the service answers; a service that ended instead is an error with the end of its log."""
    deadline = time.monotonic() + START_S
    with StudyClient(url, timeout_s=2.0) as client:
        while process.poll() is None and time.monotonic() < deadline:
            try:
                client.ready()
            except ServiceUnavailable:
                time.sleep(0.1)
            else:
                return
    lines = log.read_text(errors="replace").splitlines()[-20:]
    raise SystemExit("\n".join(["The service did not start; the end of its log:", *lines]))


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask the service and its worker to end, then make sure that they have."""
    try:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=STOP_S)
    finally:  # a second Ctrl-C included
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
