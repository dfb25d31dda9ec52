"""The tables of access: tokens with their projects."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, String
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
