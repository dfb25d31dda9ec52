"""An engine of many lanes that is given further trials while it trains, against the real service over real HTTP."""

from __future__ import annotations

import time
from typing import Any

import torch
from live import AgentThread, LiveService, slow, submit, wait_until

from client.studies import StudyClient
from contract.leases import Release
from contract.trials import TrialView
from worker.engine import Lanes

# At rates of a million a trial diverges at its first look.
SLOW = {"task": {"dataset": "digits", "model": "slow"}}


def agent(service: LiveService, lanes: int, **settings: Any) -> AgentThread:
    engine = Lanes(torch.device("cpu"), lanes=lanes)
    return AgentThread(service, engine=engine, registry=slow(0.01), **settings)


def study(service: LiveService, *rates: float, steps: int) -> int:
    rated = {"schedules": ["constant"], "lr": {"choice": list(rates)}}
    return submit(service, **SLOW, budget={"steps": steps}, space=rated)


def views(client: StudyClient, study_id: int) -> list[TrialView]:
    return [client.trial(row.id) for row in client.trials(study_id).items]


def statuses(client: StudyClient, study_id: int) -> list[str]:
    return [row.status for row in client.trials(study_id).items]


def test_a_long_trial_trains_on_while_others_come_and_go_beside_it(service: LiveService) -> None:
    study_id = study(service, 0.05, 1e6, 2e6, 3e6, steps=120)
    with agent(service, 2, max_trials=4) as worker, StudyClient(service.url) as client:
        worker.join(60)
        long, *others = views(client, study_id)
    assert (long.status, len(long.attempts), {one.status for one in others}) == ("complete", 1, {"diverged"})
    assert long.finished_at is not None
    assert all(one.started_at is not None and one.started_at < long.finished_at for one in others)
    assert len({one.started_at for one in others}) > 1


def test_a_learning_search_fills_the_lanes_with_what_it_proposes(service: LiveService) -> None:
    rates = {"schedules": ["constant"], "lr": {"low": 0.01, "high": 0.1}}
    search = {"method": "tpe", "trials": 6, "startup": 1}
    study_id = submit(service, **SLOW, budget={"steps": 60}, space=rates, search=search)
    with agent(service, 4, max_trials=6) as worker, StudyClient(service.url) as client:
        wait_until(lambda: statuses(client, study_id).count("leased") == 4)
        worker.join(60)
        trials = views(client, study_id)
    assert [one.status for one in trials] == ["complete"] * 6
    assert "quasi-random" not in {one.origin for one in trials}


def test_a_trial_that_was_taken_away_may_come_back_beside_the_one_that_trains_on(service: LiveService) -> None:
    study_id = study(service, 0.05, 0.06, steps=240)
    with agent(service, 2, max_trials=3) as worker, StudyClient(service.url) as client:
        wait_until(lambda: all(one.steps_done for one in views(client, study_id)))
        first = worker.lease_refs()[0]
        worker.client.release(Release(lease=first, reason="taken away by the test"))
        worker.join(60)
        one, other = views(client, study_id)
    assert ([attempt.outcome for attempt in one.attempts], one.status) == (["preempted", "complete"], "complete")
    assert ([attempt.outcome for attempt in other.attempts], other.status) == (["complete"], "complete")


def test_a_drained_worker_fills_no_lane_again(service: LiveService) -> None:
    study_id = study(service, 0.05, 1e6, 2e6, steps=100)
    with agent(service, 2) as worker, StudyClient(service.url) as client:
        wait_until(lambda: "leased" in statuses(client, study_id))
        worker.agent.drain()
        worker.join(60)
        assert statuses(client, study_id) == ["complete", "diverged", "queued"]


def test_training_goes_on_while_nobody_answers_a_claim_for_a_free_lane(service: LiveService) -> None:
    study_id = study(service, 0.05, 1e6, 2e6, steps=100)
    with agent(service, 2, max_trials=3) as worker:
        with StudyClient(service.url) as client:
            wait_until(lambda: "leased" in statuses(client, study_id))
        service.stop()
        polls = worker.agent._progress()
        time.sleep(1.0)
        assert worker.agent._shift is not None
        assert worker.agent._shift.steering.polls > polls
        service.start()
        worker.join(60)
    with StudyClient(service.url) as client:
        assert statuses(client, study_id) == ["complete", "diverged", "diverged"]
