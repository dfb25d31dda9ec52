"""The command `switchback worker` as a process: what it says, and how it ends."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer
from live import LiveService, submit, wait_until
from processes import SWITCHBACK, free_port
from typer.testing import CliRunner

from client.studies import StudyClient
from worker import commands

OWN = """
import time
from worker.tasks import Classification, Model
from worker.tasks.digits import DIGITS
from worker.tasks.models import mlp

class Slow(Classification):
    def loss(self, *args, **options):
        time.sleep(0.05)
        return super().loss(*args, **options)

SLOW = Slow(DIGITS, Model("slow", mlp))
"""


def refused(*arguments: str) -> str:
    """What the command says when it refuses to start."""
    app = typer.Typer()
    app.command()(commands.worker)
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 2
    return result.output


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """The command as a process, standing in `folder`, and its log."""
    log = folder / "worker.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [SWITCHBACK, "worker", "--device", "cpu", *arguments], cwd=folder, stdout=out, stderr=out
        )
    try:
        yield process, log
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.fixture
def slow_trial(service_of: Callable[..., LiveService], tmp_path: Path) -> Iterator[tuple[LiveService, StudyClient]]:
    """A service with one study of two trials of four seconds, on a task of the user's own."""
    (tmp_path / "mine.py").write_text(OWN)
    service = service_of(lease_ttl_s=5.0, sweep_s=0.1)
    submit(service, task={"dataset": "digits", "model": "slow"}, budget={"steps": 80})
    with StudyClient(service.url) as client:
        yield service, client


def test_it_names_the_extra_to_install_where_torch_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else found(name))
    assert "a worker needs torch" in (said := refused())
    assert "pip install 'switchback[worker]'" in said


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--device", "warp", "device: need one that torch can use here, got 'warp'"),
        ("--url", "ftp://x", "url: must be an address such as"),
        ("--task", "nowhere", "task: need package.module:name, got 'nowhere'"),
    ],
)
def test_an_option_that_cannot_be_used_is_refused_by_name(option: str, value: str, said: str) -> None:
    assert said in refused(option, value)


def test_an_address_that_is_no_switchback_service_is_an_error_not_a_wait(service: LiveService) -> None:
    assert "error:" in refused("--url", f"{service.url}/elsewhere")


def test_a_service_that_cannot_be_reached_is_said_once_and_asked_until_stopped(tmp_path: Path) -> None:
    with running(tmp_path, "--url", f"http://127.0.0.1:{free_port()}") as (process, log):
        wait_until(lambda: "cannot be reached" in log.read_text(), 60)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    assert log.read_text().count("cannot be reached") == 1


def test_sigterm_finishes_the_trial_of_a_users_own_task_and_ends(
    slow_trial: tuple[LiveService, StudyClient], tmp_path: Path
) -> None:
    service, client = slow_trial
    with running(tmp_path, "--url", service.url, "--task", "mine:SLOW") as (process, _):
        wait_until(lambda: client.trial(1).steps_done > 0, 60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    assert [row.status for row in client.trials(1).items] == ["complete", "queued"]


def test_a_second_signal_gives_the_trial_back_at_once(
    slow_trial: tuple[LiveService, StudyClient], tmp_path: Path
) -> None:
    service, client = slow_trial
    with running(tmp_path, "--url", service.url, "--task", "mine:SLOW") as (process, log):
        wait_until(lambda: client.trial(1).steps_done > 0, 60)
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            wait_until(lambda: "stopping" in log.read_text())
        assert process.wait(timeout=10) == 0
    assert client.trial(1).attempts[0].outcome == "preempted"


def test_a_killed_worker_takes_its_heartbeat_along_and_the_trial_is_queued_again(
    slow_trial: tuple[LiveService, StudyClient], tmp_path: Path
) -> None:
    service, client = slow_trial
    with running(tmp_path, "--url", service.url, "--task", "mine:SLOW") as (process, _):
        wait_until(lambda: client.trial(1).steps_done > 0, 60)
        os.kill(process.pid, signal.SIGKILL)
        wait_until(lambda: client.trial(1).status == "queued", 30)
    assert client.trial(1).attempts[0].outcome == "lost"
