"""Webhooks, for administrators."""

from __future__ import annotations

from fastapi import APIRouter, Response
from sqlalchemy import select

from contract.errors import FieldError
from contract.pages import Page
from contract.webhooks import CreateWebhook, DeliveryView, WebhookCreated, WebhookView
from service.access.gate import ADMIN, GatedRoute
from service.access.scope import project_for
from service.api.context import Ctx, Cursor, Id, Limit
from service.errors import Conflict, InvalidRequest, NotFound
from service.webhooks import destination, signing
from service.webhooks.tables import Delivery, Webhook

router = APIRouter(prefix="/webhooks", tags=["webhooks"], route_class=GatedRoute, dependencies=[ADMIN])


@router.post("", status_code=201)
def create_webhook(body: CreateWebhook, ctx: Ctx) -> WebhookCreated:
    """Tell a URL of the studies that end. The answer has the secret, this once."""
    if not ctx.settings.webhooks:
        raise Conflict("webhooks are off; start the service with `switchback serve --webhooks`")
    try:
        destination.parse(body.url)
    except destination.NotAllowed as error:
        broken = FieldError(field="url", rule=str(error).removeprefix("url: "), value=body.url[:200])
        raise InvalidRequest(str(error), [broken]) from error
    project, secret = project_for(ctx.who, body.project), signing.new_secret()
    with ctx.database.write() as session:
        now = ctx.database.now(session)
        row = Webhook(project=project, url=body.url, secret=secret, created_at=now)
        session.add(row)
        session.flush()
        ctx.record(session, "webhook.create", f"webhook {row.id}", now=now, project=project)
    return WebhookCreated(id=row.id, project=project, url=row.url, created_at=now, secret=secret)


@router.get("")
def list_webhooks(ctx: Ctx, limit: Limit = 100, cursor: Cursor = None) -> Page[WebhookView]:
    """Webhooks, oldest first."""
    statement = select(Webhook).where(Webhook.id > (cursor or 0)).order_by(Webhook.id).limit(limit)
    with ctx.database.read() as session:
        rows = session.scalars(statement).all()
    items = [WebhookView(id=row.id, project=row.project, url=row.url, created_at=row.created_at) for row in rows]
    return Page(items=items, next=str(rows[-1].id) if len(rows) == limit else None)


@router.delete("/{webhook_id}", status_code=204)
def delete_webhook(webhook_id: Id, ctx: Ctx) -> Response:
    """Tell it no more; what was not delivered is dropped."""
    with ctx.database.write() as session:
        row = session.get(Webhook, webhook_id)
        if row is None:
            raise NotFound(f"there is no webhook {webhook_id}")
        session.delete(row)
        now = ctx.database.now(session)
        ctx.record(session, "webhook.delete", f"webhook {webhook_id}", now=now, project=row.project)
    return Response(status_code=204)


@router.get("/{webhook_id}/deliveries")
def list_deliveries(webhook_id: Id, ctx: Ctx, limit: Limit = 100, cursor: Cursor = None) -> Page[DeliveryView]:
    """What was sent to a webhook or is still to be, newest first."""
    statement = select(Delivery).where(Delivery.webhook_id == webhook_id).order_by(Delivery.id.desc()).limit(limit)
    with ctx.database.read() as session:
        if session.get(Webhook, webhook_id) is None:
            raise NotFound(f"there is no webhook {webhook_id}")
        rows = session.scalars(statement if cursor is None else statement.where(Delivery.id < cursor)).all()
    return Page(items=[_view(row) for row in rows], next=str(rows[-1].id) if len(rows) == limit else None)


def _view(row: Delivery) -> DeliveryView:
    return DeliveryView(
        id=row.id,
        message_id=row.message_id,
        event=row.event,
        state="delivered" if row.delivered_at else "waiting" if row.next_at else "given up",
        attempts=row.attempts,
        created_at=row.created_at,
        next_at=row.next_at,
        delivered_at=row.delivered_at,
        error=row.error,
    )
