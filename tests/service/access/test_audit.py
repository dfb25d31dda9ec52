"""The audit log: an act and its entry are one transaction, and an entry stays as it was written."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from desk import definition
from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import DBAPIError
from town import Town, town

from service.access import audit
from service.access.roles import OWNER
from service.access.tables import AuditRow
from service.database import Database

V1 = "/api/v1"
GRID = definition(project="ours").model_dump(mode="json")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def built(sqlite_template: Path, tmp_path: Path) -> Iterator[Town]:
    with town(sqlite_template, tmp_path) as one:
        yield one


def test_an_act_is_noted_with_who_what_which_when_and_from_where(built: Town) -> None:
    study = built.ask("POST", f"{V1}/studies", by="submitter", json=GRID).json()["id"]
    built.ask("POST", f"{V1}/studies/{study}/stop", by="admin")
    stop, create = built.ask("GET", f"{V1}/audit", by="admin").json()["items"]
    assert (create["action"], create["object"], create["role"]) == ("study.create", f"study {study}", "submitter")
    assert (stop["actor"].split()[0], stop["project"], stop["address"]) == ("admin", "ours", "testclient")


def test_what_was_refused_is_not_noted_as_done(built: Town) -> None:
    built.ask("POST", f"{V1}/studies", by="viewer", json=GRID)
    built.ask("POST", f"{V1}/studies/{built.studies['theirs']}/stop", by="admin")
    assert built.ask("GET", f"{V1}/audit", by=built.token("admin")).json()["items"] == []


def test_an_admin_of_some_projects_reads_of_those_only(built: Town) -> None:
    everybody = built.token("admin")
    built.ask("POST", f"{V1}/studies", by=everybody, json=GRID | {"project": "theirs"})
    seen = [len(built.ask("GET", f"{V1}/audit", by=by).json()["items"]) for by in ("admin", everybody)]
    assert seen == [0, 1]


def test_the_log_is_read_in_pages_newest_first(built: Town) -> None:
    for _ in range(3):
        built.ask("POST", f"{V1}/studies", by="submitter", json=GRID)
    first = built.ask("GET", f"{V1}/audit?limit=2", by="admin").json()
    rest = built.ask("GET", f"{V1}/audit?limit=2&cursor={first['next']}", by="admin").json()
    assert [item["id"] for item in first["items"] + rest["items"]] == [3, 2, 1]


@pytest.mark.parametrize("change", [update(AuditRow).values(actor="nobody"), delete(AuditRow)])
def test_the_database_refuses_to_change_or_delete_an_entry(database: Database, change: object) -> None:
    with database.write() as session:
        audit.record(session, OWNER, "study.stop", "study 1", now=NOW)
    with pytest.raises(DBAPIError, match="append-only"), database.write() as session:
        session.execute(change)  # type: ignore[call-overload]  # an update or a delete
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(AuditRow)) == 1
