"""What belongs to another project does not exist: not in lists, not by number, not to a worker that claims."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from desk import definition, token, worker
from fastapi.testclient import TestClient
from sqlalchemy import select
from town import Town, town

from contract.leases import ClaimRequest
from service import migrate, queue, studies
from service.access import tokens
from service.access.scope import criteria
from service.app import create_app
from service.database import Database
from service.mapping import Base
from service.models import Study
from service.queue import Claim
from service.settings import Settings

V1 = "/api/v1"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
GRID = definition().model_dump(mode="json")


@pytest.fixture(scope="module")
def built(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with town(sqlite_template, tmp_path_factory.mktemp("town")) as one:
        yield one


def names(built: Town, by: str) -> set[str]:
    return {item["definition"]["name"] for item in built.ask("GET", f"{V1}/studies", by=by).json()["items"]}


def claim(built: Town, by: str, name: str | None = None, **changes: Any) -> Any:
    body = {"worker": worker(f"worker-{name or token()[:8]}").model_dump(), "token": token(), "max_trials": 1_000}
    return built.ask("POST", f"{V1}/leases/claim", by=by, json=body | changes)


def test_lists_hold_the_studies_of_ones_own_projects(built: Town) -> None:
    assert names(built, "viewer") == {"rates", "study of ours"}
    assert names(built, built.token("viewer")) == {"rates", "study of ours", "study of theirs"}


def test_a_worker_claims_trials_of_its_own_projects_only(built: Town) -> None:
    leased = [claim(built, "worker").json()["leases"] for _ in range(2)]
    studies = {lease["trial"]["study_id"] for leases in leased for lease in leases}
    assert (len(leased[0]) > 0, studies) == (True, {built.studies["ours"]})


def test_older_trials_of_others_do_not_keep_a_worker_waiting(built: Town) -> None:
    theirs = built.token("worker", "theirs")
    assert {lease["trial"]["study_id"] for lease in claim(built, theirs).json()["leases"]} == {built.studies["theirs"]}


def test_a_foreign_lease_is_not_renewed_and_looks_like_one_that_never_was(built: Town) -> None:
    leases = [built.lease("theirs"), {"trial_id": 10**6, "attempt": 1, "token": token()}]
    beat = built.ask("POST", f"{V1}/leases/heartbeat", by="worker", json={"worker_id": "w" * 8, "leases": leases})
    assert [(state["held"], state["directive"]) for state in beat.json()["leases"]] == [(False, "stop")] * 2


def test_workers_are_seen_by_the_projects_their_token_is_for(built: Town) -> None:
    claim(built, "worker", "ours")
    claim(built, built.token("worker", "theirs"), "theirs")
    claim(built, built.token("worker"), "all")
    seen = {item["name"] for item in built.ask("GET", f"{V1}/workers", by="viewer").json()["items"]}
    assert seen & {"worker-ours", "worker-theirs", "worker-all"} == {"worker-ours", "worker-all"}


def test_a_worker_cannot_take_the_name_plate_of_one_that_came_with_another_token(built: Town) -> None:
    claim(built, built.token("worker", "theirs"), "same")
    answer = claim(built, "worker", "same")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


def test_a_study_without_a_project_goes_into_the_only_one_of_its_token(built: Town) -> None:
    assert built.ask("POST", f"{V1}/studies", by="submitter", json=GRID).json()["project"] == "ours"
    assert built.ask("POST", f"{V1}/studies", by=built.token("admin"), json=GRID).json()["project"] == "default"


def test_a_token_of_several_projects_has_to_name_one(built: Town) -> None:
    answer = built.ask("POST", f"{V1}/studies", by=built.token("submitter", "ours", "theirs"), json=GRID)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "project")


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer sbk_0", "bearer \u00e9", "sbk_x"])
def test_a_missing_or_wrong_token_is_401_and_says_how(built: Town, header: str) -> None:
    answer = built.http.get(f"{V1}/studies", headers={"Authorization": header.encode()})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_revoked_or_expired_token_is_401_within_a_second(built: Town) -> None:
    soon = built.token("viewer", expires_at=datetime.now(UTC) + timedelta(seconds=0.2))
    assert built.ask("GET", f"{V1}/studies", by=soon).status_code == 200
    time.sleep(1.3)
    assert built.ask("GET", f"{V1}/studies", by=soon).status_code == 401


def test_a_stranger_is_refused_before_the_body_is_read(built: Town) -> None:
    answer = built.http.post(f"{V1}/studies", content=b"{", headers={"content-type": "application/json"})
    assert answer.status_code == 401


def test_a_service_asks_for_tokens_from_its_next_start_once_one_was_ever_made(
    sqlite_template: Path, tmp_path: Path
) -> None:
    settings = Settings(database=f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'open.db')}")
    with TestClient(create_app(settings), base_url="http://localhost") as http:
        assert http.post(f"{V1}/studies", json=GRID).status_code == 201
    with migrate.opened(settings) as database, database.write() as session:
        given = {"projects": None, "expires_at": None, "now": datetime.now(UTC)}
        made = tokens.create(session, name="ann", role="viewer", **given)
        tokens.revoke(session, tokens.key_of(made), now=datetime.now(UTC))
    with TestClient(create_app(settings), base_url="http://localhost") as http:
        assert http.get(f"{V1}/studies").status_code == 401


def test_every_table_is_kept_apart_or_known_to_belong_to_the_service() -> None:
    kept = {rule.entity.class_.__tablename__ for rule in criteria(frozenset({"ours"})) if rule.entity is not None}
    tables = {mapper.class_.__tablename__ for mapper in Base.registry.mappers}
    assert tables - kept == {"access_tokens", "pulse", "ticks"}


def test_postgresql_keeps_projects_apart_too(database: Database) -> None:
    with database.write() as session:
        for project in ("theirs", "ours"):
            studies.create(session, definition(), project=project, now=NOW)
    request = ClaimRequest(worker=worker(), token=token(), max_trials=2)
    with database.within(criteria(frozenset({"ours"}))).write() as session:
        (leased,) = queue.claim(session, [Claim(request)], now=NOW, ttl_s=60)
        assert (
            {lease.trial.study_id for lease in leased} == {study.id for study in session.scalars(select(Study))} == {2}
        )
