"""Trunks that are kept for trials that come later: which states, under which name, and how a trial begins from one.

A trunk is named after all that its updates depend on: the origin (initial state, data and what the model makes of it,
kind of optimizer, type of numbers and device, version of torch) and the numbers that the updates have read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from worker.engine import divergence
from worker.engine.events import Diverged, Event, Points
from worker.engine.lanes.array import Array, Column
from worker.engine.lanes.likeness import told
from worker.engine.lanes.row import Member, Past, Row
from worker.engine.plan import Plan
from worker.engine.snapshot import Snapshot, fingerprint, kept
from worker.tasks import Data

logger = logging.getLogger(__name__)

ENGINE, VERSION = "tree", 1
LONG = 0.05
"""Rates that stay as they are for so much of the horizon are a stable phase; others may want to leave it elsewhere."""


class Trunks(Protocol):
    """Where trunks are kept. Neither method raises: a trunk that cannot be kept or read is a trunk to train."""

    least_s: float
    """What is cheaper to compute is not worth keeping."""

    def keep(self, origin: str, numbers: NDArray[np.float64], make: Callable[[], Snapshot]) -> None:
        """`numbers` are those that the updates up to the snapshot have read; it is not made when it is there."""
        ...

    def longest(self, origin: str, numbers: NDArray[np.float64]) -> Snapshot | None:
        """That of most updates whose numbers are the first ones of `numbers`."""
        ...


class Nursery:
    """The trunks of one array."""

    def __init__(self, trunks: Trunks, array: Array, data: Data) -> None:
        self._trunks, self._array, self._data = trunks, array, data
        self._origins: dict[Hashable, str | None] = {}

    def find(self, member: Member) -> Snapshot | None:
        origin = self._origin(member)
        return None if origin is None else self._trunks.longest(origin, member.trajectory)

    def begin(self, row: Row, trunk: Snapshot | None) -> Column | None:
        """Makes the row remember its past, from now on or from the trunk's beginning; the trunk's column."""
        row.past = Past(tuple(sorted({mark for member in row.members.values() for mark in marks(member.horizon)})))
        if trunk is None:
            return None
        row.past.losses = trunk.tensors["losses"].tolist()
        validations = trunk.counters["validations"]
        assert isinstance(validations, Mapping)
        row.past.validations = {int(step): _numbers(values) for step, values in validations.items()}
        # Files have an order of their own.
        return [tensor for _, tensor in sorted(trunk.part("column").items())]

    def keep(self, row: Row) -> None:
        """If it has come to where that may be worth it."""
        past = row.past
        if past is None or (row.step != row.node.stop and row.step not in past.marks):
            return
        if past.unkept_s < self._trunks.least_s or not row.members:
            return
        some = row.some
        origin = self._origin(some)
        if origin is None:
            return
        self._trunks.keep(origin, some.trajectory[: row.step], lambda: self._snapshot(row, past, origin))
        past.unkept_s = 0.0

    def _snapshot(self, row: Row, past: Past, origin: str) -> Snapshot:
        column = {f"{place:04}": tensor for place, tensor in enumerate(self._array.column(row))}
        return Snapshot(
            engine=ENGINE,
            version=VERSION,
            job=origin,
            device=self._array.device.type,
            step=row.step,
            tensors={**kept("column", column), "losses": torch.tensor(past.losses, dtype=torch.float64)},
            counters={"validations": {str(step): dict(values) for step, values in past.validations.items()}},
        )

    def _origin(self, member: Member) -> str | None:
        """None for a model or data that cannot be told."""
        kind = told(member.job)
        if kind not in self._origins:
            try:
                self._origins[kind] = self._named(member, kind)
            except Exception:  # of the user's code, which may well train nevertheless
                logger.info("no trunks are kept of %s", member.job.task.key, exc_info=True)
                self._origins[kind] = None
        return self._origins[kind]

    def _named(self, member: Member, kind: Hashable) -> str:
        column = self._array.fresh(member)
        state = fingerprint([*column, *self._array.probe(column)])
        words = (ENGINE, VERSION, torch.__version__, self._array.device.type, _of_data(self._data), state, kind)
        return sha256(repr(words).encode()).hexdigest()


def replay(row: Row) -> Iterator[Event]:
    """What each of the row's jobs would have said up to the row's step; those that would have diverged leave."""
    past = row.past
    assert past is not None
    for member in list(row.members.values()):
        at, reason = 0, None
        while member.stop < row.step and reason is None:
            member.take(at, past.losses[at : member.stop])
            at, reason = member.stop, member.look()
            if reason is None and member.horizon.validates(at):
                reason = member.measured(past.validations[at])
            if values := divergence.finite(member.tally.values):
                yield Points(member.job.id, at, values)
            member.go_on()
        if reason is None:
            member.take(at, past.losses[at : row.step])
        else:
            yield Diverged(member.job.id, at, reason, member.tally.seconds)
            row.leave([member])


def marks(horizon: Plan) -> list[int]:
    """The ends of the stable phases."""
    still = np.flatnonzero(np.diff(horizon.lr)) + 1
    edges = np.concatenate([[0], still, [horizon.total_steps]])
    long = np.diff(edges) >= max(2, LONG * horizon.total_steps)
    found: list[int] = edges[1:][long].tolist()
    return found


@lru_cache(maxsize=8)
def _of_data(data: Data) -> str:
    return fingerprint([tensor for split in (data.train, data.validation) for tensor in (split.inputs, split.targets)])


def _numbers(values: object) -> dict[str, float]:
    assert isinstance(values, Mapping)
    return {str(name): float(value) for name, value in values.items()}
