"""PostgreSQL, which knows how many trials there are of which kind, still finds those of a claim by their own index."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from desk import TTL_S, Desk, definition, token, worker
from sqlalchemy import event, text

from contract.leases import ClaimRequest, Completion, CompletionBatch, HeartbeatRequest, Point, TrialReport
from service import queue, sweep
from service.histories import Histories
from service.models import Study
from service.planner import top_up
from service.proposals import enqueue
from service.queue import Claim
from service.search import strategy_for

QUEUED = 3_000
RARE = "digits/cnn"
POINT = Point(step=5, values={"train_loss": 1.0})
END = {"outcome": "complete", "metrics": {"val_loss": 0.5}, "steps_done": 20, "device_seconds": 1.0, "engine": "solo"}


@pytest.fixture
def known(desk: Desk) -> Desk:
    """Thousands of trials of one task wait, before one of another; and the database has counted them."""
    desk.now = datetime.now(UTC)
    study_id = desk.create(cells=QUEUED)
    with desk.database.write() as session:
        study = session.get_one(Study, study_id)
        proposals = strategy_for(definition(cells=QUEUED)).propose([], study.next_number, QUEUED)
        enqueue(session, study_id, proposals, now=desk.now)
    desk.create(cells=3, task={"dataset": "digits", "model": "cnn"})
    with desk.database.write() as session:
        session.execute(text("ANALYZE"))
    return desk


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def walks(desk: Desk) -> list[str]:
    """How the trials are read, by all statements from now on, where no condition on an index leads to them.

    As statements are planned once, without the values of their parameters.
    """
    found: list[str] = []

    def explain(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        planned = statement.lstrip().upper().startswith(("SELECT", "UPDATE", "WITH")) and "trials" in statement
        if not planned or "GROUP BY" in statement:  # a tally reads its whole study
            return
        names: dict[str, str] = {}
        numbered = re.sub(r"%\((\w+)\)s", lambda name: names.setdefault(name[1], f"${len(names) + 1}"), statement)
        plan = cursor.execute(f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {numbered}").fetchone()[0][0]["Plan"]
        read = [node for node in nodes(plan) if node.get("Relation Name") == "trials" and "Scan" in node["Node Type"]]
        loose = [node for node in read if "Index Cond" not in node]
        found.extend(f"{node['Node Type']} {node.get('Index Name')}: {statement}" for node in loose)

    event.listen(desk.database.writer, "before_cursor_execute", explain)
    return found


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_nothing_that_workers_ask_walks_over_the_trials_of_others(known: Desk) -> None:
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
