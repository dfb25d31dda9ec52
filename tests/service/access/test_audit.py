"""The audit log: an act and its entry are one transaction, and an entry stays as it was written."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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


@pytest.fixture(scope="module")
def built(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with town(sqlite_template, tmp_path_factory.mktemp("town")) as one:
        yield one


def entries(built: Town, by: str = "admin", query: str = "") -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = built.ask("GET", f"{V1}/audit{query}", by=by).json()["items"]
    return items


def test_an_act_is_noted_with_who_what_which_when_and_from_where(built: Town) -> None:
    study = built.ask("POST", f"{V1}/studies", by="submitter", json=GRID).json()["id"]
    built.ask("POST", f"{V1}/studies/{study}/stop", by="admin")
    stop, create = entries(built)[:2]
    assert (create["action"], create["object"], create["role"]) == ("study.create", f"study {study}", "submitter")
    assert (stop["actor"].split()[0], stop["project"], stop["address"]) == ("admin", "ours", "testclient")


def test_what_was_refused_is_not_noted_as_done(built: Town) -> None:
    everybody = built.token("admin")
    before = entries(built, everybody)
    built.ask("POST", f"{V1}/studies", by="viewer", json=GRID)
    built.ask("POST", f"{V1}/studies/{built.studies['theirs']}/stop", by="admin")
    assert entries(built, everybody) == before


def test_an_admin_of_some_projects_reads_of_those_only(built: Town) -> None:
    everybody = built.token("admin")
    built.ask("POST", f"{V1}/studies", by=everybody, json=GRID | {"project": "theirs"})
    assert (entries(built, everybody)[0]["project"], {item["project"] for item in entries(built)}) == (
        "theirs",
        {"ours"},
    )


def test_the_log_is_read_in_pages_newest_first(built: Town) -> None:
    for _ in range(3):
        built.ask("POST", f"{V1}/studies", by="submitter", json=GRID)
    whole = entries(built)
    first = entries(built, query="?limit=2")
    assert first + entries(built, query=f"?limit=1&cursor={first[-1]['id']}") == whole[:3]


@pytest.mark.parametrize("change", [update(AuditRow).values(actor="nobody"), delete(AuditRow)])
def test_the_database_refuses_to_change_or_delete_an_entry(database: Database, change: object) -> None:
    with database.write() as session:
        audit.record(session, OWNER, "study.stop", "study 1", now=NOW)
    with pytest.raises(DBAPIError, match="append-only"), database.write() as session:
        session.execute(change)  # type: ignore[call-overload]  # an update or a delete
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(AuditRow)) == 1
