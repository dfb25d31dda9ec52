"""Claims and readers that wait: answered at once when there is something, and in nobody's way while there is not."""

from __future__ import annotations

import json
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from desk import definition, token, worker
from fastapi.testclient import TestClient
from listening import listening

from contract.leases import ClaimRequest
from service.app import create_app
from service.settings import Settings

V1 = "/api/v1"


def waiting_claim(wait_s: float, name: str = "worker-a") -> dict[str, object]:
    return ClaimRequest(worker=worker(name), token=token(), wait_s=wait_s).model_dump(mode="json")


def create(http: TestClient) -> str:
    made = http.post(f"{V1}/studies", json=definition().model_dump(mode="json"))
    return f"{V1}/studies/{made.json()['id']}"


def sent(port: int, method: str, path: str, body: object = None, **headers: str) -> socket.socket:
    """A connection whose request has been sent."""
    content = b"" if body is None else json.dumps(body).encode()
    given = {"Host": "localhost", "Content-Type": "application/json", "Content-Length": str(len(content)), **headers}
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in given.items())
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    connection.sendall(f"{method} {V1}{path} HTTP/1.1\r\n{head}\r\n".encode() + content)
    return connection


@contextmanager
def soon(act: Callable[..., object], *given: object) -> Iterator[None]:
    """Do this in a moment, beside what follows, and be done with it: who waits may be answered before who acts is."""
    timer = threading.Timer(0.3, act, given)
    timer.start()
    yield
    timer.join()


@pytest.fixture
def port(sqlite_template: Path, tmp_path: Path) -> Iterator[int]:
    path = tmp_path / "switchback.db"
    path.write_bytes(sqlite_template.read_bytes())
    with listening(create_app(Settings(database=f"sqlite:///{path}", lease_ttl_s=600))) as number:
        yield number


def test_a_claim_that_waits_is_answered_when_a_study_comes(http: TestClient) -> None:
    begun = time.monotonic()
    with soon(create, http):
        answer = http.post(f"{V1}/leases/claim", json=waiting_claim(20)).json()
    assert len(answer["leases"]) == 1
    assert time.monotonic() - begun < 15


def test_a_claim_waits_no_longer_than_asked_and_may_ask_again_at_once(http: TestClient) -> None:
    assert http.post(f"{V1}/leases/claim", json=waiting_claim(0.2)).json() == {"leases": [], "retry_after_s": 0.0}


def test_a_reader_who_waits_for_news_of_the_state_is_left_alone_until_there_are_some(http: TestClient) -> None:
    study = create(http)
    tag = http.get(study).headers["etag"]
    claim = http.post(f"{V1}/leases/claim", json=waiting_claim(0)).json()
    assert claim["leases"]
    begun = time.monotonic()
    moved = http.get(f"{study}?wait=0.7&news=state", headers={"If-None-Match": tag})
    assert (moved.status_code, moved.json()["progress"]["leased"]) == (200, 1)
    assert time.monotonic() - begun >= 0.7
    with soon(http.post, f"{study}/stop"):
        ended = http.get(f"{study}?wait=20&news=state", headers={"If-None-Match": moved.headers["etag"]})
    assert (ended.status_code, ended.json()["status"]) == (200, "stopped")
    assert time.monotonic() - begun < 15


def test_nothing_new_at_all_is_304_whatever_news_were_waited_for(http: TestClient) -> None:
    study = create(http)
    tag = http.get(study).headers["etag"]
    assert http.get(f"{study}?wait=0.2&news=state", headers={"If-None-Match": tag}).status_code == 304


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_trial_that_another_process_queues_is_found(http: TestClient, database_url: str, tmp_path: Path) -> None:
    with (
        TestClient(
            create_app(Settings(database=database_url, artifacts=str(tmp_path))), base_url="http://localhost"
        ) as other,
        soon(create, other),
    ):
        assert http.post(f"{V1}/leases/claim", json=waiting_claim(20)).json()["leases"]


def test_two_hundred_who_wait_leave_the_others_their_answers(port: int) -> None:
    with ExitStack() as stack:
        study = definition(task={"dataset": "digits", "model": "cnn"}).model_dump(mode="json")
        made = stack.enter_context(sent(port, "POST", "/studies", study)).recv(65_536)
        at = made.lower().split(b"location: /api/v1")[1].split(b"\r\n")[0].decode()
        tag = (
            stack.enter_context(sent(port, "GET", at))
            .recv(65_536)
            .lower()
            .split(b"etag: ")[1]
            .split(b"\r\n")[0]
            .decode()
        )
        for number in range(100):
            stack.enter_context(sent(port, "POST", "/leases/claim", waiting_claim(20, f"worker-{number}")))
            stack.enter_context(sent(port, "GET", f"{at}?wait=20", If_None_Match=tag))
        begun = 0.0
        for turn in range(6):
            begun = time.monotonic() if turn == 1 else begun  # by then all the others wait
            body = {
                "worker_id": worker().id,
                "leases": [{"trial_id": 1, "attempt": 1, "token": secrets.token_urlsafe(32)}],
            }
            answer = stack.enter_context(sent(port, "POST", "/leases/heartbeat", body)).recv(65_536)
            assert answer.startswith(b"HTTP/1.1 200")
        assert time.monotonic() - begun < 15


def test_a_service_that_leaves_answers_the_claims_that_wait(sqlite_template: Path, tmp_path: Path) -> None:
    path = tmp_path / "switchback.db"
    path.write_bytes(sqlite_template.read_bytes())
    with listening(create_app(Settings(database=f"sqlite:///{path}"))) as number:
        claim = sent(number, "POST", "/leases/claim", waiting_claim(30))
        time.sleep(0.3)
        begun = time.monotonic()
    assert time.monotonic() - begun < 8
    with claim:
        assert claim.recv(65_536).startswith(b"HTTP/1.1 200")
