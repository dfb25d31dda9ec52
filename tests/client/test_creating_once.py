"""The SDK creates a study once, however often it has to send it, and changes the version it has seen."""

from __future__ import annotations

import httpx2
import pytest
from processes import Service
from wire import client, problem, shown, view

from client import studies
from client.errors import Changed, ServiceUnavailable
from client.studies import StudyClient
from contract.studies import CreateStudy

STUDY = view().definition


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studies.time, "sleep", lambda seconds: None)


@pytest.mark.parametrize(
    "fault",
    [
        httpx2.ReadTimeout("slow"),
        httpx2.RemoteProtocolError("Server disconnected"),
        problem(503, "overloaded", "busy"),
        problem(409, "in-flight", "being worked on"),
    ],
)
def test_a_creation_whose_answer_was_lost_is_sent_again_with_its_key(fault: httpx2.Response | Exception) -> None:
    seen: list[httpx2.Request] = []
    made = client(fault, fault, shown(view()), seen=seen).create(STUDY)
    assert made.id == 7
    assert len({request.headers["Idempotency-Key"] for request in seen}) == 1
    assert len(seen) == 3


def test_a_creation_that_never_left_is_not_sent_again() -> None:
    seen: list[httpx2.Request] = []
    with pytest.raises(ServiceUnavailable):
        client(httpx2.ConnectError("Connection refused"), seen=seen).create(STUDY)
    assert len(seen) == 1


def test_a_creation_is_given_up_with_the_last_word_of_the_service() -> None:
    with pytest.raises(ServiceUnavailable, match="busy"):
        client(problem(503, "overloaded", "busy")).create(STUDY)


def test_two_creations_have_keys_of_their_own() -> None:
    seen: list[httpx2.Request] = []
    both = client(shown(view()), seen=seen)
    both.create(STUDY)
    both.create(STUDY)
    assert len({request.headers["Idempotency-Key"] for request in seen}) == 2


def test_a_study_is_paused_resumed_and_stopped_at_the_version_that_was_seen(service: Service) -> None:
    grid = {"schedules": ["constant"], "lr": {"choice": [0.1]}}
    task = {"dataset": "digits", "model": "nobodys"}
    study = {"name": "changes", "task": task, "budget": {"steps": 20}, "space": grid, "search": {"method": "grid"}}
    with StudyClient(service.url) as reads:
        made = reads.create(CreateStudy.model_validate(study), key="of-my-own")
        assert reads.create(CreateStudy.model_validate(study), key="of-my-own").id == made.id
        paused = reads.pause(made.id, version=made.version)
        with pytest.raises(Changed):
            reads.stop(made.id, version=made.version)
        assert reads.resume(made.id, version=paused.version).status == "running"
        assert reads.stop(made.id).status == "stopped"
