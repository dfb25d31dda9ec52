"""An agent whose engine trains many trials at once, against the real service over real HTTP."""

from __future__ import annotations

from typing import Any

import torch
from live import AgentThread, LiveService, submit, wait_until

from client.studies import StudyClient
from worker.engine import Lanes

GRID: dict[str, Any] = {
    "space": {"schedules": ["constant", "cosine"], "lr": {"choice": [0.01, 0.02, 0.05, 0.1]}},
    "budget": {"epochs": 4},
}


def agent(service: LiveService, **settings: Any) -> AgentThread:
    return AgentThread(service, engine=Lanes(torch.device("cpu"), lanes=8), **settings)


def test_a_grid_is_claimed_at_once_under_one_token_and_every_trial_completes(service: LiveService) -> None:
    study_id = submit(service, **GRID | {"budget": {"epochs": 20}})
    with agent(service, max_trials=8) as worker, StudyClient(service.url) as client:
        wait_until(lambda: worker.agent._shift is not None and len(worker.lease_refs()) == 8)
        refs = worker.lease_refs()
        worker.join()
        rows = client.trials(study_id).items
        trials = [client.trial(row.id) for row in rows]
    assert (len({ref.trial_id for ref in refs}), len({ref.token for ref in refs})) == (8, 1)
    assert [(trial.status, trial.engine, len(trial.attempts)) for trial in trials] == [("complete", "lanes", 1)] * 8


def test_every_trial_of_an_array_has_its_own_curve_and_metrics(service: LiveService) -> None:
    study_id = submit(service, **GRID)
    with agent(service, max_trials=8) as worker, StudyClient(service.url) as client:
        worker.join()
        curves = client.curves(study_id, trials=list(range(1, 9))).curves
        losses = {client.trial(trial_id).metrics["val_loss"] for trial_id in range(1, 9)}
    assert [curve.steps[-1] for curve in curves] == [64] * 8
    assert len(losses) == 8


def test_an_array_with_a_diverging_trial_tells_it_apart_from_the_others(service: LiveService) -> None:
    rates = {"schedules": ["constant"], "lr": {"choice": [0.05, 1e6, 0.1]}}
    study_id = submit(service, **GRID | {"space": rates})
    with agent(service, max_trials=3) as worker, StudyClient(service.url) as client:
        worker.join()
        rows = client.trials(study_id).items
    assert sorted(row.status for row in rows) == ["complete", "complete", "diverged"]


def test_an_array_out_of_grace_gives_every_trial_back(service: LiveService) -> None:
    study_id = submit(service, **GRID | {"budget": {"epochs": 2_000}})
    with agent(service, grace_s=0.2) as worker, StudyClient(service.url) as client:
        wait_until(lambda: all(row.status == "leased" for row in client.trials(study_id).items))
        worker.agent.drain()
        worker.join(10)
        outcomes = [client.trial(row.id).attempts[0].outcome for row in client.trials(study_id).items]
    assert outcomes == ["preempted"] * 8
