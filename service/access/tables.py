"""The tables of access: tokens with their projects, and the audit log."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from contract.access import Role
from service.mapping import Base, BigId

ALL_PROJECTS = "*"
"""No project is called that: names begin with a letter or a digit."""


class AccessToken(Base):
    """An access token, of which only the SHA-256 is kept. `key` is its public part: it names, and opens nothing."""

    __tablename__ = "access_tokens"
    __table_args__ = (CheckConstraint("role in ('admin', 'submitter', 'worker', 'viewer')", name="role"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    key: Mapped[str] = mapped_column(String(12), unique=True)
    hash: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(64))
    role: Mapped[Role]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class TokenProject(Base):
    """A project a token is for; `*` stands for all."""

    __tablename__ = "token_projects"

    token_id: Mapped[int] = mapped_column(ForeignKey("access_tokens.id", ondelete="CASCADE"), primary_key=True)
    project: Mapped[str] = mapped_column(String(64), primary_key=True)


class AuditRow(Base):
    """One act. The database refuses to change or delete a row: see the revision that makes the table."""

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_project", "project", "id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(100))
    role: Mapped[Role]
    action: Mapped[str] = mapped_column(String(40))
    object: Mapped[str] = mapped_column(String(200))
    project: Mapped[str | None] = mapped_column(String(64))
    address: Mapped[str | None] = mapped_column(String(64))
