"""The demo finds a port, tells why a service did not start, and leaves no process behind."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

DEMO = Path(__file__).parents[2] / "examples" / "demo.py"
STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.fork()
os.write(1, b"%d\\n" % os.getpid())  # one write, or two processes mix their lines
time.sleep(600)
"""


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo", DEMO)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_port_that_is_taken_is_passed_over(demo: ModuleType) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        assert taken < demo.free_port(taken) < taken + 100


def test_a_service_that_ends_at_once_is_told_with_its_log(demo: ModuleType, tmp_path: Path) -> None:
    log = tmp_path / "switchback.log"
    with (
        log.open("wb") as output,
        subprocess.Popen([sys.executable, "-c", "exit('disk full')"], stderr=output) as ended,
        pytest.raises(SystemExit, match=r"(?s)did not start.*disk full"),
    ):
        demo.wait_until_ready(f"http://127.0.0.1:{demo.free_port(18765)}", ended, log)


def test_processes_that_do_not_listen_are_ended_all_the_same(demo: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "STOP_S", 0.2)
    command = [sys.executable, "-c", STUBBORN]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        try:
            family = [int(process.stdout.readline()) for _ in range(2)]
        finally:
            demo.end(process)
    assert process.returncode == -signal.SIGKILL
    assert all(map(_gone, family))


def _gone(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
                return True
            os.kill(pid, 0)
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.02)
    return False
