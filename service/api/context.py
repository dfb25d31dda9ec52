"""What an endpoint is given: the database, its writer, the planner and the settings of its application."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, TypeAlias

from fastapi import Depends, Path, Query, Request

from service.database import Database
from service.planner import Planner
from service.settings import Settings
from service.writer import Writer


@dataclass(frozen=True, slots=True)
class Context:
    """The parts of a running application."""

    database: Database
    writer: Writer
    planner: Planner
    settings: Settings

    @property
    def live(self) -> timedelta:
        """A worker not heard of for this long is gone."""
        return timedelta(seconds=self.settings.lease_ttl_s)


async def _context(request: Request) -> Context:
    context = request.app.state.context
    assert isinstance(context, Context)
    return context


Ctx: TypeAlias = Annotated[Context, Depends(_context)]
Id: TypeAlias = Annotated[int, Path(ge=1, lt=2**63)]
Limit: TypeAlias = Annotated[int, Query(ge=1, le=1_000)]
Cursor: TypeAlias = Annotated[int | None, Query(ge=0, lt=2**63)]
Points: TypeAlias = Annotated[int, Query(ge=2, le=5_000)]
