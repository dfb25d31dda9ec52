"""Access tokens: made once, stored as a hash, checked in constant time, ended by time or by hand."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from hmac import compare_digest

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from contract.access import Role
from service.access.roles import Principal
from service.access.tables import ALL_PROJECTS, AccessToken, TokenProject

# `sbk_`, so that a scanner finds a leaked one; the key, which names it; 256 random bits.
FORM = re.compile(r"sbk_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")
PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}")
NAME = re.compile(r"[^\x00-\x1f\x7f]{1,64}")
_NOBODY = sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A token as listed: everything but the token."""

    key: str
    name: str
    role: Role
    projects: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


def create(
    session: Session,
    *,
    name: str,
    role: Role,
    projects: Collection[str] | None,
    expires_at: datetime | None,
    now: datetime,
) -> str:
    """Store a new token, for all projects when `projects` is None; the token itself, which is nowhere kept."""
    if not NAME.fullmatch(name):
        raise ValueError(f"name: must be 1 to 64 printable characters, got {name[:100]!r}")
    if expires_at is not None and expires_at <= now:
        raise ValueError(f"expires: must be in the future, got {expires_at}")
    for project in projects or ():
        if not PROJECT.fullmatch(project):
            raise ValueError(f"project: must match {PROJECT.pattern}, got {project[:100]!r}")
    if projects is not None and not projects:
        raise ValueError("project: name at least one, or give none at all for a token of all projects")
    key = secrets.token_hex(6)
    token = f"sbk_{key}_{secrets.token_urlsafe(32)}"
    row = AccessToken(key=key, hash=_hash(token), name=name, role=role, created_at=now, expires_at=expires_at)
    session.add(row)
    session.flush()
    session.add_all(TokenProject(token_id=row.id, project=one) for one in sorted(set(projects or [ALL_PROJECTS])))
    session.flush()
    return token


def verify(session: Session, token: str, *, now: datetime) -> Principal | None:
    """Whose token this is; None when it is nobody's, has expired or was revoked."""
    form = FORM.fullmatch(token)
    row = session.scalar(select(AccessToken).where(AccessToken.key == form[1])) if form else None
    right = compare_digest(_hash(token), row.hash if row else _NOBODY)
    if row is None or not right or row.revoked_at is not None:
        return None
    if row.expires_at is not None and row.expires_at <= now:
        return None
    projects = frozenset(session.scalars(select(TokenProject.project).where(TokenProject.token_id == row.id)))
    reach = None if ALL_PROJECTS in projects else projects
    return Principal(name=f"{row.name} ({row.key})", role=row.role, projects=reach, token_id=row.id)


def key_of(token: str) -> str:
    """The part of a token that names it."""
    return token[4:16]


def revoke(session: Session, *keys: str, now: datetime) -> int:
    """End tokens at once; how many were still good."""
    ended = session.scalars(
        update(AccessToken)
        .where(AccessToken.key.in_(keys), AccessToken.revoked_at.is_(None))
        .values(revoked_at=now)
        .returning(AccessToken.id)
        .execution_options(synchronize_session=False)
    )
    return len(ended.all())


def exist(session: Session) -> bool:
    """Whether a token was ever made: a service that has had one never falls back to having none needed."""
    return session.scalar(select(AccessToken.id).limit(1)) is not None


def listed(session: Session) -> Sequence[Listed]:
    """All tokens, oldest first."""
    projects: dict[int, list[str]] = {}
    for token_id, project in session.execute(select(TokenProject.token_id, TokenProject.project)):
        projects.setdefault(token_id, []).append(project)
    return [
        Listed(
            key=row.key,
            name=row.name,
            role=row.role,
            projects=tuple(sorted(projects[row.id])),
            created_at=row.created_at,
            expires_at=row.expires_at,
            revoked_at=row.revoked_at,
        )
        for row in session.scalars(select(AccessToken).order_by(AccessToken.id))
    ]


def _hash(token: str) -> str:
    return sha256(token.encode(errors="replace")).hexdigest()
