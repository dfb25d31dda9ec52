"""Worker processes killed in the middle of training, over real HTTP: the trial ends as if nobody had been."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from processes import Service, Workers

from client.errors import ServiceUnavailable
from client.studies import StudyClient
from contract.studies import CreateStudy
from contract.trials import TrialView

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]

STEPS = 1_200
"""So many that a kill which comes late, on a busy machine, still comes before the end."""
SLOW = """
import time
from worker.tasks import Classification, Model
from worker.tasks.digits import DIGITS
from worker.tasks.models import mlp

class Slow(Classification):
    def loss(self, *args, **options):
        time.sleep(0.01)
        return super().loss(*args, **options)

SLOW = Slow(DIGITS, Model("slow", mlp))
"""
STUDY: dict[str, Any] = {
    "name": "one trial",
    "task": {"dataset": "digits", "model": "slow", "averaging": [{"kind": "ema"}]},
    "budget": {"steps": STEPS},
    "space": {"schedules": ["onecycle"], "lr": 0.05},
    "search": {"method": "grid"},
    "objective": {"metric": "val_loss_ema"},
    "limits": {"max_lost": 100},
}


@dataclass
class Bench:
    service: Service
    client: StudyClient
    folder: Path
    workers: int = 0

    def work(self, *options: str) -> Workers:
        """A worker on a machine of its own: nothing of an earlier one's disk is there."""
        self.workers += 1
        folder = self.folder / str(self.workers)
        folder.mkdir()
        own = ("--task", "slow_digits:SLOW", "--only", "digits/*", "--cache", str(folder / "cache"))
        return Workers(self.service.url, folder, 1, *own, *options)

    def until(self, holds: Callable[[], object]) -> None:
        give_up_at = time.monotonic() + 600
        while time.monotonic() < give_up_at:
            with suppress(ServiceUnavailable):  # a busy machine may let an answer wait for long
                if holds():
                    return
            time.sleep(0.05)
        raise AssertionError("waited in vain")

    def killed(self, when: Callable[[TrialView], object], *options: str) -> None:
        """A worker that is killed, with its machine so to say, as soon as `when`; wait until the service knows."""
        with self.work(*options) as worker:
            self.until(lambda: when(self.client.trial(1)))
            worker.processes[0].send_signal(signal.SIGKILL)
            worker.processes[0].wait()
        self.until(lambda: self.client.trial(1).status == "queued")

    def checkpoints(self) -> list[int]:
        return [item.step for item in self.client.artifacts(1).items]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    (tmp_path / "slow_digits.py").write_text(SLOW)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    service = Service(f"sqlite:///{tmp_path}/switchback.db", tmp_path, "--lease-ttl", "10", "--sweep", "0.2")
    with service, StudyClient(service.url) as client:
        client.create(CreateStudy.model_validate(STUDY))
        yield Bench(service, client, tmp_path)


Result = tuple[dict[str, float], dict[int, dict[str, float]]]


def undisturbed(bench: Bench) -> Result:
    """The same trial once more, trained by one worker from its beginning to its end."""
    again = bench.client.create(CreateStudy.model_validate(STUDY)).id
    with bench.work("--max-trials", "1"):
        bench.client.wait(again, timeout_s=600)
    return result(bench.client, again)


def result(client: StudyClient, study: int) -> Result:
    """Metrics and points of the only trial of a study."""
    (row,) = client.trials(study).items
    return client.trial(row.id).metrics, reported(client, study, row.id)


def ended(trial: TrialView, *, kills: int) -> str:
    """How the last attempt ended; on a loaded machine more are lost than were killed, by short leases."""
    *lost, last = [attempt.outcome for attempt in trial.attempts]
    assert set(lost) == {"lost"}
    assert len(lost) >= kills
    return last


def reported(client: StudyClient, study: int, trial: int) -> dict[int, dict[str, float]]:
    (curve,) = client.curves(study, trials=[trial], points=5_000).curves
    assert len(set(curve.steps)) == len(curve.steps)
    rows = [{name: values[at] for name, values in curve.values.items()} for at in range(len(curve.steps))]
    return {
        step: {name: value for name, value in row.items() if value is not None}
        for step, row in zip(curve.steps, rows, strict=True)
    }


def test_killed_before_and_behind_a_checkpoint_a_trial_ends_bit_for_bit_as_if_undisturbed(bench: Bench) -> None:
    bench.killed(lambda trial: trial.steps_done > 0, "--checkpoint-every", "100")
    first: list[int] = []

    def between_two(trial: TrialView) -> bool:
        first.extend(bench.checkpoints())
        return len(first) > 0 and trial.steps_done > first[0]

    bench.killed(between_two, "--checkpoint-every", "0.3")
    with bench.work("--max-trials", "1"):
        bench.client.wait(1, timeout_s=600)
    trial = bench.client.trial(1)
    assert ended(trial, kills=2) == "complete"
    assert trial.attempts[-1].resumed_from is not None
    assert result(bench.client, 1) == undisturbed(bench)


def test_killed_at_six_moments_nobody_chose_a_trial_ends_bit_for_bit_as_if_undisturbed(bench: Bench) -> None:
    chance = random.Random(0)
    for _ in range(6):
        target = bench.client.trial(1).steps_done + chance.randint(1, 50)
        bench.killed(lambda trial, target=target: trial.steps_done >= target, "--checkpoint-every", "0.05")
    with bench.work("--max-trials", "1"):
        bench.client.wait(1, timeout_s=600)
    trial = bench.client.trial(1)
    assert ended(trial, kills=6) == "complete"
    assert result(bench.client, 1) == undisturbed(bench)
