"""Who may do what: roles, and what a signed-in reader is told about itself."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from contract.base import Message, Text, View

Role: TypeAlias = Literal["admin", "submitter", "worker", "viewer"]


class SignIn(Message):
    """An access token, exchanged for a session cookie."""

    token: Annotated[Text, Field(min_length=1, max_length=200)]


class Identity(View):
    """Who is asking: `projects` is None for all of them; `signed_in` is false where the service needs no token."""

    name: str
    role: Role
    projects: list[str] | None
    signed_in: bool


class AuditEntry(View):
    """One act: who did what to which object, when, and from which address."""

    id: int
    at: datetime
    actor: str
    role: Role
    action: str
    object: str
    project: str | None
    address: str | None
