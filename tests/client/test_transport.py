"""Every way the wire fails becomes the exception that says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import get_args

import httpx2
import pytest
from wire import URL, client, problem, shown, transport, view

from client.errors import (
    REFUSALS,
    InvalidRequest,
    LeaseLost,
    NoResultYet,
    NotFound,
    ServiceUnavailable,
    UnexpectedAnswer,
)
from client.http import Transport
from client.leases import LeaseClient
from contract.errors import ErrorCode, FieldError
from contract.leases import Failure, LeaseRef
from contract.studies import StudyView

LEASE = LeaseRef(trial_id=1, attempt=1, token="t" * 43)


@pytest.mark.parametrize(
    "fault",
    [
        httpx2.ConnectError("Connection refused"),
        httpx2.ConnectTimeout("slow"),
        httpx2.ReadTimeout("slow"),
        httpx2.RemoteProtocolError("Server disconnected"),
        httpx2.Response(500),
        httpx2.Response(502, text="<html>bad gateway</html>"),
        problem(503, "overloaded", "the database is busy"),
        httpx2.Response(429),
    ],
)
def test_a_service_that_is_away_is_unavailable(fault: httpx2.Response | Exception) -> None:
    with pytest.raises(ServiceUnavailable, match=r"service\.test"):
        client(fault).get(7)


@pytest.mark.parametrize(("given", "seconds"), [("7", 7.0), ("0.5", 0.5), ("-3", 0.0), ("soon", None), ("", None)])
def test_retry_after_is_read_as_seconds(given: str, seconds: float | None) -> None:
    with pytest.raises(ServiceUnavailable) as raised:
        client(problem(503, "overloaded", **{"retry-after": given})).get(7)
    assert raised.value.retry_after == seconds


def test_retry_after_is_read_as_a_date() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    with pytest.raises(ServiceUnavailable) as raised:
        client(problem(503, "overloaded", **{"retry-after": date})).get(7)
    assert raised.value.retry_after == pytest.approx(30, abs=3)


def test_each_broken_rule_is_a_line_with_field_rule_and_value() -> None:
    errors = [
        FieldError(field="search.trials", rule="must be at least 1", value="0"),
        FieldError(field="space.lr", rule="low, high: need low < high, got 2, 1", value="{}"),
        FieldError(field="task", rule="is required", value=None),
    ]
    with pytest.raises(InvalidRequest) as raised:
        client(problem(422, "invalid-request", "three things", errors)).create(view().definition)
    assert str(raised.value).splitlines() == [
        "search.trials: must be at least 1, got 0",
        "space.lr: low, high: need low < high, got 2, 1",
        "task: is required",
    ]


def test_a_problem_without_fields_says_its_detail() -> None:
    with pytest.raises(NotFound, match=r"^there is no study 7$"):
        client(problem(404, "not-found", "there is no study 7")).get(7)


def test_a_stale_lease_is_lost() -> None:
    leases = LeaseClient(URL, transport=transport(problem(409, "lease-lost", "trial 1 went to another worker")))
    with pytest.raises(LeaseLost, match="another worker"):
        leases.fail(Failure(lease=LEASE, error="boom"))


def test_a_study_without_a_winner_has_no_result_yet() -> None:
    with pytest.raises(NoResultYet):
        client(problem(409, "no-result-yet", "no trial has finished")).best(7)


def test_every_code_is_a_refusal_or_means_unavailable() -> None:
    assert set(get_args(ErrorCode)) - set(REFUSALS) == {"overloaded", "too-many-requests", "in-flight", "internal"}


@pytest.mark.parametrize(
    "answer",
    [
        httpx2.Response(404, text="<html>nginx</html>"),
        httpx2.Response(200, text="<html>hello</html>"),
        httpx2.Response(200, json={"id": 7}),
        httpx2.Response(302, headers={"location": "http://elsewhere"}),
    ],
)
def test_another_program_on_the_port_is_recognised(answer: httpx2.Response) -> None:
    with pytest.raises(UnexpectedAnswer, match="Switchback service"):
        client(answer).get(7)


def test_the_path_of_the_address_is_kept() -> None:
    seen: list[httpx2.Request] = []
    Transport("http://host.test/tuning/", transport=transport(shown(view()), seen=seen)).get("/api/v1/x", StudyView)
    assert str(seen[0].url) == "http://host.test/tuning/api/v1/x"


def test_parameters_that_are_none_are_not_sent() -> None:
    seen: list[httpx2.Request] = []
    client(httpx2.Response(200, json={"items": [], "next": None, "since": "0"}), seen=seen).trials(
        7, limit=5, status="failed"
    )
    assert dict(seen[0].url.params) == {"limit": "5", "status": "failed"}


@pytest.mark.parametrize("url", ["127.0.0.1:8765", "ftp://host", "http://", "", "http://host:x"])
def test_an_address_that_is_none_is_refused_when_given(url: str) -> None:
    with pytest.raises(ValueError, match=r"^url: "):
        Transport(url)


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan")])
def test_a_timeout_that_is_no_time_is_refused(timeout_s: float) -> None:
    with pytest.raises(ValueError, match="timeout_s: need > 0 seconds"):
        Transport(URL, timeout_s=timeout_s)
