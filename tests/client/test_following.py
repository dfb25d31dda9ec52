"""Following a study: to its end, through a restart of the service, and no longer than asked."""

from __future__ import annotations

import httpx2
import pytest
from wire import client, problem, shown, view

from client.errors import NotFound, ServiceUnavailable, WaitTimeout

REFUSED = httpx2.ConnectError("Connection refused")
FAST = 0.001


def test_wait_returns_the_study_once_it_has_ended() -> None:
    reads = client(shown(view()), shown(view(complete=2)), shown(view("complete", complete=4)))
    assert reads.wait(7, poll_s=FAST).progress.complete == 4


def test_follow_yields_every_look_at_the_study() -> None:
    reads = client(shown(view()), shown(view(complete=2)), shown(view("failed", complete=2)))
    assert [seen.status for seen in reads.follow(7, poll_s=FAST)] == ["running", "running", "failed"]


def test_a_study_that_has_ended_is_read_once() -> None:
    seen: list[httpx2.Request] = []
    client(shown(view("stopped")), seen=seen).wait(7, poll_s=60)
    assert len(seen) == 1


def test_a_service_that_restarts_is_asked_again() -> None:
    told: list[ServiceUnavailable] = []
    reads = client(shown(view()), REFUSED, httpx2.Response(502), shown(view("complete")))
    assert [*reads.follow(7, poll_s=FAST, away=told.append)][-1].status == "complete"
    assert len(told) == 2


def test_a_service_that_was_never_there_is_told_at_once() -> None:
    with pytest.raises(ServiceUnavailable, match="Connection refused"):
        client(REFUSED).wait(7, poll_s=60)


def test_a_service_that_stays_away_is_given_up_after_the_patience() -> None:
    with pytest.raises(ServiceUnavailable):
        client(shown(view()), REFUSED).wait(7, poll_s=FAST, patience_s=0.02)


def test_waiting_ends_when_the_time_is_up() -> None:
    with pytest.raises(WaitTimeout, match="study 7 is still running"):
        client(shown(view())).wait(7, poll_s=60, timeout_s=0.02)


def test_waiting_ends_in_time_though_the_service_asks_for_patience() -> None:
    busy = problem(503, "overloaded", **{"retry-after": "3600"})
    with pytest.raises(WaitTimeout):
        client(shown(view()), busy).wait(7, poll_s=FAST, timeout_s=0.05)


def test_a_study_that_does_not_exist_is_not_waited_for() -> None:
    with pytest.raises(NotFound):
        client(problem(404, "not-found", "there is no study 7")).wait(7)
