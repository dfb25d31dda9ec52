"""The SDK against a real service: every read of a finished study, page by page where it has pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from processes import Service

from client.errors import Conflict, InvalidRequest, NotFound, RequestRefused
from client.leases import LeaseClient
from client.studies import StudyClient
from contract.leases import Failure, LeaseRef
from contract.search import Grid
from contract.space import Choice, Space
from contract.studies import CreateStudy, StudyView
from contract.tasks import Budget, Task

STUDY = CreateStudy(
    name="three rates",
    task=Task(dataset="digits", model="mlp"),
    budget=Budget(epochs=5),
    space=Space(schedules=["constant"], lr=Choice(choice=[0.01, 0.1, 1.0])),
    search=Grid(method="grid"),
)


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[StudyClient]:
    with StudyClient(service.url) as open_client:
        yield open_client


@pytest.fixture(scope="module")
def finished(client: StudyClient, train: Callable[[int], None]) -> StudyView:
    study = client.create(STUDY)
    train(study.id)
    return client.wait(study.id, poll_s=0.05, timeout_s=20)


def test_a_finished_study_has_its_winner_and_its_trials(client: StudyClient, finished: StudyView) -> None:
    assert finished.best is not None
    assert finished.best.params == client.best(finished.id).entry.params == {"lr": 0.1}
    assert [entry.params["lr"] for entry in client.leaderboard(finished.id).items] == [0.1, 0.01, 1.0]


def test_lists_are_read_page_by_page(client: StudyClient, finished: StudyView) -> None:
    first = client.trials(finished.id, limit=2)
    rest = client.trials(finished.id, limit=2, cursor=first.next, status="complete")
    assert [row.number for row in first.items + rest.items] == [0, 1, 2]
    assert finished.id in [study.id for study in client.list().items]


def test_a_trial_has_its_attempt_and_its_curve(client: StudyClient, finished: StudyView) -> None:
    row = client.trials(finished.id, limit=1).items[0]
    assert [attempt.outcome for attempt in client.trial(row.id).attempts] == ["complete"]
    assert client.curve(row.id).curves[0].trial_id == row.id


def test_curves_are_of_the_trials_asked_for(client: StudyClient, finished: StudyView) -> None:
    asked = [row.id for row in client.trials(finished.id).items][1:]
    curves = client.curves(finished.id, trials=asked, points=10).curves
    assert sorted(curve.trial_id for curve in curves) == asked
    assert all(2 <= len(curve.steps) <= 12 for curve in curves)


def test_the_service_knows_its_workers_and_itself(client: StudyClient, finished: StudyView) -> None:
    assert "oracle" in {worker.name for worker in client.workers().items}
    assert client.ready().status == "ok"


def test_a_preview_stores_nothing(client: StudyClient) -> None:
    before = client.list(limit=1).items
    assert [one.params["lr"] for one in client.preview(STUDY).proposals] == [0.01, 0.1, 1.0]
    assert client.list(limit=1).items == before


def test_what_does_not_fit_is_refused_with_its_kind(client: StudyClient, finished: StudyView) -> None:
    with pytest.raises(NotFound):
        client.trial(2**62)
    with pytest.raises(Conflict):
        client.range_test(finished.id)
    with pytest.raises(InvalidRequest, match=r"limit: .*got 0|limit: .*\"0\""):
        client.list(limit=0)


def test_a_lease_that_was_never_given_is_lost(service: Service, client: StudyClient, finished: StudyView) -> None:
    trial_id = client.trials(finished.id, limit=1).items[0].id
    stale = Failure(lease=LeaseRef(trial_id=trial_id, attempt=1, token="x" * 43), error="boom")
    with LeaseClient(service.url) as leases, pytest.raises(RequestRefused) as refused:
        leases.fail(stale)
    assert refused.value.code == "lease-lost"
