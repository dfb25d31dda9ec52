"""Every revision, with data in it: up and down again nothing is lost, and the code before it goes on working."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from postgres import PostgresServer
from sqlalchemy import Connection, text

from service import migrate
from service.database import Database
from service.settings import Settings

NOW = "2026-01-01 00:00:00"

SEEDS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "0001": [
        ("pulse", {"id": 1, "beat_at": NOW}),
        (
            "studies",
            {
                "id": 1,
                "name": "old",
                "status": "running",
                "definition": "{}",
                "task_key": "digits/mlp",
                "next_number": 2,
                "created_at": NOW,
            },
        ),
        (
            "workers",
            {
                "id": "worker-1",
                "name": "w",
                "device": "cpu",
                "version": "1",
                "tasks": '["digits/mlp"]',
                "last_seen_at": NOW,
            },
        ),
        *(
            (
                "trials",
                {
                    "id": number + 1,
                    "study_id": 1,
                    "number": number,
                    "status": "leased" if number else "complete",
                    "origin": "grid",
                    "family": "constant",
                    "params": "{}",
                    "config": "c",
                    "schedule": "{}",
                    "seed": 2**40,
                    "report_every": 1,
                    "task_key": "digits/mlp",
                    "fusion_key": "f",
                    "attempt": 1,
                    "worker_id": "worker-1" if number else None,
                    "token_hash": "h" if number else None,
                    "lease_expires_at": NOW if number else None,
                    "lost": 0,
                    "failures": 0,
                    "objective": 0.5,
                    "metrics": '{"val_loss": 0.5}',
                    "steps_done": 20,
                    "device_seconds": 1.5,
                    "created_at": NOW,
                    "finished_at": None if number else NOW,
                },
            )
            for number in range(2)
        ),
        (
            "attempts",
            {
                "trial_id": 2,
                "number": 1,
                "worker_id": "worker-1",
                "token_hash": "h",
                "started_at": NOW,
                "outcome": "active",
            },
        ),
        ("points", {"trial_id": 2, "attempt": 1, "step": 10, "values": '{"train_loss": 1.0}'}),
    ],
    "5ec000000001": [
        ("access_tokens", {"id": 1, "key": "k" * 12, "hash": "h", "name": "n", "role": "admin", "created_at": NOW}),
        ("token_projects", {"token_id": 1, "project": "*"}),
    ],
    "0003": [
        (
            "artifacts",
            {
                "trial_id": 2,
                "name": "checkpoint",
                "attempt": 1,
                "step": 10,
                "size": 1,
                "sha256": "s",
                "key": "aa/s",
                "created_at": NOW,
            },
        )
    ],
    "0004": [
        ("idempotency_keys", {"asker": "", "key": "k", "request": "r", "study_id": 1, "created_at": NOW}),
    ],
    "5ec000000002": [
        (
            "audit",
            {"id": 1, "at": NOW, "actor": "owner", "role": "admin", "action": "study.create", "object": "1"},
        )
    ],
    "0005": [],
    "0006": [],
    "5ec000000003": [
        ("webhooks", {"id": 1, "project": "default", "url": "https://a.example", "secret": "s", "created_at": NOW}),
        (
            "deliveries",
            {
                "id": 1,
                "webhook_id": 1,
                "project": "default",
                "message_id": "m",
                "event": "study.ended",
                "body": "{}",
                "attempts": 0,
                "created_at": NOW,
                "next_at": NOW,
            },
        ),
    ],
    "0007": [],
    "0008": [],
    "0009": [],
}
"""By revision, rows of the tables it brought; those of tables changed by it stay as the code before it wrote them."""

REVISIONS = migrate.revisions()


def seed(connection: Connection, revision: str) -> None:
    for table, row in SEEDS[revision]:
        columns = ", ".join(f'"{name}"' for name in row)
        values = ", ".join(f":{name}" for name in row)
        connection.execute(text(f"insert into {table} ({columns}) values ({values})"), row)


def rows(connection: Connection, upto: str) -> dict[str, list[tuple[Any, ...]]]:
    """What the seeds of the revisions up to this one have become, in the columns that they set."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    for revision in REVISIONS[: REVISIONS.index(upto) + 1]:
        for table, row in SEEDS[revision]:
            columns = ", ".join(f'"{name}"' for name in row)
            read = connection.execute(text(f"select {columns} from {table} order by 1, 2"))
            found[table] = [tuple(map(str, one)) for one in read]
    return found


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connection]:
    """A connection to an empty database, in a transaction as the service's own migrations are."""
    url = f"sqlite:///{tmp_path}/old.db"
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        name = f"revisions_{secrets.token_hex(6)}"
        server.create(name)
        url = server.url(name)
    database = Database(Settings(database=url))
    with database.writer.begin() as connection:
        yield connection
    database.close()


def test_every_revision_has_its_rows_here() -> None:
    assert tuple(SEEDS) == REVISIONS, "give the new revision rows of its tables in SEEDS"


@pytest.mark.parametrize("start", REVISIONS)
def test_data_of_a_revision_survives_the_way_up_to_this_version_and_back(empty: Connection, start: str) -> None:
    config = migrate.configuration(empty)
    command.upgrade(config, start)
    for revision in REVISIONS[: REVISIONS.index(start) + 1]:
        seed(empty, revision)
    before = rows(empty, start)
    command.upgrade(config, "head")
    assert rows(empty, start) == before
    command.downgrade(config, start)
    assert rows(empty, start) == before


@pytest.mark.parametrize(("old", "new"), list(pairwise(REVISIONS)))
def test_the_code_of_a_revision_can_still_write_after_the_next(empty: Connection, old: str, new: str) -> None:
    command.upgrade(migrate.configuration(empty), new)
    for revision in REVISIONS[: REVISIONS.index(old) + 1]:
        seed(empty, revision)
    assert len(rows(empty, old)["trials"]) == 2
