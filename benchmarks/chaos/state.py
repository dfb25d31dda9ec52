"""What the database holds in the end, as the checker reads it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from benchmarks.chaos.history import File
from service.artifact_store import ArtifactStore, open_store
from service.database import Database
from service.models import Artifact, Attempt, Base, Point, Study, Trial
from service.settings import Settings


@dataclass(frozen=True, slots=True)
class TrialRow:
    """A trial: its state, its last attempt, and the seconds its workers said they spent."""

    status: str
    attempt: int
    seconds: float
    objective: float | None


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """An attempt: whose it was, and how it ended."""

    worker: str
    outcome: str


@dataclass(frozen=True, slots=True)
class State:
    """Trials by id, attempts by (trial, attempt), points by (trial, attempt, step), artifacts by (trial, name).

    And the studies' states, and the damage found in the database or in the files.
    """

    trials: dict[int, TrialRow] = field(default_factory=dict)
    attempts: dict[tuple[int, int], AttemptRow] = field(default_factory=dict)
    points: dict[tuple[int, int, int], float] = field(default_factory=dict)
    files: dict[tuple[int, str], File] = field(default_factory=dict)
    studies: dict[int, str] = field(default_factory=dict)
    damage: tuple[str, ...] = ()


def look(settings: Settings) -> State:
    """Read a database that nobody writes to any more, and the artifacts it names."""
    database = Database(settings)
    try:
        with database.read() as session:
            trials = session.execute(
                select(Trial.id, Trial.status, Trial.attempt, Trial.device_seconds, Trial.objective)
            )
            attempts = session.execute(select(Attempt.trial_id, Attempt.number, Attempt.worker_id, Attempt.outcome))
            points = session.execute(select(Point.trial_id, Point.attempt, Point.step, Point.values))
            artifacts = session.scalars(select(Artifact)).all()
            return State(
                {number: TrialRow(*row) for number, *row in trials},
                {(trial, number): AttemptRow(*row) for trial, number, *row in attempts},
                {(trial, attempt, step): values["train_loss"] for trial, attempt, step, values in points},
                {(row.trial_id, row.name): File(row.name, row.attempt, row.step, row.sha256) for row in artifacts},
                dict(session.execute(select(Study.id, Study.status)).all()),
                (
                    *(_sqlite_damage(session) if database.is_sqlite else _postgres_damage(session)),
                    *_broken_files(artifacts, open_store(settings.artifact_address)),
                ),
            )
    finally:
        database.close()


def _sqlite_damage(session: Session) -> list[str]:
    checks = [row[0] for row in session.execute(text("pragma integrity_check"))]
    orphans = [f"orphan in {row[0]}" for row in session.execute(text("pragma foreign_key_check"))]
    return [found for found in checks if found != "ok"] + orphans


def _postgres_damage(session: Session) -> list[str]:
    """Every table read twice, along its rows and along its primary key; page checksums are verified on the way."""
    found: list[str] = []
    for table in Base.metadata.tables.values():
        counts: list[int] = []
        for off in ("seqscan", "indexscan, enable_indexonlyscan, enable_bitmapscan"):
            for setting in off.split(", "):
                session.execute(text(f"set local enable_{setting.removeprefix('enable_')} = off"))
            counts.append(len(session.execute(select(table).order_by(*table.primary_key)).all()))
            session.rollback()
        if len(set(counts)) > 1:
            found.append(f"{table.name}: {counts} rows by index and by table")
    return found


def _broken_files(rows: Sequence[Artifact], store: ArtifactStore) -> Iterator[str]:
    """A row names a file that is there, as long as it says and with the content it says."""
    for row in rows:
        named = f"file of {row.name} of trial {row.trial_id}"
        try:
            content = b"".join(store.read(row.key))
        except FileNotFoundError:
            yield f"{named} is missing"
            continue
        if (len(content), sha256(content).hexdigest()) != (row.size, row.sha256):
            yield f"{named} is not what its row says"
