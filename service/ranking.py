"""The leaderboard: configurations by their mean objective over seeds, found from the best trial downwards.

Grouping all trials of a study costs more with each that ends. But no mean is better than the best of its values: once
the walk has passed the mean of the last configuration asked for, none that it has not met can come before that.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from statistics import stdev
from typing import Any

from sqlalchemy import Row, Select, case, func, literal, select, text
from sqlalchemy.orm import Session, aliased

from contract.studies import LeaderboardEntry
from service.models import Study, Trial

WALKS = (100, 600, 3_600)
"""So many trials are walked, and four for each configuration asked for; then all are grouped. The more seeds differ,
the further down the trial that makes a page certain.
"""
_OVER = text("status in ('complete', 'diverged')")  # as the index says it
_Walked = aliased(Trial)


def leaderboard(session: Session, study: Study, *, limit: int) -> list[LeaderboardEntry]:
    """Configurations by their mean objective over seeds; one that ever diverged ranks below all that never did."""
    configs = [row.config for row in _leaders(session, study, limit)]
    columns = (Trial.id, Trial.number, Trial.config, Trial.family, Trial.params, Trial.status, Trial.objective)
    rows = select(*columns).where(Trial.study_id == study.id, _OVER, Trial.config.in_(configs))
    trials: dict[str, list[Row[*tuple[Any, ...]]]] = {config: [] for config in configs}
    # Sorted here: asked for an order, SQLite walks the whole study in it instead of looking up the few.
    for trial in sorted(session.execute(rows), key=attrgetter("number")):
        trials[trial.config].append(trial)
    return [_entry(rank, trials[config]) for rank, config in enumerate(configs, start=1)]


def _leaders(session: Session, study: Study, limit: int) -> Sequence[Row[*tuple[Any, ...]]]:
    """The best configurations, each with whether it `diverged`, its `mean` and its `first` number."""
    maximize = study.definition["objective"]["direction"] == "maximize"
    ranked = _ranked(study, maximize=maximize).limit(limit)
    for depth in WALKS:
        reach = depth + 4 * limit
        met = _walk(study, _Walked.config, maximize=maximize).limit(_spelled(reach))
        found = session.execute(ranked.where(Trial.config.in_(met))).all()
        # Looked at last: a trial that has ended since can only have made it better, and the page less certain.
        at = _walk(study, _Walked.objective, _Walked.number, maximize=maximize).offset(_spelled(reach - 1)).limit(1)
        frontier = session.execute(at).first()
        if len(found) == limit and (frontier is None or _beyond(found[-1], frontier, maximize=maximize)):
            return found
        if frontier is None:
            break
    return session.execute(ranked).all()


def _ranked(study: Study, *, maximize: bool) -> Select[*tuple[Any, ...]]:
    mean, first = func.avg(case((Trial.status == "complete", Trial.objective))), func.min(Trial.number)
    diverged = func.count(case((Trial.status == "diverged", 1))) > 0
    return (
        select(Trial.config, diverged.label("diverged"), mean.label("mean"), first.label("first"))
        .where(Trial.study_id == study.id, _OVER)
        .group_by(Trial.config)
        .order_by(diverged, mean.is_(None), mean.desc() if maximize else mean, first)
    )


def _walk(study: Study, *columns: Any, maximize: bool) -> Select[*tuple[Any, ...]]:  # Any: columns of all types
    """Completed trials from the best one down, of equal ones the earliest first."""
    objective = _Walked.objective.desc() if maximize else _Walked.objective
    complete = _Walked.status == literal("complete", literal_execute=True)
    return select(*columns).where(_Walked.study_id == study.id, complete).order_by(objective, _Walked.number)


def _spelled(number: int) -> Any:  # Any: what LIMIT takes is no column
    """For a planner that sees a parameter guesses how many rows it stands for, and walks them all instead."""
    return literal(number, literal_execute=True)


def _beyond(last: Any, frontier: Any, *, maximize: bool) -> bool:
    """Whether all that the walk has not met ranks after this configuration: its mean is worse, or equal and later."""
    sign = -1 if maximize else 1
    return not last.diverged and (sign * last.mean, last.first) < (sign * frontier.objective, frontier.number)


def _entry(rank: int, trials: Sequence[Any]) -> LeaderboardEntry:  # Any: rows of trials
    values = [trial.objective for trial in trials if trial.status == "complete" and trial.objective is not None]
    return LeaderboardEntry(
        rank=rank,
        config=trials[0].config,
        family=trials[0].family,
        params=trials[0].params,
        mean=sum(values) / len(values) if values else None,
        std=stdev(values) if len(values) > 1 else None,
        complete=len(values),
        diverged=len(trials) - len(values),
        trial_ids=[trial.id for trial in trials],
    )
