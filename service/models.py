"""The tables. Rules that must never break are constraints here, not conventions elsewhere."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, Table, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from contract.base import Scalar
from contract.studies import StudyStatus
from contract.trials import AttemptOutcome, Origin, TrialStatus
from service.access.tables import AccessToken
from service.lifecycle import STATUSES
from service.mapping import Base, BigId
from service.ticks import tick

_PAUSED = text("paused_at is not null")


class Study(Base):
    """A request and where it stands. Trials are numbered from 0; `next_number` is the number the next one will get.

    A paused study is one that runs and has `paused_at`. `version` counts the changes made by request, and its end.
    """

    __tablename__ = "studies"
    __table_args__ = (
        Index("ix_studies_project", "project", "id"),
        CheckConstraint("status in ('running', 'complete', 'stopped', 'failed')", name="status"),
        CheckConstraint("(status = 'running') = (finished_at is null)", name="finished"),
        Index(
            "ix_studies_running",
            "id",
            sqlite_where=text("status = 'running'"),
            postgresql_where=text("status = 'running'"),
        ),
        Index("ix_studies_paused", "id", sqlite_where=_PAUSED, postgresql_where=_PAUSED),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(120))
    project: Mapped[str] = mapped_column(String(64), server_default="default")
    status: Mapped[StudyStatus]
    reason: Mapped[str | None]
    definition: Mapped[dict[str, Any]]  # a CreateStudy as JSON: a document of many shapes
    task_key: Mapped[str] = mapped_column(String(130))
    planned: Mapped[int | None]
    next_number: Mapped[int] = mapped_column(default=0)
    version: Mapped[int] = mapped_column(default=0, server_default="0")
    paused_at: Mapped[datetime | None]
    changed: Mapped[int] = mapped_column(BigInteger, default=tick(), onupdate=tick(), server_default="0")
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    archived_at: Mapped[datetime | None]


_QUEUED = text("status = 'queued'")
_LEASED = text("status = 'leased'")
_RANKED = text("status in ('complete', 'diverged')")
_COMPLETE = text("status = 'complete'")
_CHECKPOINT = text("name = 'checkpoint'")


class Trial(Base):
    """One training run of a study; see `service.lifecycle` for its states. `attempt` counts its leases."""

    __tablename__ = "trials"
    __table_args__ = (
        UniqueConstraint("study_id", "number"),
        CheckConstraint(f"status in {STATUSES}", name="status"),
        CheckConstraint("(status = 'leased') = (lease_expires_at is not null)", name="lease_expires"),
        CheckConstraint("(status = 'leased') = (token_hash is not null)", name="lease_token"),
        CheckConstraint("(status in ('queued', 'leased')) = (finished_at is null)", name="finished"),
        CheckConstraint("status <> 'complete' or objective is not null", name="objective"),
        Index("ix_trials_queued", "task_key", "id", sqlite_where=_QUEUED, postgresql_where=_QUEUED),
        Index("ix_trials_fusion", "fusion_key", "id", sqlite_where=_QUEUED, postgresql_where=_QUEUED),
        Index("ix_trials_leased", "lease_expires_at", sqlite_where=_LEASED, postgresql_where=_LEASED),
        Index("ix_trials_held", "worker_id", sqlite_where=_LEASED, postgresql_where=_LEASED),
        # What the pages of a study read, each answered from the index alone.
        Index("ix_trials_tally", "study_id", "status", "device_seconds"),
        Index("ix_trials_changed", "study_id", "changed", "number"),
        Index(
            "ix_trials_ranking",
            *("study_id", "config", "status", "objective", "number"),
            sqlite_where=_RANKED,
            postgresql_where=_RANKED,
        ),
        Index(
            "ix_trials_best",
            *("study_id", "objective", "number", "config", "status"),
            sqlite_where=_COMPLETE,
            postgresql_where=_COMPLETE,
        ),
        Index("ix_trials_ended", "study_id", "finished_at", "number", "status"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"))
    number: Mapped[int]
    status: Mapped[TrialStatus]
    reason: Mapped[str | None]
    origin: Mapped[Origin]
    family: Mapped[str] = mapped_column(String(64))
    params: Mapped[dict[str, Scalar]]
    config: Mapped[str] = mapped_column(String(16))
    schedule: Mapped[dict[str, Any]]  # `schedules.to_dict`: a tagged union
    seed: Mapped[int] = mapped_column(BigInteger)
    report_every: Mapped[int]
    task_key: Mapped[str] = mapped_column(String(130))
    fusion_key: Mapped[str] = mapped_column(String(64))
    attempt: Mapped[int] = mapped_column(default=0)
    worker_id: Mapped[str | None] = mapped_column(String(64))
    token_hash: Mapped[str | None] = mapped_column(String(64))
    lease_expires_at: Mapped[datetime | None]
    lost: Mapped[int] = mapped_column(default=0)
    failures: Mapped[int] = mapped_column(default=0)
    objective: Mapped[float | None]
    metrics: Mapped[dict[str, float]] = mapped_column(default=dict)
    total_steps: Mapped[int | None] = mapped_column(BigInteger)
    steps_per_epoch: Mapped[int | None] = mapped_column(BigInteger)
    steps_done: Mapped[int] = mapped_column(BigInteger, default=0)
    engine: Mapped[str | None] = mapped_column(String(64))
    device_seconds: Mapped[float] = mapped_column(default=0.0)
    changed: Mapped[int] = mapped_column(BigInteger, default=tick(), onupdate=tick(), server_default="0")
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class Attempt(Base):
    """One lease of a trial. Its number is the identity every write is checked against.

    `resumed_attempt` and `resumed_from` name the checkpoint it went on from, if any: whose, and at which step.
    """

    __tablename__ = "attempts"
    __table_args__ = (
        CheckConstraint("(outcome = 'active') = (ended_at is null)", name="ended"),
        Index(
            "uq_attempts_active",
            "trial_id",
            unique=True,
            sqlite_where=text("outcome = 'active'"),
            postgresql_where=text("outcome = 'active'"),
        ),
        Index("ix_attempts_token", "token_hash"),
    )

    trial_id: Mapped[int] = mapped_column(ForeignKey("trials.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    worker_id: Mapped[str] = mapped_column(String(64))
    token_hash: Mapped[str] = mapped_column(String(64))
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    outcome: Mapped[AttemptOutcome]
    reason: Mapped[str | None]
    resumed_attempt: Mapped[int | None]
    resumed_from: Mapped[int | None] = mapped_column(BigInteger)


class Artifact(Base):
    """The file a trial has under a name, the newest of the last attempt that sent one, and its key in the store."""

    __tablename__ = "artifacts"
    __table_args__ = (
        CheckConstraint("size > 0", name="size"),
        Index("ix_artifacts_checkpoints", "trial_id", sqlite_where=_CHECKPOINT, postgresql_where=_CHECKPOINT),
    )

    trial_id: Mapped[int] = mapped_column(ForeignKey("trials.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    attempt: Mapped[int]
    step: Mapped[int] = mapped_column(BigInteger)
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    key: Mapped[str] = mapped_column(String(100), unique=True)
    created_at: Mapped[datetime]


class Point(Base):
    """Values measured after `step` updates of one attempt."""

    __tablename__ = "points"
    __table_args__ = ({"sqlite_with_rowid": False},)

    trial_id: Mapped[int] = mapped_column(BigId, ForeignKey("trials.id", ondelete="CASCADE"), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    values: Mapped[dict[str, float]]


class Worker(Base):
    """A worker process as last heard of, and by which access token, if the service asks for one."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    token_id: Mapped[int | None] = mapped_column(ForeignKey(AccessToken.id))
    name: Mapped[str] = mapped_column(String(120))
    device: Mapped[str] = mapped_column(String(120))
    version: Mapped[str] = mapped_column(String(40))
    tasks: Mapped[list[str]]
    last_seen_at: Mapped[datetime] = mapped_column(index=True)


class IdempotencyKey(Base):
    """A key that an asker has used, the hash of what was asked with it, and the study that came of it."""

    __tablename__ = "idempotency_keys"

    asker: Mapped[str] = mapped_column(String(32), primary_key=True)
    key: Mapped[str] = mapped_column(String(128), primary_key=True)
    request: Mapped[str] = mapped_column(String(64))
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(index=True)


class Pulse(Base):
    """One row: when a service process was last alive. Leases are extended by the time nobody was."""

    __tablename__ = "pulse"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    beat_at: Mapped[datetime]


class Tick(Base):
    """One row: the number of the last writing transaction, on SQLite; see `service.ticks`."""

    __tablename__ = "ticks"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    now: Mapped[int] = mapped_column(BigInteger)


def table(model: type[Base]) -> Table:
    """The table itself: hot statements are built on it once, for as ORM statements they cost three times as much."""
    found = model.__table__
    assert isinstance(found, Table)
    return found
