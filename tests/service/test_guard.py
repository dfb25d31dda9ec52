"""A web page cannot reach the service, and a huge body cannot fill it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from desk import definition
from fastapi.testclient import TestClient
from processes import serve

from service.guard import MAX_BODY

STUDIES = "/api/v1/studies"


@pytest.fixture
def database_url(tmp_path: object) -> str:
    """These answers come from no table: one database is enough."""
    return f"sqlite:///{tmp_path}/switchback.db"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "", "["])
def test_a_request_for_a_foreign_host_is_refused_whatever_the_method(http: TestClient, host: str) -> None:
    answers = [http.request(method, STUDIES, headers={"Host": host}) for method in ("GET", "POST", "OPTIONS")]
    assert {answer.status_code for answer in answers} <= {400, 421}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8765", "[::1]:8765", "LOCALHOST"])
def test_a_request_for_loopback_is_answered(http: TestClient, host: str) -> None:
    assert http.get(STUDIES, headers={"Host": host}).status_code == 200


FOREIGN = ["https://evil.example", "null", "http://localhost.evil.example", "http://[", "http://localhost:3000", ""]


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_request_from_a_foreign_page_is_refused_even_to_read(http: TestClient, origin: str) -> None:
    answer = http.get(STUDIES, headers={"Host": "localhost:8765", "Origin": origin})
    assert (answer.status_code, answer.json()["code"]) == (403, "origin-not-allowed")


@pytest.mark.parametrize("place", ["localhost:8765", "127.0.0.1:8765", "[::1]:8765", "localhost"])
def test_the_services_own_page_may_call_it(http: TestClient, place: str) -> None:
    headers = {"Host": place, "Origin": f"http://{place}"}
    assert http.get(STUDIES, headers=headers).status_code == 200


def test_a_page_of_another_port_of_the_machine_cannot_stop_a_study(http: TestClient) -> None:
    study = http.post(STUDIES, json=definition().model_dump(mode="json")).json()["id"]
    # A POST without a body is one a browser sends across origins without asking first.
    headers = {"Host": "localhost:8765", "Origin": "http://localhost:3000"}
    assert http.post(f"{STUDIES}/{study}/stop", headers=headers).status_code == 403
    assert http.get(f"{STUDIES}/{study}").json()["status"] == "running"


def test_a_body_over_the_limit_is_refused_by_its_declared_length(http: TestClient) -> None:
    answer = http.post(STUDIES, content=b" " * (MAX_BODY + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")


def test_a_body_over_the_limit_is_refused_while_it_streams(http: TestClient) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(MAX_BODY // 65_536 + 2):
            yield b" " * 65_536

    answer = http.post(STUDIES, content=chunks(), headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")


def test_an_address_that_others_reach_needs_the_names_it_is_called_by() -> None:
    done = serve("--host", "0.0.0.0", "--port", "0")
    assert (done.returncode, "--allow-host" in done.stderr) == (2, True)
