"""The trials a worker trains together, from their leases to their endings: engine events in, messages out."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from pydantic import ValidationError

from contract.leases import Completion, Failure, LeaseRef, Point, Release, TrialReport
from contract.trials import TrialSpec
from worker import translate
from worker.claims import Claimed
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
from worker.holdings import PAUSED, Holding, Holdings
from worker.messages import Checkpoint, Ending, Message
from worker.outbox import MAX_ERROR
from worker.supply import Supply

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class InHand:
    """A trial that the engine has; `open` until the service has been told how it ended."""

    ref: LeaseRef
    spec: TrialSpec
    open: bool = True
    started: Started | None = None

    @property
    def begun(self) -> Started:
        """What the engine said first."""
        assert self.started is not None
        return self.started

    @property
    def named(self) -> str:
        return f"study {self.spec.study_id} trial {self.spec.number}"


class Shift:
    """One engine, the trials it is given first, and those that `supply` brings while it runs. `put` takes what the
    service must be told, in order, and `settle` is called once it knows of these leases' ends.
    """

    def __init__(
        self,
        first: Sequence[Claimed],
        supply: Supply,
        *,
        engine: Engine,
        steering: Steering,
        holdings: Holdings,
        put: Callable[[Message], None],
        settle: Callable[[Sequence[LeaseRef]], None],
    ) -> None:
        self.steering = steering
        self._supply, self._engine, self._holdings = supply, engine, holdings
        self._put, self._settle = put, settle
        self._waiting = deque(first)
        self._in_hand: dict[int, InHand] = {}
        self._ended: list[LeaseRef] = []

    @property
    def leases(self) -> list[LeaseRef]:
        """Of the trials that the engine has."""
        return [trial.ref for trial in list(self._in_hand.values())]

    def end(self, holding: Holding) -> None:
        """Train the trial of this lease no further. May be called in any thread."""
        trial = self._in_hand.get(holding.lease.trial_id)
        if trial is not None and trial.ref == holding.lease:
            self.steering.drop(holding.lease.trial_id, keep=holding.end == PAUSED)

    def train(self, between: Callable[[], None]) -> None:
        """Train all trials to their endings; `between` is called after every event."""
        while self._waiting or self._supply.coming:
            try:
                for event in self._engine.run(self._jobs(), self.steering):
                    self._tell(event)
                    between()
            except Exception as error:  # a fault of the engine: its trials end with it, the worker goes on
                logger.exception("the engine %s failed", self._engine.name)
                for trial in self._in_hand.values():
                    if trial.open:
                        self._fail(trial, f"the engine failed: {describe(error)}")
                self._in_hand.clear()
        self._flush()

    def _jobs(self) -> Iterator[Job | None]:
        """What the engine is to train next; None: nothing at the moment."""
        while True:
            self._flush()
            self._waiting.extend(self._supply.arrived())
            # A trial that was lost and is here again has to wait until the engine has let go of it.
            claimed = next((one for one in self._waiting if one.ref.trial_id not in self._in_hand), None)
            if claimed is not None:
                self._waiting.remove(claimed)
                if (job := self._taken(claimed)) is not None:
                    yield job
            elif self._in_hand:
                # What has not begun is one of another kind, which is not to be overtaken without end.
                if all(trial.started for trial in self._in_hand.values()):
                    room = self._engine.capacity - len(self._in_hand) - len(self._waiting)
                    self._supply.ask(room, next(iter(self._in_hand)))
                yield None
            elif self._supply.coming:
                self._waiting.extend(self._supply.awaited())
            else:
                return

    def _taken(self, claimed: Claimed) -> Job | None:
        """Put it into the engine's hands. What has ended it since it was claimed is told to the engine, too."""
        trial_id = claimed.ref.trial_id
        trial = InHand(claimed.ref, claimed.lease.trial)
        if isinstance(claimed.job, str):
            self._fail(trial, claimed.job)
            return None
        self._in_hand[trial_id] = trial
        self.steering.forget(trial_id)
        if (holding := self._holdings.of(claimed.ref)).end is not None:
            self.end(holding)
        return claimed.job

    def _flush(self) -> None:
        if self._ended:
            self._put(partial(self._settle, self._ended))
            self._ended = []

    def _tell(self, event: Event) -> None:
        trial = self._in_hand[event.job]
        if isinstance(event, Finished | Diverged | Failed | Dropped):
            del self._in_hand[event.job]
        if trial.open:
            try:
                self._hear(trial, event)
            except ValidationError as error:
                self._fail(trial, f"the task reports what the service cannot take: {error}")

    def _hear(self, trial: InHand, event: Event) -> None:
        match event:
            case Started():
                trial.started = event
                begun = event.resumed_from or 0
                logger.info("%s: training %d steps, from step %d", trial.named, event.total_steps, begun)
                self._report(trial, [])
            case Points():
                self._report(trial, [translate.point(event.step, event.values)])
            case Checkpointed():
                self._put(Checkpoint(trial.ref, event.snapshot))
            case Finished():
                self._end(trial, translate.completed(trial.ref, event, trial.begun.engine))
            case Diverged():
                self._end(trial, translate.diverged(trial.ref, event, trial.begun.engine))
            case Failed():
                self._fail(trial, event.error, event.device_seconds)
            case Dropped():
                self._dropped(trial, event)

    def _report(self, trial: InHand, points: list[Point]) -> None:
        start = trial.begun
        self._put(
            TrialReport(
                lease=trial.ref,
                total_steps=start.total_steps,
                steps_per_epoch=start.steps_per_epoch,
                points=points,
                resumed_from=start.resumed_from,
            )
        )

    def _dropped(self, trial: InHand, event: Dropped) -> None:
        holding = self._holdings.of(trial.ref)
        if holding.lost:
            self._close(trial)
            logger.warning("%s: stopped after %d steps, its lease was lost", trial.named, event.step)
        elif holding.refused is not None:
            self._fail(trial, f"the service refused its reports: {holding.refused}", event.device_seconds)
        else:
            reason = holding.end or "the worker was told to stop"
            self._end(trial, Release(lease=trial.ref, reason=reason, device_seconds=event.device_seconds))

    def _fail(self, trial: InHand, error: str, device_seconds: float = 0.0) -> None:
        """End a trial with an error, and train it no further where it is still running."""
        text = error.replace("\0", "\\0")[:MAX_ERROR] or "no message"  # no text holds a NUL
        self._end(trial, Failure(lease=trial.ref, error=text, device_seconds=device_seconds))
        self.steering.drop(trial.ref.trial_id)

    def _end(self, trial: InHand, ending: Ending) -> None:
        self._put(ending)
        self._close(trial)
        match ending:
            case Completion(outcome="complete"):
                objective = trial.spec.objective
                logger.info("%s: done, %s = %s", trial.named, objective, ending.metrics.get(objective))
            case Completion():
                logger.info("%s: %s, %s", trial.named, ending.outcome, ending.reason)
            case Failure():
                logger.warning("%s: failed, %s", trial.named, ending.error.partition("\n")[0])
            case Release():
                logger.info("%s: given back, %s", trial.named, ending.reason)

    def _close(self, trial: InHand) -> None:
        trial.open = False
        self._ended.append(trial.ref)
