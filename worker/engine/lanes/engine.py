"""The engine `lanes`: trains K jobs as one batched model, and hands to `solo` what it cannot run."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator

import torch

from worker.engine import divergence
from worker.engine.engine import Steering
from worker.engine.errors import describe
from worker.engine.events import Diverged, Dropped, Event, Failed, Finished, Points, Started
from worker.engine.job import Job
from worker.engine.lanes.admission import Admission
from worker.engine.lanes.array import Array
from worker.engine.lanes.intake import Intake
from worker.engine.lanes.row import Row, alike
from worker.engine.lanes.stack import UnsuitedError
from worker.engine.solo import Solo
from worker.tasks import Data, resident

logger = logging.getLogger(__name__)

CAPACITY = {"cpu": 16, "cuda": 64}
"""Lanes by default; on a CPU core the state of more leaves the cache."""


class Lanes:
    """See `worker.engine.engine.Engine`. Jobs that differ in more than numbers are trained in turn, array by array."""

    name = "lanes"

    def __init__(self, device: torch.device, *, lanes: int | None = None, dtype: torch.dtype | None = None) -> None:
        """`lanes`: how many are trained at once; None leaves it to the device. `dtype` as in `Solo`."""
        self.capacity = CAPACITY.get(device.type, CAPACITY["cpu"]) if lanes is None else lanes
        if self.capacity < 1:
            raise ValueError(f"lanes: need at least 1, got {lanes}")
        self.device, self._dtype = device, dtype
        self._solo = Solo(device, dtype=dtype)
        self._admission = Admission(device, dtype)

    def run(self, jobs: Iterable[Job], steering: Steering) -> Iterator[Event]:
        intake = Intake(jobs)
        while (job := intake.next()) is not None:
            if steering.dropped(job.id):
                yield Dropped(job.id, 0, 0.0)
                continue
            row = self._admitted(job)
            if row is None:
                yield from self._solo.run([job], steering)
                continue
            data = resident(job.task, self.device, self._dtype)
            array = Array(row, data, self.device, self._dtype or torch.float32)
            yield from self._train(_Round(array, data, steering), row, intake, steering)

    def _train(self, shift: _Round, first: Row, intake: Intake, steering: Steering) -> Iterator[Event]:
        """One array from its first lane to its last."""
        array = shift.array

        def fit(job: Job) -> Row | None:
            if steering.dropped(job.id) or not alike(job, first.job):
                return None
            row = self._admitted(job)
            return row if row is not None and row.stack == first.stack else None

        joining = [first]
        while joining or array.rows:
            joining += intake.matching(fit, self.capacity - len(array.rows) - len(joining))
            for row in joining:
                yield Started(row.job.id, row.plan.total_steps, row.plan.steps_per_epoch, self.name)
            try:
                events = shift.go(joining)
            except Exception as error:  # all lanes share the computation that raised, and the engine goes on
                logger.info("an array of %d lanes raised", len(array.rows), exc_info=True)
                rows = [*array.rows, *(row for row in joining if row not in array.rows)]
                array.rows = []
                events = [Failed(row.job.id, describe(error), row.seconds) for row in rows]
            joining = []
            yield from events

    def _admitted(self, job: Job) -> Row | None:
        """The job as a lane; None when solo has to train it, or to say what is wrong with it."""
        try:
            return self._admission.admit(job)
        except UnsuitedError as reason:
            logger.info("trial %d is trained alone: %s", job.id, reason)
        except Exception:  # of the user's code or of the job itself
            logger.debug("trial %d cannot be a lane", job.id, exc_info=True)
        return None


class _Round:
    """What happens between two events: lanes join, are trained and looked at, and leave."""

    def __init__(self, array: Array, data: Data, steering: Steering) -> None:
        self.array, self._data, self._steering = array, data, steering

    def go(self, joining: list[Row]) -> list[Event]:
        array, start = self.array, time.perf_counter()
        if joining:
            array.add(joining)
        array.advance(lambda row: not self._steering.dropped(row.job.id))
        due = [row for row in array.rows if row.step == row.stop]
        reasons = self._look(due)
        finished = [row for row in due if row.step == row.plan.total_steps and row not in reasons]
        tests = array.evaluate(finished, self._data.test, "test") if finished else []
        share = (time.perf_counter() - start) / len(array.rows)
        for row in array.rows:
            row.seconds += share
        told = [(row, divergence.finite(row.values)) for row in due]
        events: list[Event] = [Points(row.job.id, row.step, values) for row, values in told if values]
        events += [Diverged(row.job.id, row.step, reason, row.seconds) for row, reason in reasons.items()]
        for row, measured in zip(finished, tests, strict=True):
            events.append(Finished(row.job.id, row.final() | measured, row.step, row.seconds))
        return events + self._leave([*reasons, *finished])

    def _look(self, due: list[Row]) -> dict[Row, str]:
        """Measure the rows that have something to report; those that have diverged, with how that shows."""
        array = self.array
        reasons: dict[Row, str] = {}
        for row, (total, first) in zip(list(array.rows), array.losses(), strict=True):
            if row in due and (reason := row.look(total, first)) is not None:
                reasons[row] = reason
        array.forget(due)
        validated = [row for row in due if row not in reasons and row.plan.validates(row.step)]
        found = array.evaluate(validated, self._data.validation, "val") if validated else []
        norms = dict(zip(array.rows, array.norms(), strict=False))
        for row, measured in zip(validated, found, strict=True):
            row.values |= measured
            reason = divergence.of_values(row.values, row.step)
            if reason is None and row.step == row.plan.total_steps:
                reason = divergence.of_parameters(norms[row], row.step)
            if reason is not None:
                reasons[row] = reason
        return reasons

    def _leave(self, done: list[Row]) -> list[Event]:
        """Take out the lanes that are done and those that were dropped; what is to be said of the latter."""
        array = self.array
        dropped = [row for row in array.rows if row not in done and self._steering.dropped(row.job.id)]
        stay = [row for row in array.rows if row not in done and row not in dropped]
        if len(stay) < len(array.rows):
            array.keep(stay)
        for row in stay:
            if row.step == row.stop:
                row.stop = next(row.stops)
        return [Dropped(row.job.id, row.step, row.seconds) for row in dropped]
