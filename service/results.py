"""What has been learned: trials, curves, the range test's reading, the winner and how to use it."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

import numpy as np
from sqlalchemy import BigInteger, Select, literal, select, tuple_
from sqlalchemy.orm import Session

from contract.pages import ChangesPage
from contract.studies import BestView, CreateStudy, RangeTestCurve, RangeTestView
from contract.trials import AttemptView, Curve, Curves, TrialRow, TrialStatus, TrialView
from schedules import from_dict
from schedules.export import to_torch_source
from schedules.svg import svg
from service import points as points_of
from service import rates, studies
from service.errors import Conflict, NoResultYet, NotFound
from service.line import has
from service.models import Attempt, Trial, Worker
from service.ranking import leaderboard
from service.search.range_curve import analyse
from service.ticks import seen

CURVES_SHOWN = 12


def trial(session: Session, trial_id: int) -> TrialView:
    """A trial with its attempts, or `NotFound`."""
    row = session.get(Trial, trial_id)
    if row is None:
        raise NotFound(f"there is no trial {trial_id}")
    attempts = session.execute(
        select(Attempt, Worker.name)
        .outerjoin(Worker, Worker.id == Attempt.worker_id)
        .where(Attempt.trial_id == trial_id)
        .order_by(Attempt.number)
    )
    own = {name: getattr(row, name) for name in TrialView.model_fields if name not in {"attempts", "schedule"}}
    return TrialView(
        **own,
        schedule=from_dict(row.schedule),
        attempts=[
            AttemptView(
                number=attempt.number,
                worker=name or attempt.worker_id,
                started_at=attempt.started_at,
                ended_at=attempt.ended_at,
                outcome=attempt.outcome,
                reason=attempt.reason,
                resumed_from=attempt.resumed_from,
            )
            for attempt, name in attempts
        ],
    )


_ROW = [name for name in TrialRow.model_fields if name != "worker"]


def trials(
    session: Session, study_id: int, *, limit: int, after: int | None, status: TrialStatus | None
) -> ChangesPage[TrialRow]:
    """Trials of a study in the order of their numbers, those after number `after`."""
    studies.get(session, study_id)
    settled = seen(session)  # before the rows: what changes from now on is not to be missed
    statement = _rows(study_id, status).order_by(Trial.number).limit(limit)
    if after is not None:
        statement = statement.where(Trial.number > literal(after, BigInteger()))  # of any size, unlike a number
    rows = session.execute(statement).all()
    items = [_row(trial, worker) for trial, worker in rows]
    return ChangesPage(items=items, next=str(items[-1].number) if len(rows) == limit else None, since=str(settled))


def changes(
    session: Session, study_id: int, *, limit: int, since: tuple[int, int], status: TrialStatus | None
) -> ChangesPage[TrialRow]:
    """Trials changed after tick `since[0]`, or in it and with a greater number, in that order."""
    studies.get(session, study_id)
    settled = seen(session)
    if since[0] > settled:
        since = (0, 0)  # it is from another life of this database: begin again
    after = tuple_(Trial.changed, Trial.number) > tuple_(*since)
    rows = session.execute(
        _rows(study_id, status).where(after).order_by(Trial.changed, Trial.number).limit(limit)
    ).all()
    items = [_row(trial, worker) for trial, worker in rows]
    if len(rows) < limit:
        return ChangesPage(items=items, next=None, since=str(settled))
    last, _ = rows[-1]
    mark = f"{last.changed}-{last.number}"
    return ChangesPage(items=items, next=mark, since=mark)


def _rows(study_id: int, status: TrialStatus | None) -> Select[Trial, str]:
    statement = select(Trial, Worker.name).outerjoin(Worker, Worker.id == Trial.worker_id)
    statement = statement.where(Trial.study_id == study_id)
    return statement if status is None else statement.where(has(status))


def _row(trial: Trial, worker: str | None) -> TrialRow:
    return TrialRow(worker=worker, **{name: getattr(trial, name) for name in _ROW})


def best(session: Session, study_id: int) -> BestView:
    """The leading configuration, as its best trial trained it."""
    study = studies.get(session, study_id)
    definition = CreateStudy.model_validate(study.definition)
    entry = next(iter(leaderboard(session, study, limit=1)), None)
    rows = session.scalars(select(Trial).where(Trial.id.in_(entry.trial_ids if entry else []))).all()
    done = [row for row in rows if row.status == "complete" and row.objective is not None]
    if entry is None or not done:
        raise NoResultYet(f"no trial of study {study_id} has finished with a value yet")
    sign = -1 if definition.objective.direction == "maximize" else 1
    winner = min(done, key=lambda row: (sign * (row.objective or 0.0), row.number))
    if winner.total_steps is None or winner.steps_per_epoch is None:
        raise NoResultYet(f"trial {winner.id} finished without saying how many steps it took")
    schedule = from_dict(winner.schedule)
    return BestView(
        study_id=study_id,
        trial_id=winner.id,
        objective=definition.objective,
        entry=entry,
        schedule=schedule,
        total_steps=winner.total_steps,
        steps_per_epoch=winner.steps_per_epoch,
        metrics=winner.metrics,
        snippet=to_torch_source(schedule, total_steps=winner.total_steps, steps_per_epoch=winner.steps_per_epoch),
    )


def curves(session: Session, study_id: int, *, trial_ids: Sequence[int] | None, points: int) -> Curves:
    """Metric and rate curves of the trials asked for; of the leaders and the running ones when none are."""
    study = studies.get(session, study_id)
    if trial_ids is None:
        leaders = [entry.trial_ids[0] for entry in leaderboard(session, study, limit=CURVES_SHOWN)]
        running = select(Trial.id).where(Trial.study_id == study_id, has("leased")).limit(CURVES_SHOWN)
        trial_ids = leaders + list(session.scalars(running))
    # By their ids alone: asked for the study as well, SQLite looks through the whole study for them.
    rows = session.scalars(select(Trial).where(Trial.id.in_(trial_ids))).all()
    own = sorted((row for row in rows if row.study_id == study_id), key=attrgetter("number"))
    return _curves(session, study_id, own, points)


def curve(session: Session, trial_id: int, *, points: int) -> Curves:
    """Metric and rate curves of one trial."""
    row = session.get(Trial, trial_id)
    if row is None:
        raise NotFound(f"there is no trial {trial_id}")
    return _curves(session, row.study_id, [row], points)


def drawing(session: Session, trial_id: int, *, log: bool) -> str:
    """The rate a trial uses, over its horizon or as far as it is known, as SVG; `Conflict` before it has begun."""
    row = session.get(Trial, trial_id)
    if row is None:
        raise NotFound(f"there is no trial {trial_id}")
    if row.total_steps is None:
        raise Conflict(f"trial {trial_id} has not begun: only its worker knows how many steps it takes")
    return svg({row.family: rates.drawn(row, *points_of.curve(session, row))}, log=log)


def range_test(session: Session, study_id: int) -> RangeTestView:
    """The loss against the rate over all seeds, and what it suggests."""
    study = studies.get(session, study_id)
    if study.definition["search"]["method"] != "range_test":
        method = study.definition["search"]["method"]
        raise Conflict(f"study {study_id} is no range test: search.method must be 'range_test', got {method!r}")
    rows = session.scalars(select(Trial).where(Trial.study_id == study_id).order_by(Trial.number)).all()
    reported = points_of.curves(session, rows)
    found = {row.id: one for row in rows if (one := _range_curve(row, *reported[row.id])) is not None}
    ended = [found[row.id] for row in rows if row.id in found and row.status in {"complete", "diverged"}]
    read = [(np.array(one.lr), np.array(one.loss)) for one in ended]
    result = analyse(read, high=study.definition["search"]["high"])
    return RangeTestView(
        study_id=study_id,
        done=study.status != "running",
        curves=list(found.values()),
        smoothed_lr=result.lr.tolist(),
        smoothed_loss=result.loss.tolist(),
        suggestion=result.suggestion,
        low=result.low,
        high=result.high,
        reason=result.reason,
        rules=dict(result.rules),
    )


def _range_curve(row: Trial, steps: list[int], values: list[dict[str, float]]) -> RangeTestCurve | None:
    """Loss of what the trial reported against the rate the update before it used."""
    loss = [(step, value["train_loss"]) for step, value in zip(steps, values, strict=True) if "train_loss" in value]
    if not loss or row.total_steps is None:
        return None
    used = rates.bound(row).lr(np.array([step for step, _ in loss]) - 1)
    return RangeTestCurve(trial_id=row.id, seed=row.seed, lr=used.tolist(), loss=[value for _, value in loss])


def _curves(session: Session, study_id: int, rows: Sequence[Trial], points: int) -> Curves:
    reported = points_of.curves(session, rows)
    return Curves(
        study_id=study_id,
        curves=[_metric_curve(row, *reported[row.id], points) for row in rows],
        rates=[rates.rate_curve(row, *reported[row.id], points) for row in rows if row.total_steps is not None],
    )


def _metric_curve(row: Trial, steps: list[int], values: list[dict[str, float]], points: int) -> Curve:
    kept = points_of.thin(values, points)
    names = sorted({name for index in kept for name in values[index]})
    return Curve(
        trial_id=row.id,
        number=row.number,
        family=row.family,
        status=row.status,
        steps=[steps[index] for index in kept],
        values={name: [values[index].get(name) for index in kept] for name in names},
    )
