"""Reads of a study: nothing is sent that has not changed, nothing that has changed is missed, no table is walked."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from desk import TTL_S, Desk, definition, token, worker
from fastapi.testclient import TestClient
from sqlalchemy import event, update

from contract.leases import ClaimRequest
from service import results, studies
from service.glance import glance
from service.models import Trial
from service.ranking import leaderboard


def created(http: TestClient, **changes: Any) -> str:
    body = definition(**changes).model_dump(mode="json")
    return f"/api/v1/studies/{http.post('/api/v1/studies', json=body).json()['id']}"


def claim(http: TestClient) -> dict[str, Any]:
    body = ClaimRequest(worker=worker(), token=token()).model_dump(mode="json")
    lease = http.post("/api/v1/leases/claim", json=body).json()["leases"][0]
    return {"trial_id": lease["trial"]["id"], "attempt": lease["attempt"], "token": body["token"]}


@pytest.mark.parametrize("page", ["", "/trials", "/leaderboard", "/curves"])
def test_a_study_that_stands_still_is_sent_once(http: TestClient, page: str) -> None:
    study = created(http)
    claim(http)
    first = http.get(study + page)
    again = http.get(study + page, headers={"If-None-Match": first.headers["etag"]})
    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")


def test_a_heartbeat_and_another_study_change_nothing_a_claim_does(http: TestClient) -> None:
    study, lease = created(http), claim(http)
    tag = http.get(f"{study}/trials").headers["etag"]
    http.post("/api/v1/leases/heartbeat", json={"worker_id": worker().id, "leases": [lease]})
    created(http, task={"dataset": "digits", "model": "cnn"})
    assert http.get(f"{study}/trials", headers={"If-None-Match": tag}).status_code == 304
    claim(http)
    assert http.get(f"{study}/trials", headers={"If-None-Match": tag}).status_code == 200


def test_a_reader_who_waits_is_answered_when_something_changes(http: TestClient) -> None:
    study = created(http)
    tag = http.get(f"{study}/trials").headers["etag"]
    late = threading.Timer(0.3, claim, [http])
    late.start()
    begun = time.monotonic()
    answer = http.get(f"{study}/trials?wait=20", headers={"If-None-Match": tag})
    late.join()
    assert [row["status"] for row in answer.json()["items"]].count("leased") == 1
    assert time.monotonic() - begun < 15


def test_a_reader_waits_no_longer_than_asked(http: TestClient) -> None:
    study = created(http)
    tag = http.get(study).headers["etag"]
    assert http.get(f"{study}?wait=0.2", headers={"If-None-Match": tag}).status_code == 304


def test_a_study_without_a_worker_says_so_though_no_row_of_it_changed(http: TestClient) -> None:
    study = created(http)
    created(http, task={"dataset": "digits", "model": "cnn"})
    tag = http.get(study).headers["etag"]
    body = ClaimRequest(worker=worker(tasks=("digits/cnn",)), token=token()).model_dump(mode="json")
    http.post("/api/v1/leases/claim", json=body)
    answer = http.get(study, headers={"If-None-Match": tag})
    assert "a connected worker can train" in answer.json()["waiting"]


def test_since_brings_what_changed_page_by_page_and_then_nothing(http: TestClient) -> None:
    study = created(http, cells=6)
    since = http.get(f"{study}/trials").json()["since"]
    claimed = [claim(http)["trial_id"] for _ in range(3)]
    first = http.get(f"{study}/trials?since={since}&limit=2").json()
    rest = http.get(f"{study}/trials?since={first['since']}").json()
    assert [row["id"] for page in (first, rest) for row in page["items"]] == claimed
    assert http.get(f"{study}/trials?since={rest['since']}").json()["items"] == []


def test_a_cursor_from_another_life_of_the_database_begins_again(http: TestClient) -> None:
    study = created(http, cells=3)
    assert len(http.get(f"{study}/trials?since=900000000000000000").json()["items"]) == 3


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_change_committed_after_a_later_one_is_not_missed(desk: Desk) -> None:
    study_id = desk.create(cells=2)
    with desk.database.write() as slow:
        slow.execute(update(Trial).where(Trial.number == 0).values(steps_done=7))
        with desk.database.write() as quick:
            quick.execute(update(Trial).where(Trial.number == 1).values(steps_done=9))
        with desk.database.read() as session:
            state = glance(session, study_id).state
            mark = results.trials(session, study_id, limit=10, after=None, status=None).since
    with desk.database.read() as session:
        assert glance(session, study_id).state != state
        found = results.changes(session, study_id, limit=10, since=(int(mark), 2**31), status=None)
    assert 7 in {row.steps_done for row in found.items}


def test_a_cursor_beyond_all_numbers_finds_nothing(desk: Desk) -> None:
    study_id = desk.create(cells=2)
    with desk.database.read() as session:
        assert results.trials(session, study_id, limit=5, after=2**62, status=None).items == []
        assert results.changes(session, study_id, limit=5, since=(10**17, 9_999_999_999), status=None).items


def explained(desk: Desk) -> list[str]:
    """The plans of all statements that are executed from now on."""
    plans: list[str] = []

    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, *rest: Any) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "UPDATE", "WITH")):
            plans.extend(row[3] for row in cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters))

    for engine in (desk.database.reader, desk.database.writer):
        event.listen(engine, "before_cursor_execute", explain)
    return plans


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_leaders_and_the_trials_of_curves_are_looked_up_in_no_walk_over_the_study(desk: Desk) -> None:
    study_id = desk.create(cells=8)
    leases = desk.claim(count=4)
    for lease in leases:
        desk.complete(desk.ref(lease))
    plans = explained(desk)
    with desk.database.read() as session:
        assert len(leaderboard(session, studies.get(session, study_id), limit=2)) == 2
        results.curves(session, study_id, trial_ids=[lease.trial.id for lease in leases], points=10)
    walks = [plan for plan in plans if " trials" in plan and plan.endswith("(study_id=?)")]
    assert [plan for plan in walks if "ix_trials_best" not in plan] == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_page_and_no_claim_walks_the_trials(desk: Desk) -> None:
    study_id, plans = desk.create(cells=8), explained(desk)
    desk.complete(desk.ref(desk.claim()[0]))
    desk.later(TTL_S * 2)
    desk.sweep()
    with desk.database.read() as session:
        study = studies.get(session, study_id)
        studies.views(session, [study], now=desk.now, live=timedelta(seconds=1))
        glance(session, study_id)
        results.trials(session, study_id, limit=5, after=2, status=None)
        results.changes(session, study_id, limit=5, since=(1, 1), status=None)
        results.curves(session, study_id, trial_ids=None, points=10)
    assert [plan for plan in plans if plan.startswith("SCAN trials") and "INDEX" not in plan] == []
    assert any("COVERING INDEX ix_trials_ranking" in plan for plan in plans)
    assert any("COVERING INDEX ix_trials_best" in plan for plan in plans)
    assert any("COVERING INDEX ix_trials_tally" in plan for plan in plans)
