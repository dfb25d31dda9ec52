"""How many trials of a kind to train at once: tried out for a moment, so that lanes are never slower than `solo`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from schedules import updates
from worker.engine import memory
from worker.engine.engine import Steering
from worker.engine.lanes.array import Array
from worker.engine.lanes.row import Member, Tally, plant
from worker.engine.training import Training
from worker.tasks import Data

logger = logging.getLogger(__name__)

BUDGET_S, SHARE = 0.8, 0.01
"""Seconds that a probe may take, or, if that is more, what part of the training under `solo` of as many trials as there
are lanes at most.
"""

ROUNDS = 3
LEAST_UPDATES, MOST_UPDATES = 2, 6
"""Of one way in a round; the first is not counted."""

CLEAR = 0.97
"""More lanes are taken when they bring a trial's update to this part of the time or below."""

WIDE = 1.08
"""How much longer a trial's update may take in more lanes where jobs share updates: measured in moments, the same
number of lanes differs by as much.
"""

SOLO = 1


@dataclass(frozen=True, slots=True)
class Choice:
    """`seconds` per trial and update for each number of lanes tried, `SOLO` being the engine `solo`."""

    lanes: int
    seconds: Mapping[int, float]


def fastest(seconds: Mapping[int, float]) -> int:
    """The number of lanes to take by the seconds of each, fewest lanes first."""
    best = SOLO
    for lanes, each in seconds.items():
        if each < CLEAR * seconds[best]:
            best = lanes
    return best


def widest(seconds: Mapping[int, float]) -> int:
    """The most lanes that take hardly longer than the best number of them does."""
    limit = WIDE * min(seconds.values())
    return max(lanes for lanes, each in seconds.items() if each <= limit)


class Probe:
    """Remembers by task, batch size and kind of optimizer what it has found on this device."""

    def __init__(self, device: torch.device, dtype: torch.dtype | None) -> None:
        self._device, self._dtype = device, dtype
        self._found: dict[Hashable, Choice] = {}

    def choose(self, first: Member, data: Data, candidates: Sequence[int]) -> Choice:
        """How many lanes jobs like this one should have. Where there is nothing to measure, the most."""
        job = first.job
        key = job.task, job.batch_size, updates.kind(job.optimizer), job.augmentation, job.precision, tuple(candidates)
        if key not in self._found:
            start = time.perf_counter()
            self._found[key] = self._tried(first, data, candidates)
            found = self._found[key]
            told = ", ".join(f"{1e6 * value:.0f} us in {lanes}" for lanes, value in found.seconds.items())
            logger.info(
                "%s, batches of %d: %s fastest if nothing is shared (an update of a trial: %s); tried out in %.2f s",
                job.task.key,
                job.batch_size,
                "one trial at a time is" if found.lanes == SOLO else f"{found.lanes} lanes are",
                told or "too few to measure",
                time.perf_counter() - start,
            )
        return self._found[key]

    def _tried(self, first: Member, data: Data, candidates: Sequence[int]) -> Choice:
        total = first.horizon.total_steps
        if total < LEAST_UPDATES:
            return Choice(max(candidates), {})
        start, most = time.perf_counter(), max(LEAST_UPDATES, total // ROUNDS)
        ways: dict[int, Callable[[], object]] = {SOLO: self._solo(first)}
        found = {SOLO: self._timed(ways[SOLO], most)}
        budget = max(BUDGET_S, SHARE * max(candidates) * found[SOLO] * total)
        for lanes in sorted(candidates):
            if time.perf_counter() - start + LEAST_UPDATES * lanes * min(found.values()) > budget:
                logger.info("%d lanes of %s are not tried: it would take too long", lanes, first.job.task.key)
                break
            try:
                ways[lanes] = self.updating(first, data, lanes)
                found[lanes] = self._timed(ways[lanes], most) / lanes
            except Exception as error:
                if not memory.is_short(error):
                    raise
                logger.info("%d lanes of %s do not fit in memory", lanes, first.job.task.key)
                ways.pop(lanes, None)
                break
        # Somebody else's load comes and goes, another worker's probe above all: no way is judged by one moment.
        for lanes, update in [*ways.items()] * (min(ROUNDS, total // most) - 1):
            if time.perf_counter() - start < budget:
                found[lanes] = min(found[lanes], self._timed(update, most) / lanes)
        return Choice(fastest(found), found)

    def _solo(self, first: Member) -> Callable[[], object]:
        training = Training(first.job, self._device, Steering(), dtype=self._dtype)
        return lambda: training.advance(training.step + 1)

    def updating(self, first: Member, data: Data, lanes: int) -> Callable[[], None]:
        """What makes an update of so many lanes of this job, in an array of its own."""
        array = Array(first, data, self._device, self._dtype or torch.float32)
        rows = plant([replace(first, tally=Tally()) for _ in range(lanes)], {}, share=False)
        array.arrange([], [(row, array.fresh(row.some)) for row in rows])

        def update() -> None:
            asked = iter((True, False))
            array.advance(lambda: next(asked))
            for row in rows:
                for member in row.due():
                    member.go_on()

        return update

    def _timed(self, update: Callable[[], object], most: int) -> float:
        """Seconds of the fastest update; somebody else's load only ever makes one slower."""
        seconds: list[float] = []
        while len(seconds) < min(MOST_UPDATES, most):
            start = time.perf_counter()
            update()
            if self._device.type == "cuda":
                torch.cuda.synchronize(self._device)
            seconds.append(time.perf_counter() - start)
            if len(seconds) >= LEAST_UPDATES and sum(seconds) > BUDGET_S / 16:
                break
        return min(seconds[1:])
