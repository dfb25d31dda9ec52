"""The engine `solo`: one trial at a time, plainly, with `torch.optim`; the reference every other engine must equal."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch

from worker.engine import divergence
from worker.engine.engine import Steering
from worker.engine.errors import describe
from worker.engine.events import Checkpointed, Diverged, Dropped, Event, Failed, Finished, Points, Started
from worker.engine.job import Job
from worker.engine.snapshot import UnfitError
from worker.engine.training import Training
from worker.tasks import resident

logger = logging.getLogger(__name__)


class Solo:
    """See `worker.engine.engine.Engine`. On the CPU the same job gives bit-equal events every time."""

    name = "solo"
    capacity = 1

    def __init__(self, device: torch.device, *, dtype: torch.dtype | None = None) -> None:
        """`dtype` of models and data; None leaves them as the task makes them."""
        self.device, self._dtype = device, dtype

    def run(self, jobs: Iterable[Job | None], steering: Steering) -> Iterator[Event]:
        for job in filter(None, jobs):
            if steering.dropped(job.id):
                yield Dropped(job.id, 0, 0.0)
                continue
            watch = _Watch()
            try:
                yield from self._train(job, steering, watch)
            except Exception as error:  # the task is the user's code: whatever it raises is this trial's outcome
                logger.info("trial %d raised", job.id, exc_info=True)
                yield Failed(job.id, describe(error), watch.seconds)

    def _train(self, job: Job, steering: Steering, watch: _Watch) -> Iterator[Event]:
        resident(job.task, self.device, self._dtype)  # loaded once for all trials, so none of them is charged for it
        with watch.running():
            training = self._begun(job, steering)
        horizon, told = training.horizon, training.rates.told
        yield Started(job.id, horizon.total_steps, horizon.steps_per_epoch, self.name, training.step or None)
        values: dict[str, float] = {}
        for stop in horizon.stops(after=training.step):
            while not _advanced(training, stop, watch):
                if training.checkpoint_due:
                    with watch.running():
                        snapshot = training.snapshot()
                    yield Checkpointed(job.id, training.step, snapshot)
                if steering.dropped(job.id):
                    yield Dropped(job.id, training.step, watch.seconds)
                    return
            with watch.running():
                rate = told(stop)
                values, reason = _look(training)
            if finite := divergence.finite(values):
                yield Points(job.id, stop, finite | rate)
            if reason is not None:
                yield Diverged(job.id, stop, reason, watch.seconds)
                return
        with watch.running():
            metrics = values | {"train_loss": training.epoch_loss()} | training.test() | training.averaged()
        yield Finished(job.id, metrics, training.step, watch.seconds)

    def _begun(self, job: Job, steering: Steering) -> Training:
        """The job before its next update: the one after its snapshot, if it has one that fits."""
        training = Training(job, self.device, steering, dtype=self._dtype)
        if job.resume is None:
            return training
        try:
            training.restore(job.resume)
        except UnfitError as reason:
            logger.warning("trial %d is trained from its beginning: its checkpoint does not fit: %s", job.id, reason)
            return Training(job, self.device, steering, dtype=self._dtype)
        return training


def _advanced(training: Training, stop: int, watch: _Watch) -> bool:
    with watch.running():
        return training.advance(stop)


def _look(training: Training) -> tuple[dict[str, float], str | None]:
    """The values after the updates made so far, and, when training has diverged, how that shows."""
    loss, reason = training.train_loss()
    values = {"train_loss": loss}
    if reason is not None or not training.horizon.validates(training.step):
        return values, reason
    values |= training.validate()
    reason = divergence.of_values(values, training.step)
    if reason is not None:
        return values, reason
    training.rates.observe(values, training.step)
    return values, training.overflown() if training.step == training.horizon.total_steps else None


class _Watch:
    """Sums the wall time spent in `with watch.running():`."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - start
