"""The lines that worker and heartbeat process exchange over the process's stdin and stdout, JSON, one a line."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, TypeAdapter

from contract.base import Message
from contract.leases import LeaseRef, LeaseState


class Hold(Message):
    """Renew this lease every `interval_s` seconds, `first_s` from now for the first time."""

    op: Literal["hold"] = "hold"
    lease: LeaseRef
    interval_s: Annotated[float, Field(gt=0)]
    first_s: Annotated[float, Field(ge=0)]


class Drop(Message):
    """Renew this lease no longer."""

    op: Literal["drop"] = "drop"
    lease: LeaseRef


class Tick(Message):
    """The worker is making progress."""

    op: Literal["tick"] = "tick"


Command: TypeAlias = Annotated[Hold | Drop | Tick, Field(discriminator="op")]
COMMANDS: TypeAdapter[Hold | Drop | Tick] = TypeAdapter(Command)


class Beat(Message):
    """One try to renew: what the service said, or why it could not be asked.

    `sent_at` is the machine's monotonic clock, which all its processes share: a lease is held until `sent_at + ttl_s`
    at least. `stalled` says that nothing was renewed because the worker has not ticked for too long.
    """

    sent_at: float
    leases: list[LeaseState] = Field(default_factory=list)
    away: str | None = None
    stalled: bool = False
