"""Writes that share a commit: each is answered after it, and none is touched by another's failure."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, closing
from datetime import datetime

import pytest
from desk import Desk
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from service import studies, writer
from service.database import Database
from service.errors import NotFound, Overloaded
from service.settings import Settings
from service.ticks import tick
from service.turns import Turns
from service.writer import Writer


def served(database: Database, work: Callable[[Writer], Awaitable[object]]) -> object:
    """Run with a writer that is started and closed around it."""

    async def _run() -> object:
        found = Writer(database)
        found.start()
        try:
            return await work(found)
        finally:
            await found.close()

    return asyncio.run(_run())


def stops(study_id: int) -> Callable[[Session, datetime], int]:
    def _stop(session: Session, now: datetime) -> int:
        studies.stop(session, study_id, now=now, reason="asked to")
        return study_id

    return _stop


def test_what_is_answered_can_be_read_by_others(desk: Desk) -> None:
    study = desk.create()
    assert served(desk.database, lambda found: found.write(stops(study))) == study
    assert set(desk.statuses()) == {"cancelled"}


def test_of_writes_that_share_a_commit_one_that_fails_is_undone_alone(desk: Desk) -> None:
    first, second = desk.create(cells=1), desk.create(cells=1)

    def half(session: Session, now: datetime) -> int:
        studies.stop(session, second, now=now, reason="undone")
        raise NotFound("after it has written")

    done, undone = desk.database.write_together([(stops(first), ()), (half, ())])
    assert (done, type(undone)) == (first, NotFound)
    assert desk.statuses() == ["cancelled", "queued"]


def test_a_failure_reaches_the_one_who_asked(desk: Desk) -> None:
    with pytest.raises(NotFound, match="no study 77"):
        served(desk.database, lambda found: found.write(stops(77)))


def test_writes_beyond_what_may_wait_are_told_to_come_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "WAITING", 8)
    free = threading.Event()

    async def flood(found: Writer) -> list[object]:
        asked = [asyncio.create_task(found.write(lambda _session, _now: free.wait(10))) for _ in range(200)]
        await asyncio.sleep(0.1)
        other.close()
        free.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    with ExitStack() as other:
        other.enter_context(desk.database.write())
        outcomes = served(desk.database, flood)
    assert isinstance(outcomes, list)
    assert {type(outcome) for outcome in outcomes} == {bool, Overloaded}


def test_closing_finishes_what_was_accepted(desk: Desk) -> None:
    studies_made = [desk.create(cells=1) for _ in range(5)]

    async def leave(found: Writer) -> list[int]:
        asked = [asyncio.create_task(found.write(stops(study))) for study in studies_made]
        await asyncio.sleep(0)
        await found.close()
        return await asyncio.gather(*asked)

    assert served(desk.database, leave) == studies_made
    assert desk.statuses() == ["cancelled"] * 5


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_who_waits_behind_a_group_that_the_locked_database_refused_is_refused_with_it(
    database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "GROUP", 1)
    monkeypatch.setattr(writer, "LOCK_TIMEOUT_S", 1)
    monkeypatch.setattr("service.database.LOCK_TIMEOUT_S", 1)

    async def crowd(found: Writer) -> list[object]:
        asked = [asyncio.create_task(found.write(lambda _session, _now: True)) for _ in range(100)]
        return await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 30)  # one by one: 100 s

    with (
        closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as other,
        closing(Database(Settings(database=database_url))) as own,
    ):
        other.execute("BEGIN IMMEDIATE")
        outcomes = served(own, crowd)
    assert isinstance(outcomes, list)
    assert {type(outcome) for outcome in outcomes} == {Overloaded}


def writer_of(_session: Session, _now: datetime) -> str:
    return threading.current_thread().name


def test_what_nobody_stands_in_the_way_of_is_written_by_the_event_loop_itself_on_sqlite(desk: Desk) -> None:
    name = served(desk.database, lambda found: found.write(writer_of))
    assert isinstance(name, str)
    assert name == threading.current_thread().name if desk.database.is_sqlite else name.startswith("writer-")


def test_after_a_group_that_took_long_the_threads_write(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "SHORT_S", 0.0)

    async def twice(found: Writer) -> str:
        await found.write(writer_of)
        return await found.write(writer_of)

    name = served(desk.database, twice)
    assert isinstance(name, str)
    assert name.startswith("writer-")


async def ticking(found: Writer, free: Callable[[], object]) -> str:
    """Who wrote, after the loop has been seen to turn while the write waited."""
    asked = asyncio.create_task(found.write(writer_of))
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert not asked.done()
    free()
    return await asyncio.wait_for(asked, 10)


def test_the_event_loop_goes_on_while_another_writes(desk: Desk) -> None:
    if not desk.database.is_sqlite:
        pytest.skip("PostgreSQL has many writers")
    with ExitStack() as other:
        other.enter_context(desk.database.write())
        assert served(desk.database, lambda found: ticking(found, other.close)) == "writer-0"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_event_loop_goes_on_while_another_process_has_locked_the_file(
    database_url: str, database: Database
) -> None:
    with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as other:
        other.execute("BEGIN IMMEDIATE")
        assert served(database, lambda found: ticking(found, other.rollback)) == "writer-0"
        assert served(database, lambda found: found.write(writer_of)) == threading.current_thread().name


def test_requests_of_one_moment_share_a_commit(desk: Desk) -> None:
    def transaction(session: Session, _now: datetime) -> int:
        return session.execute(select(tick())).scalar_one()

    async def together(found: Writer) -> list[int]:
        return await asyncio.gather(*(found.write(transaction) for _ in range(30)))

    seen = served(desk.database, together)
    assert isinstance(seen, list)
    assert len(set(seen)) == 1


def test_a_lock_is_given_in_the_order_it_was_asked_for() -> None:
    turns, order = Turns(5), []

    def take(number: int) -> None:
        with turns:
            order.append(number)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(8)]
    with turns:
        for count, thread in enumerate(threads, start=1):
            thread.start()
            while len(turns._waiting) < count:
                threading.Event().wait(0.001)
    for thread in threads:
        thread.join()
    assert order == list(range(8))


def test_whoever_waits_too_long_for_the_lock_is_told_to_come_back() -> None:
    turns = Turns(0.01)
    with turns, pytest.raises(Overloaded, match="busy writing"), turns:
        pass
    with turns:
        pass


def test_postgresql_plans_statements_once_whatever_options_the_url_has(desk: Desk) -> None:
    if desk.database.is_sqlite:
        pytest.skip("SQLite has no such setting")
    url = desk.database.url.update_query_dict({"options": "-c application_name=ours"})
    settings = Settings(database=url.render_as_string(hide_password=False))
    with closing(Database(settings)) as database, database.read() as session:
        shown = [session.scalar(text(f"show {name}")) for name in ("plan_cache_mode", "jit", "application_name")]
    assert shown == ["force_generic_plan", "off", "ours"]
