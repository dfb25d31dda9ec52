"""Schedules that answer to a metric, reduce on plateau and greedy: rules that map (state, metric) to a new state."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import overload

import numpy as np
from numpy.typing import ArrayLike

from schedules.errors import ScheduleError
from schedules.piece import Curve, Floats, Frame, Piece
from schedules.rules import choice, number, whole
from schedules.tagged import part, tagged
from schedules.warmup import Warmup


@dataclass(frozen=True, slots=True)
class State:
    """What a feedback schedule remembers; each of `changes` is a (step, rate): the rate in force from that step on.

    `best` is None before the first finite metric; `waiting` counts the observations still to be ignored after a change,
    `at_floor` the cuts asked for while the rate was at its lowest.
    """

    changes: tuple[tuple[int, float], ...]
    observed: int = 0
    best: float | None = None
    good: int = 0
    bad: int = 0
    waiting: int = 0
    at_floor: int = 0
    recent: tuple[float, ...] = ()

    @property
    def rate(self) -> float:
        return self.changes[-1][1]

    def to_json(self) -> dict[str, object]:
        return {**asdict(self), "recent": list(self.recent), "changes": [list(change) for change in self.changes]}

    @classmethod
    def from_json(cls, document: Mapping[str, object]) -> State:
        if set(document) != set(cls.__slots__):
            raise ScheduleError("state", f"need exactly the fields {', '.join(cls.__slots__)}", sorted(document))
        changes = tuple((_count(step), _real(rate)) for step, rate in map(_sequence, _sequence(document["changes"])))
        if not changes:
            raise ScheduleError("state.changes", "need at least the initial rate", [])
        best = document["best"]
        counts = {name: _count(document[name]) for name in ("observed", "good", "bad", "waiting", "at_floor")}
        recent = tuple(map(_real, _sequence(document["recent"])))
        return cls(changes=changes, best=None if best is None else _real(best), recent=recent, **counts)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Feedback(Piece):
    """What both rules share: which metric is better, the rate's bounds, and binding to a horizon.

    `end` and `eps` are ratios of `lr`: the lowest rate, and the smallest change worth making. `rel` asks for an
    improvement of `threshold` times |best|, whatever the metric's sign; `abs` of `threshold`; `torch_rel` is torch's
    own `best * (1 -+ threshold)`, under which a constant negative metric improves for ever, kept to replay old runs.
    A metric that is not finite counts as bad and never becomes the best. During `warmup` the rate is the ramp's share
    of the rate in force, and what is observed may be the best but counts neither way.
    """

    lr: float = number(above=0)
    mode: str = choice("min", "max", default="min")
    factor: float = number(default=0.1, above=0, below=1)
    patience: int = whole(default=10, low=0)
    threshold: float = number(default=1e-4, low=0)
    threshold_mode: str = choice("rel", "abs", "torch_rel", default="rel")
    cooldown: int = whole(default=0, low=0)
    end: float = number(default=0.0, low=0, high=1)
    eps: float = number(default=1e-7, low=0, below=1)
    warmup: Warmup | None = part(Warmup, default=None)  # noqa: RUF009 - a field, as rules' own `number` and `whole`

    @property
    def needs_metric(self) -> bool:
        return True

    def plan(self, frame: Frame) -> Curve:
        """Never: where it stands in a joined schedule depends on metrics that are not known beforehand."""
        raise ScheduleError("schedule", "a schedule that needs a metric cannot be a part of another", self.kind)

    def start(self) -> State:
        return State(changes=((0, self.lr),))

    @abstractmethod
    def after(self, state: State, metric: float, step: int) -> State:
        """The state once `metric` is known; a new rate is in force from update `step` on."""

    def bind(
        self, total_steps: int, steps_per_epoch: int | None = None, *, state: Mapping[str, object] | None = None
    ) -> BoundFeedback:
        """`state` continues where `BoundFeedback.state` left off, also on another horizon."""
        if total_steps < 1:
            raise ScheduleError("total_steps", "need total_steps >= 1", total_steps)
        if steps_per_epoch is not None and steps_per_epoch < 1:
            raise ScheduleError("steps_per_epoch", "need steps_per_epoch >= 1", steps_per_epoch)
        warm = 0.0 if self.warmup is None else self.warmup.span.steps(total_steps, steps_per_epoch)
        if warm > total_steps:
            raise ScheduleError("warmup", "need 0 <= warmup <= total_steps", f"{warm:g} of {total_steps} steps")
        known = self.start() if state is None else State.from_json(state)
        return BoundFeedback(self, Horizon(total_steps, steps_per_epoch or 1, warm), known)

    def _better(self, metric: float, best: float | None) -> bool:
        if not math.isfinite(metric) or best is None:
            return math.isfinite(metric)
        sign = 1.0 if self.mode == "min" else -1.0
        if self.threshold_mode == "abs":
            bar = best - sign * self.threshold
        else:
            share = math.copysign(self.threshold, best) if self.threshold_mode == "rel" else self.threshold
            bar = best * (1.0 - sign * share)
        return metric < bar if self.mode == "min" else metric > bar

    def _changed(self, state: State, rate: float, step: int) -> State:
        if abs(rate - state.rate) <= self.eps * self.lr:
            return state
        # A second observation before the same update replaces the first one's change.
        kept = tuple(change for change in state.changes if change[0] < step)
        return replace(state, changes=(*kept, (step, rate)))


@tagged("reduce_on_plateau")
class ReduceOnPlateau(Feedback):
    """Multiplies the rate by `factor` once more than `patience` observations in a row were no better than the best.

    Equal to torch's `ReduceLROnPlateau`; after a cut, `cooldown` observations count neither way.
    """

    def after(self, state: State, metric: float, step: int) -> State:
        better = self._better(metric, state.best)
        bad = 0 if better or state.waiting else state.bad + 1
        best = metric if better else state.best
        state = replace(state, best=best, bad=bad, waiting=max(0, state.waiting - 1), observed=state.observed + 1)
        if bad <= self.patience:
            return state
        cut = self._changed(state, max(state.rate * self.factor, self.end * self.lr), step)
        return replace(cut, bad=0, waiting=self.cooldown)


@tagged("greedy")
class Greedy(Feedback):
    """Divides the rate by `factor` after more than `patience` improvements in a row, multiplies after as many failures.

    Equal to Transformers' `GreedyLR` (2512.14527) but for its bounds: `end` and `most` are ratios of `lr`, where
    `GreedyLR` has the absolute 1e-3 and 1, far above any AdamW rate. `cooldown` and `rest_after_raise` are the
    observations ignored after a cut and after a raise; `window` averages the last metrics; after `reset_after` cuts in
    vain at the lowest rate the search starts again at `lr`.
    """

    factor: float = number(default=0.95, above=0, below=1)
    threshold: float = number(default=1e-6, low=0)
    threshold_mode: str = choice("rel", "abs", "torch_rel", default="abs")
    end: float = number(default=0.01, low=0, high=1)
    most: float = number(default=10.0, low=1)
    rest_after_raise: int = whole(default=0, low=0)
    window: int = whole(default=1, low=1)
    reset_after: int = whole(default=500, low=1)

    def after(self, state: State, metric: float, step: int) -> State:
        if self.window > 1 and math.isfinite(metric):
            state = replace(state, recent=(*state.recent, metric)[-self.window :])
            metric = sum(state.recent) / len(state.recent)
        state = replace(state, observed=state.observed + 1)
        if state.waiting:
            return replace(state, waiting=state.waiting - 1, good=0, bad=0)
        if self._better(metric, state.best):
            state = replace(state, best=metric, good=state.good + 1, bad=0)
        else:
            state = replace(state, good=0, bad=state.bad + 1)
        if state.good > self.patience:
            raised = self._changed(state, min(state.rate / self.factor, self.most * self.lr), step)
            return replace(raised, good=0, waiting=self.rest_after_raise, at_floor=0)
        return self._cut(state, step) if state.bad > self.patience else state

    def _cut(self, state: State, step: int) -> State:
        floor = self.end * self.lr
        cut = self._changed(state, max(state.rate * self.factor, floor), step)
        # Within eps of the floor the rate no longer moves: GreedyLR asks for equality, and then never starts again.
        at_floor = cut.rate - floor <= self.eps * self.lr
        cut = replace(cut, bad=0, waiting=self.cooldown, at_floor=state.at_floor + at_floor)
        if cut.at_floor < self.reset_after:
            return cut
        restart = self._changed(cut, self.lr, step).changes
        return State(changes=restart, observed=cut.observed, waiting=self.cooldown)


@dataclass(frozen=True, slots=True)
class Horizon:
    total_steps: int
    steps_per_observation: int
    warmup_steps: float


class BoundFeedback:
    """A feedback schedule in use: `observe` each metric, read `lr`, keep `state` in the checkpoint.

    `lr(step)` is exact for every step up to the last observation's; later steps hold the present rate.
    """

    def __init__(self, schedule: Feedback, horizon: Horizon, state: State) -> None:
        self.schedule = schedule
        self._horizon = horizon
        self._state = state

    @property
    def total_steps(self) -> int:
        return self._horizon.total_steps

    @property
    def warmup_steps(self) -> float:
        """The rate follows the warmup's ramp up to this step, and is held between observations from there on."""
        return self._horizon.warmup_steps

    @property
    def state(self) -> dict[str, object]:
        """A plain JSON document."""
        return self._state.to_json()

    def restore(self, state: Mapping[str, object]) -> None:
        """Continues from a `state` taken before."""
        self._state = State.from_json(state)

    def observe(self, metric: float, *, step: int | None = None) -> float:
        """Takes one metric and returns the rate from update `step` on.

        Left out, `step` follows from the number of observations: one per epoch where `steps_per_epoch` was bound, else
        one per update.
        """
        if step is None:
            step = (self._state.observed + 1) * self._horizon.steps_per_observation
        if step < self._state.changes[-1][0]:
            raise ScheduleError("step", f"need a step no earlier than {self._state.changes[-1][0]}", step)
        after = self.schedule.after(self._state, float(metric), step)
        if step < self._horizon.warmup_steps:
            after = replace(self._state, observed=after.observed, best=after.best, recent=after.recent)
        self._state = after
        return self._state.rate

    @overload
    def lr(self, step: float | np.integer | np.floating) -> float: ...
    @overload
    def lr(self, step: ArrayLike) -> Floats: ...
    def lr(self, step: ArrayLike) -> float | Floats:
        """As `BoundSchedule.lr`, from what was observed so far."""
        steps = np.asarray(step, dtype=np.float64)
        since, rates = np.array(self._state.changes).T
        values: Floats = rates[np.maximum(np.searchsorted(since, steps, side="right") - 1, 0)]
        warmup, warm = self.schedule.warmup, self._horizon.warmup_steps
        if warmup is not None and warm > 0:
            risen = warmup.plan(warm)(steps)
            values = np.where(steps < warm, values * (warmup.start + (1.0 - warmup.start) * risen), values)
        return float(values) if values.ndim == 0 else values

    def momentum(self, step: ArrayLike) -> None:
        """Neither rule drives the momentum."""


def _sequence(value: object) -> list[object]:
    if not isinstance(value, list | tuple):
        raise ScheduleError("state", "need a list", value)
    return list(value)


def _real(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ScheduleError("state", "need a number", value)
    return float(value)


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ScheduleError("state", "need a whole number >= 0", value)
    return value
