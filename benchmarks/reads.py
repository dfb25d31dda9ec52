"""How fast a large study is read over HTTP: trial page, leaderboard, curves, what changed, and "nothing new" (304).

The database is filled directly: one study of 50,000 finished trials with 100 curve points each. While it is read, a
worker reports, so that every read meets a database that is written to.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from sqlalchemy import insert, select, text, update

from benchmarks import Figure, publish
from benchmarks.rig.load import Answer, Script, ask, drive, get
from benchmarks.rig.serving import KINDS, Service, database, opened, settle
from benchmarks.rig.work import Hand, fill, grid, reference, reports
from service.database import Database
from service.models import Point, Trial

POINTS = 100
SECONDS_APART = 60
CHUNK = 500


def build(own: Database, trials: int) -> int:
    """A finished grid of `trials` cells with their curves; the study's id."""
    study = fill(own, grid(trials + 1_000), trials)
    rng, now = random.Random(0), datetime.now(UTC)
    with own.read() as session:
        ids = list(session.scalars(select(Trial.id).where(Trial.study_id == study).order_by(Trial.id).limit(trials)))
    for start in range(0, trials, CHUNK):
        chunk = ids[start : start + CHUNK]
        with own.write() as session:
            session.execute(insert(Point), list(curves(chunk, rng)))
            ended = now - timedelta(seconds=SECONDS_APART * (trials - start))
            changes = {"status": "complete", "attempt": 1, "total_steps": 1_000, "steps_per_epoch": 100}
            changes |= {"steps_done": 1_000, "started_at": ended, "finished_at": ended, "metrics": {"val_loss": 1.0}}
            session.execute(
                update(Trial).where(Trial.id.in_(chunk)).values(objective=Trial.id % 9973 / 9973, **changes)
            )
    settle(own)
    return study


def curves(trials: list[int], rng: random.Random) -> Iterator[dict[str, object]]:
    for trial in trials:
        level = rng.uniform(0.5, 2.0)
        for index in range(1, POINTS + 1):
            values = {"train_loss": level / index**0.5, "lr": 0.1 * (1 - index / POINTS)}
            if index % 10 == 0:
                values |= {"val_loss": 1.1 * level / index**0.5, "val_accuracy": 1 - 0.5 / index**0.5}
            yield {"trial_id": trial, "attempt": 1, "step": 10 * index, "values": values}


def size_mb(own: Database) -> float:
    statement = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
    with own.read() as session:
        found = session.scalar(text(statement if own.is_sqlite else "SELECT pg_database_size(current_database())"))
    return float(found or 0) / 1e6


def asked(paths: Iterator[str], **headers: str) -> Script:
    """One path after the other; each answer must be a success."""
    for path in paths:
        answer: Answer = yield get(path, **headers)
        if answer.status not in {200, 304}:
            raise RuntimeError(f"{path}: {answer.status} {answer.body[:300]!r}")


def measure(service: Service, study: int, trials: int, count: int) -> list[Figure]:
    """The 95th percentile of each page, one reader beside a worker who reports."""
    rng = random.Random(1)
    at, hand = f"/studies/{study}", Hand(0)
    token, data = hand.claim()
    lease = ask(service.address, data).json()["leases"][0]
    since = ask(service.address, get(f"{at}/trials?limit=1")).json()["since"]
    pages = {
        "trial page (100)": lambda: f"{at}/trials?limit=100&cursor={rng.randrange(trials)}",
        "changes since": lambda: f"{at}/trials?limit=100&since={since}",
        "leaderboard (50)": lambda: f"{at}/leaderboard?limit=50&_={rng.random()}",
        "curves of the leaders": lambda: f"{at}/curves?points=200",
        "curves of 50 trials": lambda: f"{at}/curves?trials={','.join(map(str, rng.sample(range(1, trials), 50)))}",
        "study": lambda: at,
    }
    figures = []
    for name, path in pages.items():
        latencies: list[float] = []
        for _ in range(count):
            worker = reports(reference(lease, token), 10)
            step = next(worker)
            drive(service.address, [_one(step)], seconds=30)
            latencies += drive(service.address, [asked(iter([path()]))], seconds=60).latencies
        figures.append(_figure(name, latencies, 100))
    tag = ask(service.address, get(f"{at}/leaderboard")).head.split(b"etag: ")[1].split(b"\r\n")[0].decode()
    again = drive(service.address, [asked(iter([f"{at}/leaderboard"] * 4 * count), if_none_match=tag)], seconds=60)
    return [*figures, _figure("leaderboard, nothing new (304)", again.latencies, 5)]


def _one(data: bytes) -> Script:
    (yield data).json()


def _figure(name: str, latencies: list[float], target: float) -> Figure:
    ordered = sorted(latencies)
    p50, p95 = ordered[len(ordered) // 2], ordered[int(0.95 * (len(ordered) - 1))]
    return Figure(f"{name}: p95, ms", p95, f"<= {target}", f"p50 {p50:.1f} ms, {len(ordered)} reads")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the trials, fewer reads")
    parser.add_argument("--postgres", action="store_true", help="on PostgreSQL instead of SQLite")
    parser.add_argument("--trials", type=int, default=None)
    given = parser.parse_args()
    trials, count = (given.trials or 5_000, 10) if given.quick else (given.trials or 50_000, 60)
    with database(KINDS[given.postgres]) as url:
        own = opened(url)
        study = build(own, trials)
        size = size_mb(own)
        own.close()
        print(
            f"{trials:,} trials, {trials * POINTS:,} points: {size:.0f} MB, "
            f"{1e6 * size / trials / POINTS:.0f} bytes a point"
        )
        with Service(url, "--lease-ttl", "3600") as service:
            return publish("reads", measure(service, study, trials, count))


if __name__ == "__main__":
    sys.exit(main())
