"""The points of a trial's curve: which of those reported belong to it, and which of them show it well enough."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from service.models import Attempt, Point, Trial

FREQUENT = frozenset({"train_loss", "lr"})
"""What comes with every point."""


class Stretch(NamedTuple):
    """The part of a curve that one attempt has reported; up to a step, or to its end."""

    attempt: int
    upto: int | None


def stretches(session: Session, row: Trial) -> list[Stretch]:
    """The last attempt, the attempt it resumed from up to that step, and so on back.

    A run that was thrown away is none of these.
    """
    found = [Stretch(row.attempt, None)]
    earlier = select(Attempt).where(Attempt.trial_id == row.id, Attempt.resumed_attempt.is_not(None))
    resumed = {one.number: one for one in session.scalars(earlier)} if row.attempt > 1 else {}
    while (one := resumed.get(found[-1].attempt)) is not None:
        assert one.resumed_attempt is not None
        assert one.resumed_from is not None
        last = found[-1].upto
        found.append(Stretch(one.resumed_attempt, one.resumed_from if last is None else min(last, one.resumed_from)))
    return found


def of_curve(found: Sequence[Stretch]) -> ColumnElement[bool]:
    """The points of these stretches, of whatever trial."""
    return or_(
        *(
            Point.attempt == attempt if upto is None else and_(Point.attempt == attempt, Point.step <= upto)
            for attempt, upto in found
        )
    )


def curve(session: Session, row: Trial) -> tuple[list[int], list[dict[str, float]]]:
    """Steps and values of a trial's curve."""
    statement = select(Point.step, Point.values).where(Point.trial_id == row.id, of_curve(stretches(session, row)))
    found = session.execute(statement.order_by(Point.step)).all()
    return [step for step, _ in found], [values for _, values in found]


def thin(values: Sequence[dict[str, float]], points: int) -> list[int]:
    """Every k-th point, and every point that carries a metric besides the training loss (validations are few)."""
    stride = max(1, -(-len(values) // points))
    telling = (index for index, value in enumerate(values) if value.keys() - FREQUENT)
    return sorted({*range(0, len(values), stride), *telling, *range(len(values))[-1:]})
