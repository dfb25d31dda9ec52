"""The metrics: whether anything is stuck, read from the database at each scrape, and how long requests take.

What every process of a service sees alike (trials, leases, workers) comes from the database; `max()` over processes is
right for it. Requests and waiting writes are a process's own; `sum()` over processes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from service.lifecycle import STATUSES
from service.line import has
from service.models import Pulse, Study, Trial, Worker


class _Found(Collector):
    """Metrics that have been read already."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def exposition(session: Session, *collectors: Collector, now: datetime, live: timedelta, waiting: int) -> bytes:
    """The page that Prometheus reads; a scoped session tells of its own projects only."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Found(_queue(session, now=now, live=live)))
    registry.register(_Found([_gauge("writes_waiting", "Writes that wait for the writer of this process.", waiting)]))
    for collector in collectors:
        registry.register(collector)
    return generate_latest(registry)


def _queue(session: Session, *, now: datetime, live: timedelta) -> list[Metric]:
    tally = dict(session.execute(select(Trial.status, func.count()).group_by(Trial.status)).all())
    trials = _labelled("trials", "Trials by status.", "status", {name: tally.get(name, 0) for name in STATUSES})
    studies = dict(session.execute(select(Study.status, func.count()).group_by(Study.status)).all())
    workers = session.execute(select(Worker.version, Worker.tasks).where(Worker.last_seen_at > now - live)).all()
    versions = Counter(version for version, _ in workers)
    offered = {task for _, tasks in workers for task in tasks}
    queued = session.execute(_queued()).all()
    oldest = min((since for _, _, since in queued), default=None)
    overdue = select(func.count()).where(has("leased"), Trial.lease_expires_at < now)
    beat = session.scalar(select(Pulse.beat_at))
    return [
        trials,
        _labelled("studies", "Studies by status.", "status", studies),
        _labelled("workers_live", "Workers heard of within a lease's lifetime, by version.", "version", versions),
        _labelled("queue_depth", "Queued trials by task.", "task", {task: count for task, count, _ in queued}),
        _gauge(
            "queue_unserved",
            "Queued trials whose task no live worker offers: stuck until one is started.",
            sum(count for task, count, _ in queued if task not in offered),
        ),
        _gauge("queue_oldest_seconds", "Age of the oldest queued trial.", _age(oldest, now)),
        _gauge("leases_overdue", "Leases past their time that no sweep has seen.", session.scalar(overdue) or 0),
        _gauge("sweep_lag_seconds", "Since the last sweep for overdue leases, by any process.", _age(beat, now)),
    ]


def _queued() -> Select[str, int, datetime]:
    """Per task: how many trials of running studies wait, and since when the oldest does."""
    running = select(Trial.task_key, func.count(), func.min(Trial.created_at)).join(Study)
    return running.where(has("queued"), Study.paused_at.is_(None)).group_by(Trial.task_key)


def _age(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else max(0.0, (now - since).total_seconds())


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"switchback_{name}", text, value=value)


def _labelled(name: str, text: str, label: str, values: Mapping[Any, int]) -> Metric:  # Any: whatever names a label
    family = GaugeMetricFamily(f"switchback_{name}", text, labels=[label])
    for value, count in values.items():
        family.add_metric([str(value)], count)
    return family
