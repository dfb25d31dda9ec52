"""What a request does inside a transaction, and how those that come together are done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeAlias, TypeVar

from sqlalchemy.orm import Session

Item = TypeVar("Item")
Result = TypeVar("Result")

Job: TypeAlias = Callable[[Session, datetime], Result]
"""What a request does inside a transaction, given the time."""


@dataclass(frozen=True, slots=True)
class Joint(Generic[Item, Result]):
    """A job of which all of a kind are done together: `together` is given the item of each, and answers each.

    It may raise for all where one is at fault; then each is done alone.
    """

    together: Callable[[Session, datetime, Sequence[Item]], Sequence[Result]]
    item: Item

    def __call__(self, session: Session, now: datetime) -> Result:
        """Done alone."""
        (result,) = self.together(session, now, [self.item])
        return result


def done(session: Session, now: datetime, jobs: Sequence[Job[Any]]) -> list[Any]:  # Any: each its own result
    """What each of the jobs returned. Nobody waits for one of them before asking for another: order is ours to choose.

    The session is emptied between kinds: a new one would cost as much as two statements.
    """
    kinds: dict[object, list[int]] = {}
    for index, job in enumerate(jobs):
        kinds.setdefault(job.together if isinstance(job, Joint) else index, []).append(index)
    outcomes: dict[int, Any] = {}
    for indices in kinds.values():
        alike = [jobs[index] for index in indices]
        joint = [job for job in alike if isinstance(job, Joint)]
        results = joint[0].together(session, now, [job.item for job in joint]) if joint else [alike[0](session, now)]
        outcomes |= zip(indices, results, strict=True)
        session.flush()
        session.expunge_all()
    return [outcomes[index] for index in range(len(jobs))]
