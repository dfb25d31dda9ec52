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
from live import AgentThread, LiveService, slow, submit, wait_until
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


SLOWLY = ("--engine", "solo", "--task", "mine:SLOW")


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
    """A service with one study of two trials of three seconds, on a task of the user's own."""
    (tmp_path / "mine.py").write_text(OWN)
    service = service_of(lease_ttl_s=3.0, sweep_s=0.1)
    submit(service, task={"dataset": "digits", "model": "slow"}, budget={"steps": 50})
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
        ("--threads", "4096", "threads: need at most the"),
    ],
)
def test_an_option_that_cannot_be_used_is_refused_by_name(option: str, value: str, said: str) -> None:
    assert said in refused(option, value)


def test_an_address_that_is_no_switchback_service_is_an_error_not_a_wait(service: LiveService) -> None:
    assert "error:" in refused("--url", f"{service.url}/elsewhere")


@pytest.mark.slow
def test_a_service_that_cannot_be_reached_is_said_once_and_asked_until_stopped(tmp_path: Path) -> None:
    with running(tmp_path, "--url", f"http://127.0.0.1:{free_port()}") as (process, log):
        wait_until(lambda: "cannot be reached" in log.read_text(), 60)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    assert log.read_text().count("cannot be reached") == 1


@pytest.mark.slow
def test_sigterm_finishes_the_trial_of_a_users_own_task_and_ends(
    slow_trial: tuple[LiveService, StudyClient], tmp_path: Path
) -> None:
    service, client = slow_trial
    with running(tmp_path, "--url", service.url, *SLOWLY) as (process, _):
        wait_until(lambda: client.trial(1).steps_done > 0, 60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    assert [row.status for row in client.trials(1).items] == ["complete", "queued"]


@pytest.fixture
def own_signals() -> Iterator[None]:
    """This process's handlers, put back afterwards."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("own_signals")
def test_a_second_signal_gives_the_trial_back_at_once(service: LiveService) -> None:
    submit(service, task={"dataset": "digits", "model": "slow"}, budget={"steps": 500})
    with AgentThread(service, registry=slow(0.05)) as agent, StudyClient(service.url) as client:
        wait_until(lambda: client.trial(1).status == "leased")
        commands._drain_on_signals(agent.agent)
        os.kill(os.getpid(), signal.SIGTERM)
        wait_until(lambda: agent.agent.draining)
        assert client.trial(1).status == "leased"
        os.kill(os.getpid(), signal.SIGINT)
        agent.join(10)
        assert client.trial(1).attempts[0].outcome == "preempted"


def test_a_killed_worker_takes_its_heartbeat_along_and_the_trial_is_queued_again(
    slow_trial: tuple[LiveService, StudyClient], tmp_path: Path
) -> None:
    service, client = slow_trial
    with running(tmp_path, "--url", service.url, *SLOWLY) as (process, _):
        wait_until(lambda: client.trial(1).steps_done > 0, 60)
        os.kill(process.pid, signal.SIGKILL)
        wait_until(lambda: client.trial(1).status == "queued", 30)
    assert client.trial(1).attempts[0].outcome == "lost"


@pytest.mark.slow
def test_a_worker_that_was_frozen_past_its_lease_writes_nothing_and_says_so(
    slow_trial: tuple[LiveService, StudyClient], tmp_path: Path
) -> None:
    service, client = slow_trial
    own = (*SLOWLY, "--stall", "6", "--max-trials", "1")
    with running(tmp_path, "--url", service.url, *own) as (process, log):
        wait_until(lambda: client.trial(1).steps_done > 0, 60)
        process.send_signal(signal.SIGSTOP)
        wait_until(lambda: client.trial(1).status == "queued", 30)
        with AgentThread(service, name="worker-b", registry=slow(0.0), max_trials=1) as other:
            other.join()
        process.send_signal(signal.SIGCONT)
        assert process.wait(timeout=30) == 0
    assert "its lease was lost" in log.read_text()
    assert [attempt.outcome for attempt in client.trial(1).attempts] == ["lost", "complete"]
