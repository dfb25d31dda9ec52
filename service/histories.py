"""The trials of the studies that learn, kept between proposals: each time only what has changed since is read."""

from __future__ import annotations

from collections import OrderedDict
from math import inf

from sqlalchemy import Row, bindparam, select
from sqlalchemy.orm import Session

from contract.studies import Direction
from service import ticks
from service.lifecycle import LIVE
from service.models import Trial
from service.prepared import Prepared
from service.search.history import History
from service.search.strategy import Observation

MOST = 32
"""Studies remembered; whichever was asked for longest ago is read anew."""

_CHANGED = Prepared(
    select(Trial.number, Trial.family, Trial.params, Trial.status, Trial.objective)
    .where(Trial.study_id == bindparam("p_study"), Trial.changed > bindparam("p_since"))
    .order_by(Trial.number)
)


class Histories:
    """Of one thread. They hold nothing that the database does not, and may be dropped at any time."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, tuple[int, History]] = OrderedDict()

    def of(self, session: Session, study_id: int, direction: Direction) -> History:
        """All trials of the study as this session sees them, their objective turned so that less is better."""
        settled = ticks.seen(session)
        since, history = self._known.pop(study_id, (-1, History()))
        rows = _CHANGED.rows(session, {"p_study": study_id, "p_since": since})
        sign = -1.0 if direction == "maximize" else 1.0
        history.note(_observation(row, sign) for row in rows)
        self._known[study_id] = settled, history
        if len(self._known) > MOST:
            self._known.popitem(last=False)
        return history


def _observation(row: Row[tuple[int, str, dict[str, float], str, float | None]], sign: float) -> Observation:
    loss = inf if row.status == "diverged" else sign * row.objective if row.status == "complete" else None
    return Observation(number=row.number, family=row.family, params=row.params, loss=loss, over=row.status not in LIVE)
