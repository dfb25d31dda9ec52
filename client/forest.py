"""What the trials of a study share: the tree of their trajectories, as the engine `tree` computes it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from contract.pages import Proposal
from contract.tasks import Task, task_with
from schedules import Schedule, ScheduleError
from schedules.trajectories import Table, Tree, grow
from schedules.updates import OptimizerNumbers, kind, table

REMEMBERED = 16
"""Tables kept while a tree grows; any other is computed again, so that 1000 trials of 10^5 steps need no memory."""


@dataclass(frozen=True, slots=True)
class Count:
    """Updates the trials have, each by itself, and updates that are computed when what is shared is computed once."""

    trials: int
    whole: int
    needed: int

    @property
    def saving(self) -> float:
        """The share of the updates that is saved, 0 to 1."""
        return 1 - self.needed / self.whole if self.whole else 0.0


class Forest:
    """Trials over a horizon. `unfit` says, by the trial's number, why a schedule does not fit it."""

    def __init__(self, task: Task, proposals: Sequence[Proposal], *, steps: int, steps_per_epoch: int) -> None:
        self.steps = steps
        self._task, self._steps_per_epoch = task, steps_per_epoch
        self.unfit: dict[int, str] = {}
        for one in proposals:
            try:
                one.schedule.bind(steps, steps_per_epoch)
            except ScheduleError as error:
                self.unfit[one.number] = str(error)
        self.trials = [one for one in proposals if one.number not in self.unfit]

    def tree(self, trials: Sequence[Proposal]) -> Tree:
        """Of the trials whose rates are known before training."""
        known = [one for one in trials if isinstance(one.schedule, Schedule)]
        return grow(_Tables(self, known), [self._key(one) for one in known])

    def count(self, trials: Sequence[Proposal], *, at_once: int | None = None) -> Count:
        """`at_once`: so many are seen together, in order; None: all. What answers to a metric shares nothing."""
        size = at_once or max(1, len(trials))
        parts = [trials[start : start + size] for start in range(0, len(trials), size)]
        feedback = sum(not isinstance(one.schedule, Schedule) for one in trials) * self.steps
        needed = sum(self.tree(part).row_steps for part in parts) + feedback
        return Count(len(trials), len(trials) * self.steps, needed)

    def table(self, trial: Proposal) -> Table:
        """The numbers that its updates read. Its schedule is one that is known before training."""
        assert isinstance(trial.schedule, Schedule)
        bound = trial.schedule.bind(self.steps, self._steps_per_epoch)
        at = np.arange(self.steps)
        momentum = bound.momentum(at)
        return table(
            self._numbers(trial),
            np.asarray(bound.lr(at), dtype=np.float64),
            None if momentum is None else np.asarray(momentum, dtype=np.float64),
        )

    def _numbers(self, trial: Proposal) -> OptimizerNumbers:
        return OptimizerNumbers(**task_with(self._task, trial.params).optimizer.model_dump())

    def _key(self, trial: Proposal) -> Hashable:
        """What trials of a study differ in, their tables apart."""
        own = (trial.schedule, self._numbers(trial)) if self._task.dropout_masks == "own" else None
        return trial.seed, kind(self._numbers(trial)), own


class _Tables:
    def __init__(self, forest: Forest, trials: Sequence[Proposal]) -> None:
        self._trials = trials
        self._of = lru_cache(REMEMBERED)(lambda place: forest.table(trials[place]))

    def __len__(self) -> int:
        return len(self._trials)

    def __getitem__(self, place: int) -> Table:
        return self._of(place)
