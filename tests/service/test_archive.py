"""Old studies lose the points between, and nothing that was found; rows that only grow are forgotten."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from desk import TTL_S, Desk
from sqlalchemy import func, select
from typer.testing import CliRunner

from client.cli import app
from contract.leases import Lease, Point, TrialReport
from service import models, queue, results, roster, studies
from service.archive import KEPT_POINTS, archive
from service.keeper import Keeper
from service.settings import Settings

POINTS = 3 * KEPT_POINTS


def report(desk: Desk, lease: Lease) -> None:
    points = [
        Point(step=step, values={"train_loss": 1 / step} | ({"val_loss": 0.5} if step % 100 == 7 else {}))
        for step in range(1, POINTS + 1)
    ]
    body = TrialReport(lease=desk.ref(lease), total_steps=POINTS, steps_per_epoch=10, points=points)
    with desk.database.write() as session:
        queue.report(session, [[body]], now=desk.now, ttl_s=TTL_S)


def ended(desk: Desk) -> int:
    """A study whose only trial was lost once, then completed; each attempt reported a whole curve."""
    study_id = desk.create(cells=1)
    report(desk, desk.claim()[0])
    desk.later(TTL_S + 1)
    desk.sweep()
    again = desk.claim()[0]
    report(desk, again)
    desk.complete(desk.ref(again))
    with desk.database.write() as session:
        studies.finish(session, study_id, "complete", None, now=desk.now)
    return study_id


def stored(desk: Desk) -> int:
    with desk.database.read() as session:
        return session.scalar(select(func.count()).select_from(models.Point)) or 0


def test_an_old_study_keeps_the_shape_of_its_curves_and_every_validation(desk: Desk) -> None:
    study_id = ended(desk)
    assert archive(desk.database, before=desk.now + timedelta(days=1)) == 1
    with desk.database.read() as session:
        curve = results.curve(session, 1, points=5_000).curves[0]
        best = results.best(session, study_id)
    assert [step for step, value in zip(curve.steps, curve.values["val_loss"], strict=True) if value is not None] == [
        7 + 100 * index for index in range(POINTS // 100)
    ]
    assert KEPT_POINTS <= len(curve.steps) == stored(desk) <= KEPT_POINTS + POINTS // 100 + 1
    assert (curve.steps[0], curve.steps[-1]) == (1, POINTS)
    assert best.metrics == {"val_loss": 0.5}


def test_a_study_is_archived_once_and_not_before_its_time(desk: Desk) -> None:
    ended(desk)
    assert archive(desk.database, before=desk.now - timedelta(days=1)) == 0
    assert stored(desk) == 2 * POINTS
    assert [archive(desk.database, before=desk.now + timedelta(days=1)) for _ in range(2)] == [1, 0]


def test_a_study_that_runs_is_left_alone(desk: Desk) -> None:
    desk.create(cells=1)
    report(desk, desk.claim()[0])
    assert archive(desk.database, before=desk.now + timedelta(days=99)) == 0
    assert stored(desk) == POINTS


def test_of_an_archived_trial_only_the_attempts_of_its_curve_stay(desk: Desk) -> None:
    ended(desk)
    archive(desk.database, before=desk.now + timedelta(days=1))
    with desk.database.read() as session:
        assert [attempt.number for attempt in results.trial(session, 1).attempts] == [2]


def test_the_service_archives_by_itself_when_told_to(desk: Desk, tmp_path: Path) -> None:
    ended(desk)
    told = Settings(database="sqlite://", retain_curves_days=0.5)
    Keeper(desk.database, Settings(database="sqlite://"), store=None)._curves()  # type: ignore[arg-type]  # unused
    assert stored(desk) == 2 * POINTS
    Keeper(desk.database, told, store=None)._curves()  # type: ignore[arg-type]  # curves have no files
    assert stored(desk) < POINTS


def test_workers_not_heard_of_for_a_week_are_forgotten_unless_they_hold_a_trial(desk: Desk) -> None:
    desk.create(cells=1)
    desk.claim(name="holder")
    desk.claim(name="idler")
    desk.later(timedelta(days=8).total_seconds())
    desk.claim(name="fresh")
    with desk.database.write() as session:
        roster.forget(session, now=desk.now)
        names = session.scalars(select(models.Worker.name).order_by(models.Worker.name)).all()
    assert names == ["fresh", "holder"]


def test_the_command_says_how_many_studies_it_thinned(sqlite_template: Path, tmp_path: Path) -> None:
    path = tmp_path / "switchback.db"
    path.write_bytes(sqlite_template.read_bytes())
    command = ["archive", "--older-than", "90", "--database", f"sqlite:///{path}"]
    done = CliRunner().invoke(app, command)
    assert (done.exit_code, done.output.strip()) == (0, "thinned the curves of 0 studies")
