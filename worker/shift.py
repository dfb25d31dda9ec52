"""The trials a worker trains together, from their leases to their endings: engine events in, messages out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from pydantic import ValidationError

from contract.leases import Completion, Failure, Lease, LeaseRef, Point, Release, TrialReport
from contract.trials import TrialSpec
from worker import translate
from worker.engine import (
    Checkpointed,
    Diverged,
    Dropped,
    Engine,
    Event,
    Failed,
    Finished,
    Job,
    Points,
    Started,
    Steering,
)
from worker.engine.errors import describe
from worker.holdings import Holdings
from worker.outbox import MAX_ERROR, Checkpoint, Ending, Message
from worker.tasks import TaskError

logger = logging.getLogger(__name__)


class Shift:
    """One engine run over some leases. `put` takes what the service must be told, in order.

    `job` makes of a lease what is to be trained, and raises TaskError or ValueError.
    """

    def __init__(
        self,
        leases: Sequence[Lease],
        token: str,
        *,
        engine: Engine,
        steering: Steering,
        holdings: Holdings,
        job: Callable[[Lease], Job],
        put: Callable[[Message], None],
    ) -> None:
        self.steering = steering
        self.leases = {
            lease.trial.id: LeaseRef(trial_id=lease.trial.id, attempt=lease.attempt, token=token) for lease in leases
        }
        self._given = leases
        self._trials: dict[int, TrialSpec] = {lease.trial.id: lease.trial for lease in leases}
        self._engine, self._job, self._holdings, self._put = engine, job, holdings, put
        self._open = set(self.leases)
        self._started: dict[int, Started] = {}

    def train(self, between: Callable[[], None]) -> None:
        """Train all trials to their endings; `between` is called after every event."""
        try:
            for event in self._engine.run(self._jobs(), self.steering):
                self._tell(event)
                between()
        except Exception as error:  # a fault of the engine: its trials end with it, the worker goes on
            logger.exception("the engine %s failed", self._engine.name)
            for trial_id in sorted(self._open):
                self._fail(trial_id, f"the engine failed: {describe(error)}")

    def _jobs(self) -> list[Job]:
        jobs: list[Job] = []
        for lease in self._given:
            try:
                jobs.append(self._job(lease))
            except (TaskError, ValueError) as error:
                self._fail(lease.trial.id, str(error))
        return jobs

    def _tell(self, event: Event) -> None:
        if event.job not in self._open:
            return
        lease = self.leases[event.job]
        try:
            match event:
                case Started():
                    self._started[event.job] = event
                    logger.info(
                        "%s: training %d steps, from step %d",
                        self._named(event.job),
                        event.total_steps,
                        event.resumed_from or 0,
                    )
                    self._report(event.job, [])
                case Points():
                    self._report(event.job, [translate.point(event.step, event.values)])
                case Checkpointed():
                    self._put(Checkpoint(lease, event.snapshot))
                case Finished():
                    self._end(event.job, translate.completed(lease, event, self._started[event.job].engine))
                case Diverged():
                    self._end(event.job, translate.diverged(lease, event, self._started[event.job].engine))
                case Failed():
                    self._fail(event.job, event.error, event.device_seconds)
                case Dropped():
                    self._dropped(event)
        except ValidationError as error:
            self._fail(event.job, f"the task reports what the service cannot take: {error}")

    def _report(self, trial_id: int, points: list[Point]) -> None:
        start = self._started[trial_id]
        self._put(
            TrialReport(
                lease=self.leases[trial_id],
                total_steps=start.total_steps,
                steps_per_epoch=start.steps_per_epoch,
                points=points,
                resumed_from=start.resumed_from,
            )
        )

    def _dropped(self, event: Dropped) -> None:
        holding = self._holdings.of(self.leases[event.job])
        if holding.lost:
            self._open.discard(event.job)
            logger.warning("%s: stopped after %d steps, its lease was lost", self._named(event.job), event.step)
        elif holding.refused is not None:
            self._fail(event.job, f"the service refused its reports: {holding.refused}", event.device_seconds)
        else:
            reason = holding.end or "the worker was told to stop"
            lease = self.leases[event.job]
            self._end(event.job, Release(lease=lease, reason=reason, device_seconds=event.device_seconds))

    def _fail(self, trial_id: int, error: str, device_seconds: float = 0.0) -> None:
        """End a trial with an error, and train it no further where it is still running."""
        text = error[:MAX_ERROR] or "no message"
        self._end(trial_id, Failure(lease=self.leases[trial_id], error=text, device_seconds=device_seconds))
        self.steering.drop(trial_id)

    def _end(self, trial_id: int, ending: Ending) -> None:
        self._open.discard(trial_id)
        self._put(ending)
        match ending:
            case Completion(outcome="complete"):
                value = ending.metrics.get(self._trials[trial_id].objective)
                logger.info("%s: done, %s = %s", self._named(trial_id), self._trials[trial_id].objective, value)
            case Completion():
                logger.info("%s: %s, %s", self._named(trial_id), ending.outcome, ending.reason)
            case Failure():
                logger.warning("%s: failed, %s", self._named(trial_id), ending.error.partition("\n")[0])
            case Release():
                logger.info("%s: given back, %s", self._named(trial_id), ending.reason)

    def _named(self, trial_id: int) -> str:
        trial = self._trials[trial_id]
        return f"study {trial.study_id} trial {trial.number}"
