"""Agents that go on where others stopped, over real HTTP: the result is that of a trial nobody interrupted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from live import AgentThread, LiveService, slow, submit, wait_until

from client.studies import StudyClient
from contract.trials import TrialView
from worker.engine import Finished, Job, Points, Solo, Steering

ONE = {
    "task": {"dataset": "digits", "model": "slow"},
    "budget": {"steps": 60},
    "space": {"schedules": ["constant"], "lr": 0.1},
}


def seen(service: LiveService, trial_id: int) -> tuple[TrialView, list[int], dict[str, list[float | None]]]:
    with StudyClient(service.url) as client:
        trial = client.trial(trial_id)
        (curve,) = client.curves(trial.study_id, trials=[trial_id]).curves
    return trial, curve.steps, curve.values


def undisturbed(trial: TrialView) -> tuple[dict[str, float], list[int], dict[str, list[float | None]]]:
    """What the engine says of the trial, trained from beginning to end."""
    task = slow(0.0).task("digits/slow")
    job = Job(id=1, task=task, schedule=trial.schedule, steps=60, seed=trial.seed)
    events = list(Solo(torch.device("cpu")).run([job], Steering()))
    points = [event for event in events if isinstance(event, Points)]
    names = {name for point in points for name in point.values}
    assert isinstance(events[-1], Finished)
    curve = {name: [point.values.get(name) for point in points] for name in names}
    return dict(events[-1].metrics), [point.step for point in points], curve


def interrupted(service: LiveService, cache: Path, **settings: Any) -> None:
    """Train the first trial for a while, and stop."""
    submit(service, **ONE)
    with AgentThread(service, registry=slow(0.02), cache=cache, grace_s=0.0, **settings) as agent:
        with StudyClient(service.url) as client:
            wait_until(lambda: client.trial(1).steps_done >= 24)
        agent.agent.drain()
        agent.join()


@pytest.mark.parametrize("machine", ["another", pytest.param("the same", marks=pytest.mark.slow)])
def test_a_drained_workers_trial_goes_on_where_it_was(service: LiveService, tmp_path: Path, machine: str) -> None:
    interrupted(service, tmp_path / "a")
    cache = tmp_path / ("a" if machine == "the same" else "b")
    with AgentThread(service, name="worker-b", registry=slow(0.0), cache=cache, max_trials=1) as second:
        second.join()
    trial, steps, values = seen(service, 1)
    assert (trial.metrics, steps, values) == undisturbed(trial)
    first, last = trial.attempts
    assert (first.outcome, last.outcome) == ("preempted", "complete")
    assert last.resumed_from in range(24, 60)
    assert list(cache.iterdir()) == []


def test_a_paused_studys_trial_is_kept_and_given_back(service_of: Callable[..., LiveService], tmp_path: Path) -> None:
    service = service_of(lease_ttl_s=3.0)
    submit(service, **ONE | {"budget": {"steps": 2_000}})
    with AgentThread(service, registry=slow(0.02), cache=tmp_path / "a"), StudyClient(service.url) as client:
        wait_until(lambda: client.trial(1).steps_done >= 8)
        client.pause(1)
        wait_until(lambda: client.trial(1).status == "queued")
        (kept,), (attempt,) = client.artifacts(1).items, client.trial(1).attempts
    assert (kept.name, attempt.outcome, attempt.reason) == ("checkpoint", "preempted", "its study was paused")
    assert kept.step >= 8


def damage(cache: Path) -> None:
    (file,) = cache.iterdir()
    file.write_bytes(file.read_bytes()[:-1])


@pytest.mark.slow
def test_a_damaged_file_of_ones_own_is_fetched_again(service: LiveService, tmp_path: Path) -> None:
    interrupted(service, tmp_path / "a")
    damage(tmp_path / "a")
    with AgentThread(service, registry=slow(0.0), cache=tmp_path / "a", max_trials=1) as second:
        second.join()
    trial, *curve = seen(service, 1)
    assert trial.attempts[-1].resumed_from is not None
    assert (trial.metrics, *curve) == undisturbed(trial)


@pytest.mark.slow
def test_without_checkpoints_the_trial_is_trained_again_from_its_beginning(
    service: LiveService, tmp_path: Path
) -> None:
    interrupted(service, tmp_path / "a", checkpoint_every_s=0.0)
    with AgentThread(service, registry=slow(0.0), max_trials=1) as second:
        second.join()
    trial, *curve = seen(service, 1)
    assert trial.attempts[-1].resumed_from is None
    assert (trial.metrics, *curve) == undisturbed(trial)


@pytest.mark.slow
def test_a_checkpoint_of_another_version_is_refused_and_the_curve_is_the_new_one(
    service: LiveService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    interrupted(service, tmp_path / "a")
    monkeypatch.setattr("worker.engine.training.VERSION", 2)
    with AgentThread(service, registry=slow(0.0), max_trials=1) as second:
        second.join()
    trial, *curve = seen(service, 1)
    assert trial.attempts[-1].resumed_from is None
    assert (trial.metrics, *curve) == undisturbed(trial)
    assert "the engine's version was 1, and here is 2" in caplog.text
