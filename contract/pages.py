"""Lists: pages by key, previews, workers and the service's own state."""

from __future__ import annotations

from datetime import datetime
from typing import Generic, TypeVar

from contract.base import Scalar, ScheduleValue, View
from contract.trials import Origin

Item = TypeVar("Item")


class Page(View, Generic[Item]):
    """Part of a list; pass `next` as `cursor` for the part after it, None at the end."""

    items: list[Item]
    next: str | None


class Proposal(View):
    """A trial a study would run."""

    number: int
    origin: Origin
    family: str
    params: dict[str, Scalar]
    schedule: ScheduleValue
    seed: int


class ChangesPage(Page[Item], Generic[Item]):
    """Part of a list; passed as `since`, the one of the first page later asks for what has changed after it.

    What is asked for by `since` may hold things seen before, and never lacks one that changed.
    """

    since: str


class Preview(View):
    """The first trials a study would run, without running any; `planned` of them in all, None when not known."""

    planned: int | None
    proposals: list[Proposal]


class WorkerView(View):
    """A worker as last heard of; `live` when that was within a lease's lifetime."""

    id: str
    name: str
    device: str
    version: str
    tasks: list[str]
    last_seen_at: datetime
    live: bool
    trials: list[int]


class Health(View):
    """The service's version and database."""

    status: str
    version: str
    database: str
    revision: str
