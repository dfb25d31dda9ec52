"""The points of a trial's curve: they are kept, chosen by whether they belong to it, and thinned to show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json
from sqlalchemy import ColumnElement, Text, and_, cast, func, or_, select
from sqlalchemy.orm import Session

from contract.leases import TrialReport
from service import attempts
from service.inserting import Inserting, kept
from service.models import Attempt, Point, Trial, table

_POINTS = Inserting(table(Point), table(Point).c.keys(), conflict=kept)


class Stretch(NamedTuple):
    """The part of a curve that one attempt has reported; up to a step, or to its end."""

    attempt: int
    upto: int | None


class Reported(NamedTuple):
    """A curve: steps, and what was measured after each."""

    steps: list[int]
    values: list[dict[str, float]]


def store(session: Session, reports: Sequence[TrialReport]) -> None:
    """Keep what these reports say, each point once however often it comes."""
    rows = [
        {"trial_id": item.lease.trial_id, "attempt": item.lease.attempt, "step": point.step, "values": point.values}
        for item in reports
        for point in item.points
    ]
    _POINTS.run(session, rows)
    attempts.begin_anew(session, [item.lease for item in reports if item.resumed_from is None])


def stretches(session: Session, trials: Sequence[Trial]) -> dict[int, list[Stretch]]:
    """By trial: the last attempt, the attempt it resumed from up to that step, and so on back.

    A run that was thrown away is none of these.
    """
    again = [row.id for row in trials if row.attempt > 1]
    earlier = select(Attempt).where(Attempt.trial_id.in_(again), Attempt.resumed_attempt.is_not(None))
    resumed = {(one.trial_id, one.number): one for one in session.scalars(earlier)} if again else {}
    return {row.id: _back(row, resumed) for row in trials}


def _back(row: Trial, resumed: Mapping[tuple[int, int], Attempt]) -> list[Stretch]:
    found = [Stretch(row.attempt, None)]
    while (one := resumed.get((row.id, found[-1].attempt))) is not None:
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


def curves(session: Session, trials: Sequence[Trial]) -> dict[int, Reported]:
    """Steps and values of the trials' curves, read in one go.

    Each attempt comes as one text: a row for every point, each parsed by itself, costs six times as much.
    """
    ids = [row.id for row in trials]
    steps, values = (func.aggregate_strings(cast(column, Text), ",") for column in (Point.step, Point.values))
    statement = select(Point.trial_id, Point.attempt, steps, values).where(Point.trial_id.in_(ids))
    found: dict[int, dict[int, _Texts]] = {trial: {} for trial in ids}
    for trial, attempt, *texts in session.execute(statement.group_by(Point.trial_id, Point.attempt)):
        found[trial][attempt] = _Texts(*texts)
    return {trial: _joined(found[trial], parts) for trial, parts in stretches(session, trials).items()}


class _Texts(NamedTuple):
    steps: str
    values: str


def _joined(found: Mapping[int, _Texts], parts: Sequence[Stretch]) -> Reported:
    points = [
        (step, value)
        for attempt, upto in parts
        if attempt in found
        for step, value in zip(*(from_json(f"[{text}]") for text in found[attempt]), strict=True)
        if upto is None or step <= upto
    ]
    points.sort(key=itemgetter(0))  # no database promises in which order it joins
    return Reported([step for step, _ in points], [value for _, value in points])


def curve(session: Session, row: Trial) -> Reported:
    """Steps and values of one trial's curve."""
    return curves(session, [row])[row.id]


def thin(values: Sequence[Mapping[str, float]], points: int) -> list[int]:
    """The points that keep the shape: about `points` of each metric, those it has if it has no more.

    Of each stretch the least and the greatest value, so that no peak is lost; and where a metric ends, for a loss that
    is no longer finite is left out. The rate is not looked at: it is computed, not measured.
    """
    kept = {0, len(values) - 1} if values else set()
    if len(values) <= points:
        return [index for index, value in enumerate(values) if index in kept or len(value) > ("lr" in value)]
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
