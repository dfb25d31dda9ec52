"""Webhooks: whom to tell when a study has ended. Signed as Standard Webhooks has it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from contract.base import Message, Name, View

DeliveryState: TypeAlias = Literal["waiting", "delivered", "given up"]


class CreateWebhook(Message):
    """Tell `url`, which must be HTTPS and reach a public address, of the studies of a project that end."""

    project: Name = "default"
    url: Annotated[str, Field(min_length=10, max_length=2_000, pattern=r"^https://[\x21-\x7e]+$")]


class WebhookView(View):
    """A webhook; without its secret."""

    id: int
    project: str
    url: str
    created_at: datetime


class WebhookCreated(WebhookView):
    """A new webhook with its secret, this once: what `webhook-signature` is made with."""

    secret: str


class DeliveryView(View):
    """A message to a webhook: how often it was tried, when it is tried next, and what went wrong last."""

    id: int
    message_id: str
    event: str
    state: DeliveryState
    attempts: int
    created_at: datetime
    next_at: datetime | None
    delivered_at: datetime | None
    error: str | None
