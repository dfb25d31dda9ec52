"""Old studies keep what they found and the shape of their curves; the points in between go."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import bindparam, delete, not_, select, update
from sqlalchemy.orm import Session

from service import points
from service.database import Database
from service.models import Attempt, Point, Study, Trial, table

KEPT_POINTS = 200
"""Of a curve, beside those that carry more than the training loss: what a page shows of it unless asked for more."""

_POINTS = table(Point)
_POINT = delete(_POINTS).where(*(_POINTS.c[name] == bindparam(f"p_{name}") for name in ("trial_id", "attempt", "step")))


def archive(database: Database, *, before: datetime, limit: int | None = None) -> int:
    """Thin the curves of studies that ended before this moment, each once; how many studies.

    A transaction for each trial: nobody waits for longer than that, and one that is cut off is gone on with later.
    """
    with database.read() as session:
        old = select(Study.id).where(Study.finished_at < before, Study.archived_at.is_(None))
        study_ids = session.scalars(old.order_by(Study.id).limit(limit)).all()
    for study_id in study_ids:
        with database.read() as session:
            trial_ids = session.scalars(select(Trial.id).where(Trial.study_id == study_id)).all()
        for trial_id in trial_ids:
            with database.write() as session:
                _thin(session, trial_id)
        with database.write() as session:
            session.execute(update(Study).where(Study.id == study_id).values(archived_at=database.now(session)))
    return len(study_ids)


def _thin(session: Session, trial_id: int) -> None:
    row = session.get(Trial, trial_id)
    if row is None:
        return
    stretches = points.stretches(session, [row])[trial_id]
    curve = points.of_curve(stretches)
    own = Point.trial_id == trial_id
    session.execute(delete(Point).where(own, not_(curve)))
    session.execute(
        delete(Attempt).where(Attempt.trial_id == trial_id, Attempt.number.not_in([one.attempt for one in stretches]))
    )
    found = session.execute(select(Point.attempt, Point.step, Point.values).where(own).order_by(Point.step)).all()
    kept = set(points.thin([one.values for one in found], KEPT_POINTS))
    dropped = [
        {"p_trial_id": trial_id, "p_attempt": one.attempt, "p_step": one.step}
        for index, one in enumerate(found)
        if index not in kept
    ]
    if dropped:
        session.connection().execute(_POINT, dropped)
