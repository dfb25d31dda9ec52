"""The agent against the real service over real HTTP."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from live import AgentThread, LiveService, slow, submit, wait_until

from client.studies import StudyClient
from contract.leases import Release
from worker.tasks import Model, assemble


def statuses(service: LiveService, study_id: int) -> list[str]:
    with StudyClient(service.url) as client:
        return [row.status for row in client.trials(study_id).items]


SLOW = {"task": {"dataset": "digits", "model": "slow"}, "budget": {"steps": 200}}


def test_a_study_is_trained_to_its_end_with_curves_and_metrics(service: LiveService) -> None:
    study_id = submit(service)
    with AgentThread(service, max_trials=2) as agent, StudyClient(service.url) as client:
        agent.join()
        best, trial = client.best(study_id), client.trial(1)
        (curve,) = client.curves(study_id, trials=[1]).curves
    assert statuses(service, study_id) == ["complete", "complete"]
    assert (trial.engine, trial.total_steps, trial.steps_done) == ("solo", 32, 32)
    assert (best.metrics["test_accuracy"] > 0.7, curve.steps[-1]) == (True, 32)


def test_an_idle_worker_ends_when_asked_to(service: LiveService) -> None:
    with AgentThread(service, exit_when_idle_s=0.3) as agent:
        agent.join(10)
    assert agent.result == 0


def test_nothing_is_claimed_before_somebody_can_renew_it(
    service: LiveService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study_id, late = submit(service), tmp_path / "late"
    late.write_text(f'#!/bin/sh\nuntil [ -e {tmp_path}/go ]; do sleep 0.05; done\nexec {sys.executable} "$@"\n')
    late.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(late))  # the heartbeat process is slow to start
    with AgentThread(service, max_trials=1) as agent:
        time.sleep(0.5)
        assert statuses(service, study_id) == ["queued", "queued"]
        (tmp_path / "go").touch()
        agent.join(100)
    assert statuses(service, study_id) == ["complete", "queued"]


def test_a_drained_worker_finishes_the_trial_it_has_and_claims_no_other(service: LiveService) -> None:
    study_id = submit(service, **SLOW | {"budget": {"steps": 40}})
    with AgentThread(service, registry=slow(0.01)) as agent:
        wait_until(lambda: "leased" in statuses(service, study_id))
        agent.agent.drain()
        agent.join()
    assert statuses(service, study_id) == ["complete", "queued"]


def test_a_worker_out_of_grace_gives_its_trial_back_at_once(service: LiveService) -> None:
    study_id = submit(service, **SLOW)
    with AgentThread(service, registry=slow(0.1), grace_s=0.2) as agent, StudyClient(service.url) as client:
        wait_until(lambda: client.trial(1).status == "leased")
        agent.agent.drain()
        agent.join(5)
        (attempt,) = client.trial(1).attempts
    assert statuses(service, study_id) == ["queued", "queued"]
    assert (attempt.outcome, attempt.reason) == ("preempted", "the worker was told to stop")


def test_the_trial_of_a_stopped_study_is_stopped_and_cancelled(service_of: Callable[..., LiveService]) -> None:
    service = service_of(lease_ttl_s=3.0)
    study_id = submit(service, **SLOW)
    with AgentThread(service, registry=slow(0.05)), StudyClient(service.url) as client:
        wait_until(lambda: client.trial(1).steps_done > 0)
        client.stop(study_id)
        wait_until(lambda: client.trial(1).status == "cancelled", 5)
    assert statuses(service, study_id) == ["cancelled", "cancelled"]


def test_a_diverged_trial_is_a_result_with_its_reason(service: LiveService) -> None:
    submit(service, space={"schedules": ["constant"], "lr": {"choice": [1e6]}})
    with AgentThread(service, max_trials=1) as agent, StudyClient(service.url) as client:
        agent.join()
        trial = client.trial(1)
    assert trial.status == "diverged"
    assert "train_loss is" in str(trial.reason)


def test_what_the_users_task_raises_fails_the_trial_with_its_words(service: LiveService) -> None:
    def broken(_: object) -> Any:
        raise RuntimeError("the weights are on the moon")

    registry = assemble()
    registry.add(Model("broken", broken), origin="test")
    submit(service, task={"dataset": "digits", "model": "broken"}, limits={"max_retries": 0})
    with AgentThread(service, registry=registry, max_trials=1) as agent, StudyClient(service.url) as client:
        agent.join()
        trial = client.trial(1)
    assert trial.status == "failed"
    assert str(trial.reason).startswith("RuntimeError: the weights are on the moon")


def test_training_goes_on_while_the_service_is_away_and_everything_arrives_afterwards(service: LiveService) -> None:
    study_id = submit(service, **SLOW | {"budget": {"steps": 60}, "space": {"schedules": ["constant"], "lr": 0.1}})
    with AgentThread(service, registry=slow(0.02), max_trials=1) as agent:
        wait_until(lambda: statuses(service, study_id) == ["leased"])
        service.stop()
        time.sleep(1.5)
        assert agent.result is None  # it has trained, and waits for somebody to tell
        service.start()
        agent.join()
    with StudyClient(service.url) as client:
        trial, (curve,) = client.trial(1), client.curves(study_id, trials=[1]).curves
    assert (trial.status, len(trial.attempts), agent.result) == ("complete", 1, 0)
    assert curve.steps == [8, 16, 24, 32, 40, 48, 56, 60]


def test_a_worker_whose_trial_was_given_to_another_stops_and_the_other_completes(service: LiveService) -> None:
    submit(service, **SLOW | {"budget": {"steps": 120}, "space": {"schedules": ["constant"], "lr": 0.1}})
    with AgentThread(service, registry=slow(0.03), max_trials=1) as first, StudyClient(service.url) as client:
        wait_until(lambda: client.trial(1).steps_done > 0)
        (stolen,) = first.lease_refs()
        first.client.release(Release(lease=stolen, reason="taken away by the test"))
        with AgentThread(service, name="worker-b", registry=slow(0.0), max_trials=1) as second:
            second.join()
        first.join()
        attempts = client.trial(1).attempts
    assert [attempt.outcome for attempt in attempts] == ["preempted", "complete"]
    assert [attempt.worker for attempt in attempts] == ["worker-a", "worker-b"]


def test_a_worker_without_its_heartbeat_process_asks_by_itself_when_its_lease_has_run_out(
    service_of: Callable[..., LiveService],
) -> None:
    service = service_of(lease_ttl_s=1.0, sweep_s=60.0)
    submit(service, **SLOW | {"budget": {"steps": 120}, "space": {"schedules": ["constant"], "lr": 0.1}})
    with AgentThread(service, registry=slow(0.02), max_trials=1, stall_s=1e-9) as agent:
        agent.join()
    with StudyClient(service.url) as client:
        trial = client.trial(1)
    assert (trial.status, len(trial.attempts)) == ("complete", 1)
