"""The outbox: messages are stored in the transaction of what they tell, taken when due, and settled or given up."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from contract.studies import StudyStatus
from service.webhooks.tables import Delivery, Webhook

RETRIES = tuple(timedelta(seconds=each) for each in (5, 30, 120, 600, 3_600, 10_800, 21_600, 43_200))
"""After each failure; after the last one the message is given up: about a day in all."""
TAKEN_FOR = timedelta(seconds=120)
"""So long is a message left to the process that took it."""


@dataclass(frozen=True, slots=True)
class Due:
    """A message to send, and where to."""

    id: int
    message_id: str
    body: str
    url: str
    secret: str


def study_ended(
    session: Session, study_id: int, project: str, name: str, *, status: StudyStatus, reason: str | None, now: datetime
) -> None:
    """Store a message for each webhook of the project, to be sent once this transaction is committed."""
    told = {"study_id": study_id, "project": project, "name": name, "status": status, "reason": reason}
    body = json.dumps({"type": "study.ended", "timestamp": now.isoformat(), "data": told})
    for webhook_id in session.scalars(select(Webhook.id).where(Webhook.project == project)):
        message = f"msg_{secrets.token_hex(16)}"
        session.add(
            Delivery(
                webhook_id=webhook_id,
                project=project,
                message_id=message,
                event="study.ended",
                body=body,
                created_at=now,
                next_at=now,
            )
        )
    session.flush()


def take(session: Session, *, now: datetime, limit: int) -> Sequence[Due]:
    """Messages that are due, oldest first; nobody else takes them meanwhile."""
    due = (
        select(Delivery, Webhook)
        .join(Webhook, Webhook.id == Delivery.webhook_id)
        .where(Delivery.next_at <= now)
        .order_by(Delivery.next_at)
        .limit(limit)
        .with_for_update(of=Delivery, skip_locked=True)
    )
    found = []
    for delivery, webhook in session.execute(due):
        delivery.next_at = now + TAKEN_FOR
        found.append(Due(delivery.id, delivery.message_id, delivery.body, webhook.url, webhook.secret))
    session.flush()
    return found


def settle(session: Session, delivery_id: int, error: str | None, *, now: datetime) -> None:
    """Note that a message was delivered, or why not and when it is tried again."""
    delivery = session.get(Delivery, delivery_id)
    if delivery is None:  # its webhook was deleted
        return
    delivery.attempts += 1
    if error is None:
        delivery.delivered_at, delivery.next_at, delivery.error = now, None, None
    else:
        again = RETRIES[delivery.attempts - 1] if delivery.attempts <= len(RETRIES) else None
        delivery.next_at, delivery.error = None if again is None else now + again, error[:500]
    session.flush()
