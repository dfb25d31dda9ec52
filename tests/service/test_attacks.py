"""Attacks on the service, each tried on the real application; the list is in docs/security.md."""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from desk import definition, worker
from fastapi import FastAPI
from fastapi.testclient import TestClient
from listening import exchange, listening

from contract.leases import MAX_POINTS_PER_REPORT
from service.app import create_app
from service.guard import MAX_BODY
from service.settings import Settings

V1 = "/api/v1"
GRID = definition().model_dump(mode="json")
POST = b"POST /api/v1/studies HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def http(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    app = built(sqlite_template, tmp_path_factory)
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def port(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The application behind a real socket, its patience shortened."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("bodies.IDLE_S", "bodies.TOTAL_S", "serving.HEADERS_S", "serving.KEEP_ALIVE_S"):
            patch.setattr(f"service.{name}", 0.4)
        with listening(built(sqlite_template, tmp_path_factory)) as number:
            yield number


def built(template: Path, folders: pytest.TempPathFactory) -> FastAPI:
    path = shutil.copy(template, folders.mktemp("attacked") / "switchback.db")
    return create_app(Settings(database=f"sqlite:///{path}"))


def nested(opening: str, closing: str, depth: int) -> bytes:
    return (opening * depth + "1" + closing * depth).encode()


@pytest.mark.parametrize("shape", ["[|]", '{"a":|}', '{"kind":"scale","schedule":|}'])
@pytest.mark.parametrize("path", ["studies", "drawings", "leases/report"])
def test_deep_json_is_refused_and_never_a_fault(http: TestClient, path: str, shape: str) -> None:
    statuses = set()
    for depth in (60, 300, 900, 100_000):
        deep = nested(*shape.split("|"), depth)
        inside = b'{"schedules": {"a": ' + deep + b'}, "space": ' + deep + b', "total_steps": 10}'
        for body in (deep, inside):
            answer = http.post(f"{V1}/{path}", content=body, headers={"content-type": "application/json"})
            statuses.add(answer.status_code)
    assert statuses <= {400, 413, 422}


@pytest.mark.parametrize("number", ["1e999", "-1e999", "9" * 5_000, "NaN", "0." + "0" * 5_000 + "1"])
def test_numbers_that_are_none_are_refused_and_never_a_fault(http: TestClient, number: str) -> None:
    body = json.dumps(GRID).replace('"seed": 0', f'"seed": {number}')
    answer = http.post(f"{V1}/studies", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code in {400, 422}, number in body) == (True, True)


@pytest.mark.parametrize(("count", "size"), [(1_000, 50), (20_000, 0), (1, 100_000)])
def test_a_head_that_is_too_large_is_refused(port: int, count: int, size: int) -> None:
    head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
    flood = b"".join(b"X-%d: %s\r\n" % (index, b"a" * size) for index in range(count))
    assert exchange(port, head + flood + b"\r\n").split(b" ")[1:2] in ([b"400"], [b"431"])
    assert exchange(port, head, flood, pause_s=0.05).split(b" ")[1:2] in ([], [b"400"])


def test_a_head_that_does_not_end_is_hung_up_on(port: int) -> None:
    begun = time.monotonic()
    assert exchange(port, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n") == b""
    assert time.monotonic() - begun < 5


def test_a_head_that_drips_in_the_second_request_is_hung_up_on_too(port: int) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
    answer = exchange(port, request + b"\r\n", request, *[b"X: 1\r\n"] * 8, pause_s=0.1)
    assert answer.count(b"HTTP/1.1 200") == 1


def test_a_connection_that_says_nothing_is_hung_up_on(port: int) -> None:
    assert exchange(port) == b""


def test_a_body_that_does_not_come_is_not_waited_for(port: int) -> None:
    assert exchange(port, POST + b"Content-Length: 1000\r\n\r\n{").startswith(b"HTTP/1.1 408")


def test_a_body_that_drips_is_not_waited_for(port: int) -> None:
    head = POST + b"Content-Length: 1000\r\n\r\n"
    assert exchange(port, head, *[b" "] * 10, pause_s=0.1).startswith(b"HTTP/1.1 408")


def test_a_body_bomb_is_cut_off_while_it_streams(port: int) -> None:
    chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    answer = exchange(port, POST + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * (2 * MAX_BODY // 65_536))
    assert answer == b"" or answer.startswith(b"HTTP/1.1 413")


def test_what_nobody_reads_is_not_taken_in_for_ever(port: int) -> None:
    head = b"POST /api/v1/nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n\r\n"
    answer = exchange(port, head, b"x" * 10)
    assert b"connection: close" in answer.lower()


@pytest.mark.parametrize(
    "smuggled",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x",
        b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"Content-Length: -1\r\n\r\n",
        b"Content-Length: 0x10\r\n\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    ],
)
def test_a_request_whose_length_is_ambiguous_ends_its_connection(port: int, smuggled: bytes) -> None:
    answer = exchange(port, POST + smuggled)
    assert answer.count(b"HTTP/1.1 ") <= 1
    assert b" 200 " not in answer


@pytest.mark.parametrize(
    "target", ["/static/../guard.py", "/static/..%2f..%2fapp.py", "/static//etc/passwd", "/static/%00"]
)
def test_no_path_leads_out_of_the_page(port: int, target: str) -> None:
    answer = exchange(port, f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert answer.split(b" ")[1] in {b"400", b"404", b"405"}


def test_a_batch_over_the_limit_is_refused_whole(http: TestClient) -> None:
    http.post(f"{V1}/studies", json=GRID)
    lease = claimed(http)
    points = [{"step": step, "values": {"train_loss": 1.0}} for step in range(MAX_POINTS_PER_REPORT // 2 + 1)]
    one = {"lease": lease, "total_steps": 20, "steps_per_epoch": 10, "points": points}
    answer = http.post(f"{V1}/leases/report", json={"reports": [one, one]})
    assert answer.status_code == 422
    assert http.get(f"{V1}/trials/{lease['trial_id']}/curve").json()["curves"][0]["steps"] == []


def test_last_points_past_the_limit_or_of_a_trial_that_goes_on_are_refused_with_the_result(http: TestClient) -> None:
    http.post(f"{V1}/studies", json=GRID)
    ends, goes_on = claimed(http), claimed(http)
    end = {"outcome": "complete", "metrics": {"val_loss": 0.0}, "steps_done": 1, "device_seconds": 0.0, "engine": "x"}
    points = [{"step": step, "values": {"train_loss": 1.0}} for step in range(MAX_POINTS_PER_REPORT // 2 + 1)]
    many = {"lease": ends, "total_steps": 1, "steps_per_epoch": 1, "points": points}
    said = []
    for reports in ([many, many], [many | {"lease": goes_on}]):
        answer = http.post(f"{V1}/leases/complete", json={"completions": [end | {"lease": ends}], "reports": reports})
        assert answer.status_code == 422
        said.append(answer.json()["detail"])
    assert "at most 1000 points in a batch, got 1002" in said[0]
    assert f"must be of trials that end here, got trials [{goes_on['trial_id']}]" in said[1]
    assert http.get(f"{V1}/trials/{ends['trial_id']}").json()["status"] == "leased"
    assert http.get(f"{V1}/trials/{ends['trial_id']}/curve").json()["curves"][0]["steps"] == []


def test_a_lease_that_was_given_back_cannot_be_played_again(http: TestClient) -> None:
    http.post(f"{V1}/studies", json=GRID)
    old = claimed(http)
    http.post(f"{V1}/leases/release", json={"lease": old, "reason": "going home"})
    new = claimed(http)
    assert (new["trial_id"], new["attempt"]) == (old["trial_id"], old["attempt"] + 1)
    end = {"outcome": "complete", "metrics": {"val_loss": 0.0}, "steps_done": 1, "device_seconds": 0.0, "engine": "x"}
    report = {"total_steps": 1, "steps_per_epoch": 1, "points": []}
    replays = [old, old | {"attempt": new["attempt"]}, new | {"token": secrets.token_urlsafe(32)}]
    answers = [http.post(f"{V1}/leases/complete", json={"completions": [end | {"lease": ref}]}) for ref in replays]
    answers += [http.post(f"{V1}/leases/report", json={"reports": [report | {"lease": ref}]}) for ref in replays]
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(409, "lease-lost")}


def claimed(http: TestClient) -> dict[str, Any]:
    token = secrets.token_urlsafe(32)
    lease = http.post(f"{V1}/leases/claim", json={"worker": worker().model_dump(), "token": token}).json()["leases"][0]
    return {"trial_id": lease["trial"]["id"], "attempt": lease["attempt"], "token": token}


@pytest.mark.parametrize(
    "name", ["%2e%2e", "..", "a%2fb", "..%2f..%2fetc", "a%00b", "CON%3a", "a" * 300, "%ff", "a%0ab", ".hidden"]
)
def test_no_name_of_an_artifact_leads_out_of_its_place(http: TestClient, name: str) -> None:
    http.post(f"{V1}/studies", json=GRID)
    lease = claimed(http)
    headers = {"Switchback-Lease": lease["token"], "Repr-Digest": "sha-256=:" + "A" * 43 + "=:"}
    path = f"{V1}/trials/{lease['trial_id']}/artifacts/{name}?attempt={lease['attempt']}&step=0"
    put = http.put(path, content=b"x", headers=headers)
    assert (
        put.status_code in {404, 405, 422},
        http.get(path.split("?", maxsplit=1)[0]).status_code in {200, 404, 422},
    ) == (True, True)


def test_no_line_of_the_log_can_be_forged(http: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="service.access"):
        http.get("/api/v1/nowhere%0d%0aINFO%20all%20is%20well")
    said = [record.getMessage() for record in caplog.records if "nowhere" in record.getMessage()]
    assert (len(said), [line for line in said if "\n" in line or "\r" in line]) == (1, [])
