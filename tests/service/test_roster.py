"""The workers as last heard of: stored when they say something new, and often enough to be known alive."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from desk import T0, Desk, definition, token, worker
from fastapi.testclient import TestClient

from contract.leases import ClaimRequest
from service import queue
from service.errors import Conflict
from service.models import Worker
from service.queue import Claim
from service.roster import Acquaintance, see_workers

V1 = "/api/v1"


def claimed(http: TestClient, **changes: Any) -> Any:
    request = ClaimRequest(worker=worker().model_copy(update=changes), token=token())
    return http.post(f"{V1}/leases/claim", json=request.model_dump(mode="json")).json()["leases"]


def stored(http: TestClient) -> Any:
    (found,) = http.get(f"{V1}/workers").json()["items"]
    return found


def test_a_worker_that_says_something_new_is_stored_at_once(http: TestClient) -> None:
    http.post(f"{V1}/studies", json=definition().model_dump(mode="json"))
    assert claimed(http)
    assert claimed(http, version="2", tasks=["digits/mlp", "digits/cnn"])
    assert (stored(http)["version"], stored(http)["tasks"]) == ("2", ["digits/mlp", "digits/cnn"])


def test_a_worker_is_remembered_as_it_was_for_a_tenth_of_a_lease_and_a_second_at_most(desk: Desk) -> None:
    if not desk.database.is_sqlite:
        pytest.skip("the lock on its row makes the claims of a worker take turns, so it is stored each time")
    known = Acquaintance(desk.database, ttl_s=600)
    now = 100.0
    known.remember(worker(), 7, asked_at=now)
    assert known.knows(worker(), 7, asked_at=now + 0.9)
    assert not known.knows(worker(), 7, asked_at=now + 1.1)
    assert not known.knows(worker(), None, asked_at=now)
    assert not known.knows(worker(tasks=("digits/cnn",)), 7, asked_at=now)
    short = Acquaintance(desk.database, ttl_s=1)
    short.remember(worker(), 7, asked_at=now)
    assert not short.knows(worker(), 7, asked_at=now + 0.2)


def test_on_postgresql_no_worker_is_taken_for_known(desk: Desk) -> None:
    if desk.database.is_sqlite:
        pytest.skip("there all writes take turns anyway")
    known = Acquaintance(desk.database, ttl_s=600)
    known.remember(worker(), 7, asked_at=100.0)
    assert not known.knows(worker(), 7, asked_at=100.0)


def test_a_known_worker_is_not_stored_again(desk: Desk) -> None:
    desk.create()
    desk.claim()
    request = ClaimRequest(worker=worker(), token=token())
    with desk.database.write() as session:
        assert queue.claim(session, [Claim(request, known=True)], now=T0 + timedelta(seconds=5), ttl_s=60)[0]
    with desk.database.read() as session:
        assert session.get_one(Worker, worker().id).last_seen_at == T0


def test_a_worker_of_another_access_token_is_not_overwritten(desk: Desk) -> None:
    with desk.database.write() as session:
        see_workers(session, [(worker(), None)], now=T0)
    with pytest.raises(Conflict, match="came with another access token"), desk.database.write() as session:
        see_workers(session, [(worker(), 7)], now=T0)
