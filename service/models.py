"""The tables. Rules that must never break are constraints here, not conventions elsewhere."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from contract.base import Scalar
from contract.studies import StudyStatus
from contract.trials import AttemptOutcome, Origin, TrialStatus
from service.lifecycle import STATUSES

BigId = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows itself only for INTEGER PRIMARY KEY


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time; SQLite, which knows no time zones, stores it without."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive times; hand SQLite naive UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"times must carry a time zone, got {value}")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give an aware UTC time back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Names every constraint, so that migrations can."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own class-level hook
        datetime: UtcDateTime,
        dict[str, Any]: JSON,
        dict[str, float]: JSON,
        dict[str, Scalar]: JSON,
        list[str]: JSON,
        StudyStatus: String(16),
        TrialStatus: String(16),
        AttemptOutcome: String(16),
        Origin: String(16),
    }


class Study(Base):
    """A request and where it stands. Trials are numbered from 0; `next_number` is the number the next one will get."""

    __tablename__ = "studies"
    __table_args__ = (
        CheckConstraint("status in ('running', 'complete', 'stopped', 'failed')", name="status"),
        CheckConstraint("(status = 'running') = (finished_at is null)", name="finished"),
        Index(
            "ix_studies_running",
            "id",
            sqlite_where=text("status = 'running'"),
            postgresql_where=text("status = 'running'"),
        ),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(120))
    status: Mapped[StudyStatus]
    reason: Mapped[str | None]
    definition: Mapped[dict[str, Any]]  # a CreateStudy as JSON: a document of many shapes
    task_key: Mapped[str] = mapped_column(String(130))
    planned: Mapped[int | None]
    next_number: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


_QUEUED = text("status = 'queued'")
_LEASED = text("status = 'leased'")


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
        Index("ix_trials_token", "token_hash", sqlite_where=_LEASED, postgresql_where=_LEASED),
        Index("ix_trials_study_status", "study_id", "status"),
        Index("ix_trials_study_config", "study_id", "config"),
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
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class Attempt(Base):
    """One lease of a trial. Its number is the identity every write is checked against."""

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
    )

    trial_id: Mapped[int] = mapped_column(ForeignKey("trials.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    worker_id: Mapped[str] = mapped_column(String(64))
    token_hash: Mapped[str] = mapped_column(String(64))
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    outcome: Mapped[AttemptOutcome]
    reason: Mapped[str | None]


class Point(Base):
    """Values measured after `step` updates of one attempt."""

    __tablename__ = "points"
    __table_args__ = ({"sqlite_with_rowid": False},)

    trial_id: Mapped[int] = mapped_column(BigId, ForeignKey("trials.id", ondelete="CASCADE"), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    values: Mapped[dict[str, float]]


class Worker(Base):
    """A worker process as last heard of."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(120))
    device: Mapped[str] = mapped_column(String(120))
    version: Mapped[str] = mapped_column(String(40))
    tasks: Mapped[list[str]]
    last_seen_at: Mapped[datetime] = mapped_column(index=True)


class Pulse(Base):
    """One row: when a service process was last alive. Leases are extended by the time nobody was."""

    __tablename__ = "pulse"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    beat_at: Mapped[datetime]


def table(model: type[Base]) -> Table:
    """The table itself: hot statements are built on it once, for as ORM statements they cost three times as much."""
    found = model.__table__
    assert isinstance(found, Table)
    return found
