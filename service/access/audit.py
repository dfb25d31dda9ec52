"""The audit log: who did what to which object, when, from where; written in the transaction of the act itself.

It is append-only: the database refuses to change or to delete its rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.access.roles import Principal
from service.access.tables import AuditRow

COMMAND_LINE = Principal(name="command line", role="admin")
"""Who works on the database itself."""


def record(
    session: Session,
    who: Principal,
    action: str,
    object_: str,
    *,
    now: datetime,
    project: str | None = None,
    address: str | None = None,
) -> None:
    """Note an act, such as `study.stop` of `study 7`."""
    session.add(
        AuditRow(
            at=now,
            actor=who.name,
            role=who.role,
            action=action,
            object=object_[:200],
            project=project,
            address=address,
        )
    )
    session.flush()


def page(session: Session, *, limit: int, before: int | None) -> Sequence[AuditRow]:
    """Acts, newest first, older than `before`."""
    statement = select(AuditRow).order_by(AuditRow.id.desc()).limit(limit)
    return session.scalars(statement if before is None else statement.where(AuditRow.id < before)).all()
