"""The points of a trial's curve: which of those reported belong to it, and which of them show it well enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from service.models import Attempt, Point, Trial


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


def thin(values: Sequence[Mapping[str, float]], points: int) -> list[int]:
    """The points that keep the shape: about `points` of each metric, those it has if it has no more.

    Of each stretch the least and the greatest value, so that no peak is lost; and where a metric ends, for a loss that
    is no longer finite is left out. The rate is not looked at: it is computed, not measured.
    """
    kept = {0, len(values) - 1} if values else set()
    for name in {name for value in values for name in value} - {"lr"}:
        at = np.array([index for index, value in enumerate(values) if name in value])
        kept.update(at[_extremes(np.array([values[index][name] for index in at]), points)].tolist())
    return sorted(kept)


def _extremes(series: NDArray[np.float64], points: int) -> NDArray[np.int64]:
    """Positions of the least and the greatest of points / 2 stretches, and of both ends; all when there are no more."""
    if series.size <= points:
        return np.arange(series.size)
    starts = np.linspace(0, series.size, max(1, points // 2), endpoint=False).astype(np.int64)
    parts = list(zip(starts, np.split(series, starts[1:]), strict=True))
    found = [start + where for start, part in parts for where in (part.argmin(), part.argmax())]
    return np.unique([0, *found, series.size - 1])
