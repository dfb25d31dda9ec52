"""What an endpoint is given: who asks, the database as far as they may see it, its writer, planner and settings."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Annotated, NamedTuple, TypeAlias

from fastapi import Depends, Path, Query, Request
from sqlalchemy.orm import Session

from service.access import audit
from service.access.roles import OWNER, Principal
from service.access.scope import criteria
from service.artifact_store import ArtifactStore
from service.bell import Bell
from service.clerk import Clerk
from service.database import Database
from service.jobs import Job, Result
from service.planner import Planner
from service.settings import Settings
from service.writer import Writer


class Look(NamedTuple):
    """A look at a study, under way or done: when it began, and which ring had yet to come."""

    at: float
    ring: asyncio.Event
    seen: asyncio.Future[str]


async def _never() -> bool:
    return False


class Context(NamedTuple):
    """The parts of a running application."""

    database: Database
    writer: Writer
    planner: Planner
    settings: Settings
    store: ArtifactStore
    bell: Bell
    """Rung when there may be a trial to claim."""
    news: Bell
    """Rung when a study was paused, goes on, or has ended."""
    clerk: Clerk
    looks: dict[int, Look]
    """The last look at each study that readers wait for."""
    who: Principal = OWNER
    address: str | None = None
    gone: Callable[[], Awaitable[bool]] = _never
    """Whether the one who asks has hung up."""

    @property
    def live(self) -> timedelta:
        """A worker not heard of for this long is gone."""
        return timedelta(seconds=self.settings.lease_ttl_s)

    def record(self, session: Session, action: str, object_: str, *, now: datetime, project: str | None = None) -> None:
        """Note an act in the audit log."""
        audit.record(session, self.who, action, object_, now=now, project=project, address=self.address)

    async def write(self, job: Job[Result]) -> Result:
        """Run the job with others that wait, seeing what the asker may see; answered after the commit."""
        return await self.writer.write(job, self.database.criteria)


def context_of(request: Request) -> Context:
    """The application's parts, as far as who asks may see them."""
    context = request.app.state.context
    assert isinstance(context, Context)
    who, address = request.state.who, request.client.host if request.client else None
    own = context._replace(who=who, address=address, gone=request.is_disconnected)
    return own if who.projects is None else own._replace(database=context.database.within(criteria(who.projects)))


async def _own(request: Request) -> Context:
    return context_of(request)  # FastAPI calls what is no coroutine in a thread


Ctx: TypeAlias = Annotated[Context, Depends(_own)]
Id: TypeAlias = Annotated[int, Path(ge=1, lt=2**63)]
Limit: TypeAlias = Annotated[int, Query(ge=1, le=1_000)]
Cursor: TypeAlias = Annotated[int | None, Query(ge=0, lt=2**63)]
Since: TypeAlias = Annotated[
    str | None, Query(pattern=r"^[0-9]{1,18}(-[0-9]{1,10})?$", description="`since` of an earlier answer.")
]
Points: TypeAlias = Annotated[int, Query(ge=2, le=5_000)]
