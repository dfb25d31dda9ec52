"""`Idempotency-Key`: a creation sent again has one effect, and one answer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256

from pydantic import BaseModel
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from contract.errors import FieldError
from service.errors import InFlight, InvalidRequest
from service.models import IdempotencyKey

KEPT_FOR = timedelta(hours=24)


def once(
    session: Session, key: str, body: BaseModel, create: Callable[[], int], *, asker: str, now: datetime
) -> tuple[int, bool]:
    """The study that `create` makes, or made when the same was asked before with this key; and whether it was before.

    Key and study are stored in one transaction, so there is no study without its key.
    """
    _lock(session, f"{asker} {key}")
    request = sha256(body.model_dump_json().encode()).hexdigest()
    known = session.get(IdempotencyKey, (asker, key))
    if known is not None and known.created_at + KEPT_FOR > now:
        if known.request != request:
            broken = FieldError(field="Idempotency-Key", rule="must be a fresh one for another request", value=key)
            raise InvalidRequest(f"Idempotency-Key: {broken.rule}, got {key!r}", [broken])
        return known.study_id, True
    if known is not None:
        session.delete(known)
        session.flush()
    study_id = create()
    session.add(IdempotencyKey(asker=asker, key=key, request=request, study_id=study_id, created_at=now))
    return study_id, False


def expire(session: Session, *, now: datetime) -> None:
    """Forget the keys that are too old to be sent again."""
    session.execute(delete(IdempotencyKey).where(IdempotencyKey.created_at <= now - KEPT_FOR))


def _lock(session: Session, name: str) -> None:
    """One request of a key at a time. On SQLite the transaction's write lock does that already, by waiting."""
    if session.get_bind().dialect.name == "postgresql":
        free = session.scalar(select(func.pg_try_advisory_xact_lock(func.hashtextextended(name, 0))))
        if not free:
            raise InFlight("the same Idempotency-Key is being worked on; ask again in a moment")
