"""The heartbeat process: a real process, real pipes, the real service."""

from __future__ import annotations

import ctypes
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from live import LiveService, submit, wait_until, worker_info
from processes import Service

from client.leases import LeaseClient
from client.studies import StudyClient
from contract.leases import ClaimRequest, LeaseRef, Release
from service import migrate
from service.access import tokens
from worker.beats import Beat
from worker.pulse import Pulse


@pytest.fixture
def service(service_of: Callable[..., LiveService]) -> LiveService:
    service = service_of(lease_ttl_s=1.0, sweep_s=0.1)
    submit(service)
    return service


class Ear:
    """Hears beats, and shows progress for as long as it is told to."""

    def __init__(self) -> None:
        self.beats: list[Beat] = []
        self.steps = 0
        self.moving = True

    def progress(self) -> int:
        self.steps += self.moving
        return self.steps


def claim(url: str) -> tuple[LeaseRef, float]:
    token = secrets.token_urlsafe(32)
    with LeaseClient(url) as client:
        (lease,) = client.claim(ClaimRequest(worker=worker_info(), token=token)).leases
    return LeaseRef(trial_id=lease.trial.id, attempt=lease.attempt, token=token), lease.ttl_s


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def pulse(service: LiveService, ear: Ear) -> Iterator[Pulse]:
    with Pulse(service.url, worker_info().id, stall_s=0.5, progress=ear.progress, on_beat=ear.beats.append) as pulse:
        wait_until(lambda: ear.beats)
        yield pulse


def status(service: LiveService, trial_id: int) -> str:
    with StudyClient(service.url) as client:
        return client.trial(trial_id).status


def test_a_held_lease_outlives_its_lifetime_and_a_dropped_one_does_not(service: LiveService, pulse: Pulse) -> None:
    lease, ttl_s = claim(service.url)
    pulse.hold(lease, ttl_s)
    time.sleep(2.5)
    assert status(service, lease.trial_id) == "leased"
    pulse.drop(lease)
    wait_until(lambda: status(service, lease.trial_id) == "queued", 5)


def test_a_worker_that_makes_no_progress_loses_its_lease(service: LiveService, pulse: Pulse, ear: Ear) -> None:
    ear.moving = False
    lease, ttl_s = claim(service.url)
    pulse.hold(lease, ttl_s)
    wait_until(lambda: status(service, lease.trial_id) == "queued", 5)
    assert ear.beats[-1].stalled


def test_a_lease_that_was_taken_away_is_told(service: LiveService, pulse: Pulse, ear: Ear) -> None:
    lease, ttl_s = claim(service.url)
    pulse.hold(lease, ttl_s)
    with LeaseClient(service.url) as other:
        other.release(Release(lease=lease, reason="taken away"))
    wait_until(lambda: any(not state.held for beat in ear.beats for state in beat.leases), 5)


def test_a_stopped_study_is_told(service: LiveService, pulse: Pulse, ear: Ear) -> None:
    lease, ttl_s = claim(service.url)
    pulse.hold(lease, ttl_s)
    with StudyClient(service.url) as client:
        client.stop(1)
    wait_until(lambda: any(state.directive == "stop" for beat in ear.beats for state in beat.leases), 5)


def test_a_service_that_is_away_is_told_and_asked_again(service: LiveService, pulse: Pulse, ear: Ear) -> None:
    lease, ttl_s = claim(service.url)
    service.stop()
    pulse.hold(lease, ttl_s)
    wait_until(lambda: ear.beats and ear.beats[-1].away, 5)
    service.start()
    wait_until(lambda: ear.beats[-1].leases and ear.beats[-1].leases[0].held, 10)


def test_a_heartbeat_process_that_is_killed_is_started_again_with_its_leases(
    service: LiveService, pulse: Pulse, ear: Ear
) -> None:
    pulse.hold(*claim(service.url))
    first = pulse.pid
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: pulse.pid != first and ear.beats[-1].leases, 10)


def test_it_ends_when_its_worker_dies(service: LiveService) -> None:
    command = [sys.executable, "-m", "worker.heartbeat", "--url", service.url, "--worker", "w" * 8, "--stall", "5"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.stdin.close()
        assert process.wait(timeout=10) == 0


def test_it_starts_without_torch() -> None:
    code = "import sys, worker.heartbeat; sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_training_that_never_lets_go_of_the_interpreter_does_not_starve_it(tmp_path: Path, ear: Ear) -> None:
    with Service(f"sqlite:///{tmp_path}/held.db", tmp_path, "--lease-ttl", "1", "--sweep", "0.1") as service:
        submit(service)
        with Pulse(service.url, "w" * 8, stall_s=60, progress=ear.progress, on_beat=ear.beats.append) as pulse:
            wait_until(lambda: ear.beats)
            lease, ttl_s = claim(service.url)
            pulse.hold(lease, ttl_s)
            ctypes.PyDLL(None).sleep(2)  # PyDLL keeps the interpreter's lock: no thread of this process runs
            with StudyClient(service.url) as client:
                assert len(client.trial(lease.trial_id).attempts) == 1


def test_the_process_renews_with_the_access_token_of_its_worker(
    service_of: Callable[..., LiveService], ear: Ear, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = service_of(auth="tokens")
    with migrate.opened(service.settings) as database, database.write() as session:
        now = database.now(session)
        token = tokens.create(session, name="rig", role="admin", projects=None, expires_at=None, now=now)
    (tmp_path / "token").write_text(token)
    monkeypatch.setenv("SWITCHBACK_TOKEN_FILE", str(tmp_path / "token"))
    submit(service)
    lease, _ = claim(service.url)
    with Pulse(service.url, worker_info().id, stall_s=60, progress=ear.progress, on_beat=ear.beats.append) as pulse:
        pulse.hold(lease, 0.3)
        wait_until(lambda: any(beat.leases for beat in ear.beats))
    assert (next(state.held for beat in ear.beats for state in beat.leases), ear.beats[0].away) == (True, None)
