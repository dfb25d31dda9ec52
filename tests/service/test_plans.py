"""PostgreSQL, which knows how many trials there are of which kind, still finds those of a claim by their own index.

It counted when nobody trained yet; since then many have begun.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from desk import TTL_S, Desk, definition, token, worker
from sqlalchemy import event, text

from contract.leases import ClaimRequest, Completion, CompletionBatch, HeartbeatRequest, Point, TrialReport
from service import engines, queue, sweep
from service.histories import Histories
from service.models import Study
from service.planner import top_up
from service.proposals import enqueue
from service.queue import Claim
from service.search import strategy_for

QUEUED, BEGUN = 3_000, 1_000
READ = {"trials", "attempts", "points", "artifacts", "workers"}
RARE = "digits/cnn"
POINT = Point(step=5, values={"train_loss": 1.0})
END = {"outcome": "complete", "metrics": {"val_loss": 0.5}, "steps_done": 20, "device_seconds": 1.0, "engine": "solo"}


def fill(desk: Desk) -> None:
    """Thousands of trials of one task wait."""
    desk.now = datetime.now(UTC)
    study_id = desk.create(cells=QUEUED)
    with desk.database.write() as session:
        study = session.get_one(Study, study_id)
        proposals = strategy_for(definition(cells=QUEUED)).propose([], study.next_number, QUEUED)
        enqueue(session, study_id, proposals, now=desk.now)


def begin(desk: Desk) -> None:
    """A thousand of them have been claimed."""
    for index in range(BEGUN // 50):
        desk.claim(name=f"{index:04}", count=50)


@pytest.fixture
def known(desk: Desk) -> Desk:
    """Thousands of trials of one task wait, before one of another; and the database has counted them."""
    fill(desk)
    desk.create(cells=3, task={"dataset": "digits", "model": "cnn"})
    with desk.database.write() as session:
        session.execute(text("ANALYZE"))
    begin(desk)
    return desk


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def walks(desk: Desk) -> list[str]:
    """How trials and attempts are read, by all statements from now on, where no condition on an index leads to them.

    As statements are planned once, without the values of their parameters.
    """
    found: list[str] = []

    def explain(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        planned = statement.lstrip().upper().startswith(("SELECT", "UPDATE", "WITH"))
        if not planned or "GROUP BY" in statement:  # a tally reads its whole study
            return
        names: dict[str, str] = {}
        numbered = re.sub(r"%\((\w+)\)s", lambda name: names.setdefault(name[1], f"${len(names) + 1}"), statement)
        plan = cursor.execute(f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {numbered}").fetchone()[0][0]["Plan"]
        read = [node for node in nodes(plan) if node.get("Relation Name") in READ and "Scan" in node["Node Type"]]
        loose = [node for node in read if "Index Cond" not in node]
        found.extend(f"{node['Node Type']} {node.get('Index Name')}: {statement}" for node in loose)

    event.listen(desk.database.writer, "before_cursor_execute", explain)
    return found


def pairs(desk: Desk, rounds: int) -> None:
    """Trials are claimed and completed two at a time."""
    for _ in range(rounds):
        leases = desk.claim(count=2)
        ends = [Completion.model_validate(END | {"lease": desk.ref(lease)}) for lease in leases]
        with desk.database.write() as session:
            queue.complete(session, [CompletionBatch(completions=ends)], now=desk.now)


def plan_of(desk: Desk, beginning: str) -> str:
    """The plan that the writing connection keeps of the one statement that begins so."""
    with desk.database.write() as session:
        named = text("SELECT name, cardinality(parameter_types) FROM pg_prepared_statements WHERE statement LIKE :sql")
        name, count = session.execute(named, {"sql": f"{beginning}%"}).one()
        given = ", ".join(["NULL"] * count)
        return "\n".join(session.scalars(text(f"EXPLAIN EXECUTE {name}({given})")))


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_plan_that_was_made_for_an_empty_table_is_not_kept_while_it_grows(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(desk)
    with desk.database.writer.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    pairs(desk, 8)  # psycopg prepares what it has sent five times
    walking = plan_of(desk, "UPDATE attempts")
    monkeypatch.setattr(engines, "PLANS_LAST_S", 0.0)
    begin(desk)
    assert "Index Cond" in plan_of(desk, "UPDATE attempts"), walking


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_nothing_that_workers_ask_walks_over_the_trials_or_attempts_of_others(known: Desk) -> None:
    found = walks(known)
    tasks = (RARE, *(f"set-{index}/model" for index in range(5)))
    asked = [ClaimRequest(worker=worker(tasks=tasks), token=token(), max_trials=count) for count in (1, 1, 2)]
    with known.database.write() as session:
        leased = queue.claim(session, [Claim(request) for request in asked], now=known.now, ttl_s=TTL_S)
    known.tokens |= {leases[0].trial.id: request.token for leases, request in zip(leased, asked, strict=True)}
    refs = [known.ref(leases[0]) for leases in leased]
    reports = [TrialReport(lease=ref, total_steps=20, steps_per_epoch=10, points=[POINT]) for ref in refs]
    ends = [Completion.model_validate(END | {"lease": ref}) for ref in refs[1:]]
    with known.database.write() as session:
        for some in (refs[:1], refs):
            beat = HeartbeatRequest(worker_id=worker().id, leases=some)
            queue.heartbeat(session, [beat], now=known.now, ttl_s=TTL_S)
            queue.report(session, [reports[: len(some)]], now=known.now, ttl_s=TTL_S)
        queue.complete(session, [CompletionBatch(completions=ends, reports=reports[1:])], now=known.now)
    known.complete(refs[0])
    top_up(known.database, Histories(), 2, live=timedelta(seconds=TTL_S))
    with known.database.write() as session:
        sweep.sweep(session, now=known.now)
    assert found == [], "\n\n".join(found)
