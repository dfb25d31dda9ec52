"""The outbox against the real service, through connections that break."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest
import torch
from live import LiveService, submit, worker_info

from client.leases import LeaseClient
from client.studies import StudyClient
from contract.leases import ClaimRequest, Completion, LeaseRef, Point, Release, TrialReport
from worker.cache import Cache
from worker.engine import Snapshot
from worker.holdings import Holdings
from worker.messages import Checkpoint, merged
from worker.outbox import Outbox


class Faulty(httpx2.BaseTransport):
    """The network, with faults to come: `refuse` requests that never arrive, `swallow` answers that never do."""

    def __init__(self) -> None:
        self.refuse = self.swallow = 0
        self.invalid: set[str] = set()
        self.arrived: list[str] = []
        self._network = httpx2.HTTPTransport()

    def close(self) -> None:
        self._network.close()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        if self.refuse:
            self.refuse -= 1
            raise httpx2.ConnectError("connection refused")
        if request.url.path in self.invalid:
            problem = {
                "type": "x",
                "title": "x",
                "status": 422,
                "code": "invalid-request",
                "detail": "no",
                "errors": [],
            }
            return httpx2.Response(422, json=problem)
        response = self._network.handle_request(request)
        self.arrived.append(request.url.path.rpartition("/")[2])
        if self.swallow:
            response.read()
            self.swallow -= 1
            raise httpx2.ReadTimeout("the answer was lost")
        return response


@dataclass
class Bench:
    """Two claimed trials, and an outbox for them."""

    network: Faulty
    leases: list[LeaseRef]
    holdings: Holdings
    outbox: Outbox
    studies: StudyClient
    cache: Path
    ended: list[int] = field(default_factory=list)

    def report(self, index: int, *steps: int) -> None:
        points = [Point(step=step, values={"train_loss": float(step)}) for step in steps]
        self.outbox.put(TrialReport(lease=self.leases[index], total_steps=50, steps_per_epoch=10, points=points))

    def checkpoint(self, index: int, step: int) -> None:
        tensors = {"model.weight": torch.full((3,), float(step))}
        snapshot = Snapshot("solo", 1, "ab", "cpu", step=step, tensors=tensors, counters={})
        self.outbox.put(Checkpoint(self.leases[index], snapshot))

    def kept(self, trial_id: int) -> list[tuple[str, int]]:
        """Name and step of what the service has."""
        return [(item.name, item.step) for item in self.studies.artifacts(trial_id).items]

    def complete(self, index: int) -> None:
        self.outbox.put(
            Completion(
                lease=self.leases[index],
                outcome="complete",
                metrics={"val_loss": 0.5},
                steps_done=50,
                device_seconds=1.0,
                engine="solo",
            )
        )

    def steps(self, trial_id: int) -> list[int]:
        (curve,) = self.studies.curves(1, trials=[trial_id]).curves
        return curve.steps


@pytest.fixture
def bench(service: LiveService, tmp_path: Path) -> Iterator[Bench]:
    submit(service)
    network, ended = Faulty(), []
    with LeaseClient(service.url, transport=network) as client, StudyClient(service.url) as studies:
        token = secrets.token_urlsafe(32)
        holdings = Holdings(lambda holding: ended.append(holding.lease.trial_id))
        leases = []
        for lease in client.claim(ClaimRequest(worker=worker_info(), token=token, max_trials=2)).leases:
            leases.append(LeaseRef(trial_id=lease.trial.id, attempt=lease.attempt, token=token))
            holdings.hold(leases[-1], 0.0)
        with Outbox(client, holdings, Cache(tmp_path / "cache"), linger_s=0.2) as outbox:
            network.arrived.clear()
            yield Bench(network, leases, holdings, outbox, studies, tmp_path / "cache", ended)


def test_points_of_several_trials_travel_in_one_batch(bench: Bench) -> None:
    for step in range(1, 6):
        bench.report(0, step)
        bench.report(1, step)
    assert bench.outbox.flushed(10)
    assert (bench.network.arrived, bench.steps(1), bench.steps(2)) == (["report"], [1, 2, 3, 4, 5], [1, 2, 3, 4, 5])


def test_trials_that_end_together_are_told_in_one_request_with_their_last_points(bench: Bench) -> None:
    told: list[str] = []
    bench.network.refuse = 1
    for trial in (0, 1):
        bench.report(trial, 1)
        bench.complete(trial)
        bench.outbox.put(lambda: told.append("settled"))
    assert bench.outbox.flushed(10)
    assert bench.network.arrived == ["complete"]
    assert ([bench.studies.trial(number).status for number in (1, 2)], told) == (["complete"] * 2, ["settled"] * 2)
    assert (bench.steps(1), bench.steps(2)) == ([1], [1])


def test_only_the_points_of_trials_that_end_go_with_their_results(bench: Bench) -> None:
    bench.network.refuse = 1
    bench.report(0, 1)
    bench.report(1, 1)
    bench.complete(0)
    bench.report(1, 2)
    assert bench.outbox.flushed(10)
    assert bench.network.arrived == ["report", "complete"]
    assert (bench.steps(1), bench.steps(2), bench.studies.trial(1).status) == ([1], [1, 2], "complete")


def test_a_lost_lease_costs_the_result_of_its_neighbour_and_its_points_nothing(bench: Bench) -> None:
    with LeaseClient(bench.studies.url) as other:
        other.release(Release(lease=bench.leases[0], reason="taken away"))
    bench.network.refuse = 1
    for trial in (0, 1):
        bench.report(trial, 1)
        bench.complete(trial)
    assert bench.outbox.flushed(10)
    assert (bench.steps(1), bench.steps(2)) == ([], [1])
    assert ([bench.studies.trial(number).status for number in (1, 2)], bench.ended) == (["queued", "complete"], [1])


def test_a_message_overtakes_none_of_its_own_lease(bench: Bench) -> None:
    bench.network.refuse = 1
    bench.report(0, 1)
    bench.checkpoint(0, 1)
    bench.report(1, 1)
    bench.report(0, 2)
    assert bench.outbox.flushed(10)
    assert bench.network.arrived == ["report", "checkpoint", "report"]
    assert (bench.steps(1), bench.steps(2), bench.kept(1)) == ([1, 2], [1], [("checkpoint", 1)])


def test_a_batch_holds_at_most_a_thousand_points(bench: Bench) -> None:
    bench.report(0, *range(600))
    bench.report(0, *range(600, 1200))
    assert bench.outbox.flushed(10)
    assert bench.network.arrived == ["report", "report"]


def test_an_ending_arrives_after_all_that_was_reported_before_it_however_often_the_service_is_away(
    bench: Bench,
) -> None:
    bench.network.refuse = 3
    bench.report(0, 1, 2)
    bench.complete(0)
    assert bench.outbox.flushed(10)
    assert bench.network.arrived == ["complete"]
    assert (bench.steps(1), bench.studies.trial(1).status) == ([1, 2], "complete")


def test_a_message_whose_answer_was_lost_is_sent_again_and_counts_once(bench: Bench) -> None:
    bench.network.swallow = 1
    bench.report(0, 1)
    assert bench.outbox.flushed(10)
    bench.network.swallow = 1
    bench.complete(0)
    assert bench.outbox.flushed(10)
    assert bench.network.arrived == ["report", "report", "complete", "complete"]
    assert (bench.steps(1), bench.studies.trial(1).device_seconds) == ([1], 1.0)


def test_a_lost_lease_costs_its_neighbour_in_the_batch_nothing(bench: Bench) -> None:
    with LeaseClient(bench.studies.url) as other:
        other.release(Release(lease=bench.leases[0], reason="taken away"))
    bench.report(0, 1)
    bench.report(1, 1)
    bench.complete(0)
    assert bench.outbox.flushed(10)
    assert (bench.steps(2), bench.studies.trial(1).status, bench.ended) == ([1], "queued", [1])


def test_a_result_the_service_refuses_fails_the_trial_with_the_refusal(bench: Bench) -> None:
    bench.network.invalid = {"/api/v1/leases/complete"}
    bench.complete(0)
    assert bench.outbox.flushed(10)
    assert bench.network.arrived == ["fail"]
    assert bench.holdings.of(bench.leases[0]).refused == "no"


def test_the_directive_to_stop_ends_the_trial_once(bench: Bench) -> None:
    bench.studies.stop(1)
    bench.report(0, 1)
    bench.report(0, 2)
    assert bench.outbox.flushed(10)
    assert bench.ended == [1]
    assert bench.holdings.of(bench.leases[0]).end == "its study was stopped"


def test_a_checkpoint_arrives_after_the_points_up_to_it_and_before_the_trial_is_given_back(bench: Bench) -> None:
    bench.network.refuse = 1
    bench.report(0, 1, 2)
    bench.checkpoint(0, 2)
    bench.report(0, 3)
    bench.checkpoint(0, 3)
    bench.outbox.put(Release(lease=bench.leases[0], reason="told to stop"))
    assert bench.outbox.flushed(10)
    assert bench.network.arrived[-2:] == ["checkpoint", "release"]
    assert set(bench.network.arrived[:-2]) == {"report"}
    assert bench.kept(1) == [("checkpoint", 3)]


def test_the_newest_checkpoint_of_a_trial_replaces_those_that_could_not_be_sent(bench: Bench) -> None:
    bench.network.refuse = 4
    bench.report(0, 1)
    for step in (1, 2, 3):
        bench.checkpoint(0, step)
        bench.checkpoint(1, step)
    assert bench.outbox.flushed(20)
    assert [name for name in bench.network.arrived if name != "report"] == ["checkpoint", "checkpoint"]
    assert (bench.kept(1), bench.kept(2)) == ([("checkpoint", 3)], [("checkpoint", 3)])


def test_a_trial_that_has_ended_needs_no_checkpoint_and_leaves_no_file(bench: Bench) -> None:
    bench.checkpoint(0, 1)
    assert bench.outbox.flushed(10)
    assert len(list(bench.cache.iterdir())) == 1
    bench.checkpoint(0, 2)
    bench.complete(0)
    assert bench.outbox.flushed(10)
    assert (bench.network.arrived, list(bench.cache.iterdir())) == (["checkpoint", "complete"], [])


def test_a_checkpoint_that_is_refused_or_cannot_be_written_costs_the_trial_nothing(bench: Bench) -> None:
    bench.network.invalid = {"/api/v1/trials/1/artifacts/checkpoint"}
    bench.checkpoint(0, 1)
    assert bench.outbox.flushed(10)
    for path in [*bench.cache.iterdir(), bench.cache]:
        path.unlink() if path.is_file() else path.rmdir()
    bench.checkpoint(0, 2)
    bench.complete(0)
    assert bench.outbox.flushed(10)
    assert (bench.studies.trial(1).status, bench.ended) == ("complete", [])


def test_closing_does_not_wait_for_a_service_that_is_away(bench: Bench) -> None:
    bench.network.refuse = 10**9
    bench.report(0, 1)
    assert not bench.outbox.flushed(0.5)
    bench.outbox.close()
    assert bench.outbox.pending == 1


def test_reports_of_one_lease_are_merged_in_order() -> None:
    lease = LeaseRef(trial_id=1, attempt=1, token="t" * 43)
    parts = [
        TrialReport(lease=lease, total_steps=9, steps_per_epoch=3, points=[Point(step=step, values={})])
        for step in (1, 2, 3)
    ]
    (only,) = merged(parts)
    assert [point.step for point in only.points] == [1, 2, 3]
