"""The worker protocol as scripts, and the studies it is driven against."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import bindparam, select, update

from benchmarks.rig.load import Script, post, repeated
from contract.studies import CreateStudy
from service import studies
from service.database import Database
from service.models import Study, Trial
from service.proposals import enqueue
from service.search import strategy_for

TASKS = ["digits/mlp", *(f"dataset-{data}/model-{model}" for data in range(5) for model in range(6))]
"""As many as a worker with all built-in tasks offers; a claim looks for the oldest trial among them all."""
GRID = 100_000
"""Cells of the grid study; its queue is filled beforehand, so that dispatch is measured and not proposing."""


def grid(cells: int = GRID, steps: int = 1_000) -> CreateStudy:
    """A grid over one rate."""
    rates = {"low": 1e-5, "high": 1.0, "log": True, "points": cells}
    return CreateStudy.model_validate(_base("grid", steps) | {"space": {"schedules": ["cosine"], "lr": rates}})


def tpe(trials: int) -> CreateStudy:
    """A conditional space of three families."""
    space = {
        "schedules": ["cosine", "linear", {"family": "rex", "d": {"low": 0.1, "high": 0.9}}],
        "lr": {"low": 1e-4, "high": 1.0, "log": True},
        "weight_decay": {"low": 1e-6, "high": 1e-2, "log": True},
        "momentum": {"low": 0.0, "high": 0.99},
    }
    search = {"method": "tpe", "trials": trials}
    return CreateStudy.model_validate(_base("tpe", 1_000) | {"space": space, "search": search})


def _base(method: str, steps: int) -> dict[str, Any]:
    return {
        "name": method,
        "task": {"dataset": "digits", "model": "mlp"},
        "budget": {"steps": steps},
        "search": {"method": method},
    }


def fill(database: Database, definition: CreateStudy, count: int) -> int:
    """Store a study with `count` trials queued beyond what it queues by itself; its id."""
    now = datetime.now(UTC)
    strategy = strategy_for(definition)
    with database.write() as session:
        study_id = studies.create(session, definition, now=now)
    with database.write() as session:
        study = session.get_one(Study, study_id)
        proposals = strategy.propose([], study.next_number, count)
        enqueue(session, study.id, proposals, now=now)
    return study_id


def finish(database: Database, study_id: int, count: int) -> None:
    """Queue `count` quasi-random points of a study and give them, and what is queued already, a smooth loss."""
    now = datetime.now(UTC)
    with database.write() as session:
        study = session.get_one(Study, study_id)
        strategy = strategy_for(CreateStudy.model_validate(study.definition))
        numbers = range(study.next_number, study.next_number + count)
        points = [point for number in numbers if (point := strategy.fallback(number)) is not None]
        enqueue(session, study.id, points, now=now)
        rows = session.execute(select(Trial.id, Trial.params).where(Trial.study_id == study_id)).all()
        losses = [{"row": row.id, "loss": 1.0 + (float(row.params["lr"]) - 0.1) ** 2} for row in rows]
        ended = {
            "status": "complete",
            "finished_at": now,
            "started_at": now,
            "attempt": 1,
            "metrics": {"val_loss": 1.0},
        }
        statement = update(Trial).where(Trial.id == bindparam("row")).values(objective=bindparam("loss"), **ended)
        session.connection().execute(statement, losses)


class Hand:
    """A worker's hand: an identity of its own and what it holds."""

    def __init__(self, number: int) -> None:
        self.worker = {
            "id": f"bench-{number:04d}-{secrets.token_hex(4)}",
            "name": f"bench-{number}",
            "device": "cpu",
            "version": "0",
            "tasks": TASKS,
        }

    def claim(self, count: int = 1) -> tuple[str, bytes]:
        """A token and the claim under it."""
        token = secrets.token_urlsafe(32)
        return token, post("/leases/claim", {"worker": self.worker, "token": token, "max_trials": count})

    def claims(self, count: int = 1) -> Script:
        """Claim again and again, never giving back; a queue that ran dry would pass for a fast one."""
        while True:
            leases = (yield self.claim(count)[1]).json()["leases"]
            if len(leases) != count:
                raise RuntimeError(f"asked for {count} trials, got {len(leases)}: fill the queue with more")

    def cycles(self, waits: list[float], count: int = 1) -> Script:
        """Claim, complete each trial with a point of it; the time of the claim of every trial goes to `waits`.

        The last point of a trial goes with its result, and trials of one claim in one request, as a worker does it.
        """
        while True:
            token, data = self.claim(count)
            begun = time.perf_counter()
            leases = (yield data).json()["leases"]
            refs = [reference(lease, token) for lease in leases]
            waits += [1e3 * (time.perf_counter() - begun)] * len(leases)
            if refs:
                ends = {"completions": list(map(completion, refs)), "reports": [reported(ref, [1]) for ref in refs]}
                (yield post("/leases/complete", ends)).json()


def reference(lease: Any, token: str) -> dict[str, Any]:
    return {"trial_id": lease["trial"]["id"], "attempt": lease["attempt"], "token": token}


def reported(ref: dict[str, Any], steps: Sequence[int]) -> dict[str, Any]:
    points = [{"step": step, "values": {"train_loss": 1.0 / step, "lr": 0.1}} for step in steps]
    return {"lease": ref, "total_steps": 10**8, "steps_per_epoch": 10**6, "points": points}


def completion(ref: dict[str, Any]) -> dict[str, Any]:
    return {
        "lease": ref,
        "outcome": "complete",
        "metrics": {"val_loss": 0.5},
        "steps_done": 1_000,
        "device_seconds": 1.0,
        "engine": "solo",
    }


def reports(ref: dict[str, Any], rows: int) -> Script:
    """Report `rows` new points of one trial at a time."""
    step = 1
    while True:
        (yield post("/leases/report", {"reports": [reported(ref, range(step, step + rows))]})).json()
        step += rows


def beats(worker: str, ref: dict[str, Any]) -> Script:
    """Heartbeat one lease."""
    return repeated(post("/leases/heartbeat", {"worker_id": worker, "leases": [ref]}))
