"""Studies are created once, paused, resumed and stopped, each change meant for the version its asker saw."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from desk import TTL_S, Desk, definition
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from contract.leases import HeartbeatRequest, LeaseRef, Release
from service import idempotency, planner, queue, studies
from service.histories import Histories
from service.models import Study

GRID = definition().model_dump(mode="json")


def create(http: TestClient, key: str, **changes: Any) -> httpx2.Response:
    return http.post("/api/v1/studies", json=GRID | changes, headers={"Idempotency-Key": key})


def directives(desk: Desk, *refs: LeaseRef) -> list[str]:
    request = HeartbeatRequest(worker_id="worker-a-00000000", leases=list(refs))
    with desk.database.write() as session:
        return [state.directive for state in queue.heartbeat(session, [request], now=desk.now, ttl_s=TTL_S)[0]]


def pause(desk: Desk, study_id: int) -> None:
    with desk.database.write() as session:
        studies.pause(session, study_id, now=desk.now)


def resume(desk: Desk, study_id: int) -> None:
    with desk.database.write() as session:
        studies.resume(session, study_id)


def test_hundreds_of_requests_with_one_key_make_one_study(desk: Desk) -> None:
    body, key = definition(cells=1), secrets.token_urlsafe(16)

    def ask(_: int) -> int | None:
        with desk.database.write() as session:

            def make() -> int:
                return studies.create(session, body, project="default", now=desk.now)

            try:
                return idempotency.once(session, key, body, make, asker="", now=desk.now)[0]
            except idempotency.InFlight:
                return None

    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(ask, range(400)))
    assert answers - {None} == {1}
    with desk.database.read() as session:
        assert session.scalar(select(func.count()).select_from(Study)) == 1


def test_the_same_key_and_body_get_the_same_study_and_another_body_is_refused(http: TestClient) -> None:
    first, again, other = create(http, "k1"), create(http, "k1"), create(http, "k1", name="other")
    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 422)
    assert first.headers["Location"] == again.headers["Location"]
    assert [first.headers["Idempotency-Replayed"], again.headers["Idempotency-Replayed"]] == ["false", "true"]
    assert other.json()["errors"][0]["field"] == "Idempotency-Key"
    assert create(http, "k2").headers["Location"] != first.headers["Location"]


def test_a_refused_creation_leaves_its_key_unused(http: TestClient) -> None:
    assert create(http, "k", space={"schedules": ["constant"]}).status_code == 422
    assert create(http, "k").status_code == 201


def test_a_key_is_forgotten_after_a_day(desk: Desk) -> None:
    body = definition(cells=1)
    for _ in range(2):
        with desk.database.write() as session:
            idempotency.expire(session, now=desk.now)
            idempotency.once(session, "k", body, lambda: desk_create(desk, session), asker="", now=desk.now)
        desk.later(timedelta(hours=25).total_seconds())
    with desk.database.read() as session:
        assert session.scalar(select(func.count()).select_from(Study)) == 2


def desk_create(desk: Desk, session: Any) -> int:
    return studies.create(session, definition(cells=1), project="default", now=desk.now)


def test_a_paused_study_hands_out_nothing_and_asks_for_its_running_trials_back(desk: Desk) -> None:
    study_id = desk.create(cells=3)
    ref = desk.ref(desk.claim()[0])
    pause(desk, study_id)
    assert desk.claim(name="worker-b") == []
    assert directives(desk, ref) == ["pause"]
    with desk.database.write() as session:
        assert queue.release(session, Release(lease=ref, reason="paused"), now=desk.now) == "queued"
    resume(desk, study_id)
    assert [lease.trial.number for _ in range(3) for lease in desk.claim()] == [0, 1, 2]


def test_a_paused_study_does_not_hold_up_another(desk: Desk) -> None:
    first, second = desk.create(cells=1), desk.create(cells=1)
    pause(desk, first)
    assert [lease.trial.study_id for lease in desk.claim(count=2)] == [second]


def test_a_paused_study_is_neither_filled_nor_ended_by_the_planner(desk: Desk) -> None:
    study_id = desk.create(cells=1)
    desk.complete(desk.ref(desk.claim()[0]))
    pause(desk, study_id)
    planner.top_up(desk.database, Histories(), study_id, live=timedelta(seconds=TTL_S))
    with desk.database.write() as session:
        assert studies.get(session, study_id).status == "running"
        assert planner.fill_dry(session, ["digits/mlp"], 1, now=desk.now) is False


def test_a_paused_trial_given_back_counts_as_neither_lost_nor_failed(desk: Desk) -> None:
    study_id = desk.create(cells=1, limits={"max_lost": 0, "max_retries": 0})
    for _ in range(5):
        ref = desk.ref(desk.claim()[0])
        pause(desk, study_id)
        with desk.database.write() as session:
            queue.release(session, Release(lease=ref, reason="paused"), now=desk.now)
        resume(desk, study_id)
    assert desk.statuses() == ["queued"]


def test_pause_resume_and_stop_show_in_status_and_version(http: TestClient) -> None:
    study = create(http, "k").headers["Location"]
    seen = [http.post(f"{study}/{what}").json() for what in ("pause", "pause", "resume", "resume", "pause", "stop")]
    assert [one["status"] for one in seen] == ["paused", "paused", "running", "running", "paused", "stopped"]
    assert [one["version"] for one in seen] == [1, 1, 2, 2, 3, 4]
    assert http.post(f"{study}/pause").json()["code"] == "conflict"


@pytest.mark.parametrize("what", ["stop", "pause", "resume"])
def test_a_change_meant_for_another_version_is_412_and_changes_nothing(http: TestClient, what: str) -> None:
    study = create(http, "k").headers["Location"]
    tag = http.get(study).headers["ETag"]
    http.post(f"{study}/pause")
    stale = http.post(f"{study}/{what}", headers={"If-Match": tag})
    assert (stale.status_code, stale.json()["code"]) == (412, "precondition-failed")
    assert http.get(study).json()["version"] == 1
    fresh = http.get(study).headers["ETag"]
    assert http.post(f"{study}/{what}", headers={"If-Match": f'"x", {fresh}'}).status_code == 200


def test_progress_alone_does_not_void_a_condition_but_is_sent_again(http: TestClient) -> None:
    study = create(http, "k").headers["Location"]
    tag = http.get(study).headers["ETag"]
    worker = {"id": "worker-00000000", "name": "w", "device": "cpu", "version": "1", "tasks": ["digits/mlp"]}
    http.post("/api/v1/leases/claim", json={"worker": worker, "token": secrets.token_urlsafe(32)})
    assert http.get(study, headers={"If-None-Match": tag}).status_code == 200
    assert http.post(f"{study}/stop", headers={"If-Match": tag}).status_code == 200
