"""Schedules in PyTorch: a genuine `LRScheduler` that drives rate, momentum, weight decay and per-group factors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from schedules import BoundSchedule, Schedule, ScheduleError
from schedules.feedback import BoundFeedback, Feedback

BLOCK = 1024


class SwitchbackLR(LRScheduler):
    """Sets every group's rate to `lr(step) * factor`, and momentum (or beta1) and weight decay where scheduled.

    Step it after every optimizer update: the constructor sets `lr(0)`, each `step()` moves on by one. Nothing
    accumulates, so resuming is evaluating: `load_state_dict` takes the step, and the horizon of the scheduler it is
    called on wins. Load the optimizer's state before, as for PyTorch's own schedulers.

    `schedule`: bound, or a value that `total_steps` (and `steps_per_epoch`) binds here.
    `factors`: one per parameter group; "groups" keeps the groups' own rates in proportion, the highest at the
        schedule's rate; None takes a group's `lr_scale`, 1 where it has none, and refuses groups whose rates differ.
    `momentum`: whether a schedule that drives the momentum may set `momentum` or `betas[0]`.
    `weight_decay`: a schedule of its own, or "rate" to keep each group's decay in proportion to the rate; groups
        without decay stay without.
    `last_epoch`: PyTorch's name and convention; `last_epoch=t - 1` continues at step t.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedule: Schedule | Feedback | BoundSchedule | BoundFeedback,
        *,
        total_steps: int | None = None,
        steps_per_epoch: int | None = None,
        factors: Sequence[float] | Literal["groups"] | None = None,
        momentum: bool = True,
        weight_decay: Schedule | BoundSchedule | Literal["rate"] | None = None,
        last_epoch: int = -1,
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"optimizer: need a torch Optimizer, got {type(optimizer).__name__}")
        self.bound = _bound(schedule, total_steps, steps_per_epoch)
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", float(group["lr"]))
        self._factors = _factors(optimizer, factors)
        self._momentum = momentum and self.bound.momentum(0) is not None
        if self._momentum:
            _check_momentum(optimizer)
        self._decay = None
        if weight_decay is not None:
            _keep_initial_decay(optimizer)
            self._decay = (
                self.bound if weight_decay == "rate" else _bound(weight_decay, self.total_steps, steps_per_epoch)
            )
        self._decay_peak = _peak(self.bound) if weight_decay == "rate" else None
        self._ends = isinstance(self.bound, BoundSchedule) and self.bound.schedule.after == "raise"
        self._block: Block | None = None
        super().__init__(optimizer, last_epoch)

    @property
    def total_steps(self) -> int:
        return self.bound.total_steps

    def get_lr(self) -> list[float | Tensor]:
        """The rates of update `last_epoch`; sets momentum and weight decay on the way, as OneCycleLR does."""
        step = max(self.last_epoch, 0)
        if self._ends and step == self.total_steps:
            step -= 1  # The loop steps once after its last update, too; no update uses what that sets.
        if self._block is None or step not in self._block.steps:
            self._block = self._evaluated(step)
        rate, momentum, decay = self._block.at(step)
        for group in self.optimizer.param_groups:
            if momentum is not None:
                _set_momentum(group, momentum)
            if decay is not None:
                self._set_decay(group, decay)
        return [rate * self._factor(index, group) for index, group in enumerate(self.optimizer.param_groups)]

    def observe(self, metric: float) -> None:
        """Hands a metric to a feedback schedule; the new rate is in force from the next update on."""
        if not isinstance(self.bound, BoundFeedback):
            raise ScheduleError("metric", "need a schedule that answers to a metric", type(self.bound).__name__)
        self.bound.observe(metric, step=max(self.last_epoch, 0))
        self._block = None
        self._write()

    def state_dict(self) -> dict[str, Any]:  # Any: the signature of torch's base class
        """Plain numbers; `active` tells a part of a composite that is waiting, or done, not to write when loaded."""
        rates = [float(group["lr"]) for group in self.optimizer.param_groups]
        last = [float(rate) for rate in self._last_lr]
        state: dict[str, Any] = {"last_epoch": self.last_epoch, "_step_count": self._step_count, "_last_lr": last}
        state["active"] = rates == last
        if isinstance(self.bound, BoundFeedback):
            state["feedback"] = self.bound.state
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:  # Any: the signature of torch's base class
        """Continues at the saved step, on this scheduler's own schedule and horizon."""
        missing = {"last_epoch", "_step_count", "_last_lr", "active"} - set(state_dict)
        if missing:
            raise ScheduleError("state_dict", f"need {', '.join(sorted(missing))}", sorted(state_dict))
        self.last_epoch = state_dict["last_epoch"]
        self._step_count = state_dict["_step_count"]
        self._last_lr = list(state_dict["_last_lr"])
        if isinstance(self.bound, BoundFeedback):
            self.bound.restore(state_dict["feedback"])
            self._block = None
        if state_dict["active"]:
            self._write()

    def _write(self) -> None:
        rates = [float(rate) for rate in self.get_lr()]
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
        self._last_lr = list(rates)

    def _factor(
        self, index: int, group: dict[str, Any]
    ) -> float:  # Any: a parameter group holds what its optimizer likes
        if self._factors is None:
            return float(group.get("lr_scale", 1.0))
        if index >= len(self._factors):
            raise ScheduleError("factors", f"need one per parameter group, of {index + 1} groups", len(self._factors))
        return self._factors[index]

    def _set_decay(self, group: dict[str, Any], value: float) -> None:  # Any: as above
        initial = group.setdefault("initial_weight_decay", group["weight_decay"])
        if initial:
            group["weight_decay"] = value if self._decay_peak is None else initial * value / self._decay_peak

    def _evaluated(self, step: int) -> Block:
        stop = max(step + 1, min(step + BLOCK, self.total_steps)) if self._ends else step + BLOCK
        steps = np.arange(step, stop)
        momenta = self.bound.momentum(steps) if self._momentum else None
        return Block(
            range(step, stop),
            self.bound.lr(steps).tolist(),
            None if momenta is None else momenta.tolist(),
            None if self._decay is None else self._decay.lr(steps).tolist(),
        )


@dataclass(frozen=True, slots=True)
class Block:
    """The values of consecutive steps, evaluated together: one by one they would cost up to 0.5 ms each."""

    steps: range
    rates: list[float]
    momenta: list[float] | None
    decays: list[float] | None

    def at(self, step: int) -> tuple[float, float | None, float | None]:
        index = step - self.steps.start
        return (
            self.rates[index],
            None if self.momenta is None else self.momenta[index],
            None if self.decays is None else self.decays[index],
        )


def _set_momentum(group: dict[str, Any], momentum: float) -> None:  # Any: as above
    if "betas" in group:
        group["betas"] = (momentum, *group["betas"][1:])
    else:
        group["momentum"] = momentum


def _bound(
    schedule: Schedule | Feedback | BoundSchedule | BoundFeedback, total_steps: int | None, steps_per_epoch: int | None
) -> BoundSchedule | BoundFeedback:
    if isinstance(schedule, BoundSchedule | BoundFeedback):
        if total_steps not in (None, schedule.total_steps):
            rule = f"need the {schedule.total_steps} steps the schedule is bound to, or none"
            raise ScheduleError("total_steps", rule, total_steps)
        return schedule
    if total_steps is None:
        raise ScheduleError("total_steps", "need a number of steps to bind the schedule to", total_steps)
    return schedule.bind(total_steps, steps_per_epoch)


def _factors(optimizer: Optimizer, factors: Sequence[float] | Literal["groups"] | None) -> list[float] | None:
    groups = optimizer.param_groups
    own = [float(group["initial_lr"]) for group in groups]
    if factors is None:
        if len(set(own)) > 1 and not any("lr_scale" in group for group in groups):
            raise ScheduleError("factors", 'need one per group, or "groups", where the groups\' rates differ', own)
        return None
    if factors == "groups":
        if max(own) <= 0:
            raise ScheduleError("factors", "need a group with a positive rate to keep in proportion", own)
        return [rate / max(own) for rate in own]
    values = [float(factor) for factor in factors]
    if len(values) != len(groups):
        raise ScheduleError("factors", f"need one per parameter group, of {len(groups)} groups", values)
    if not all(np.isfinite(value) and value >= 0 for value in values):
        raise ScheduleError("factors", "need finite factors >= 0", values)
    return values


def _check_momentum(optimizer: Optimizer) -> None:
    for index, group in enumerate(optimizer.param_groups):
        if "betas" not in group and "momentum" not in group:
            rule = f"need momentum=False where, as in group {index}, there is neither momentum nor betas"
            raise ScheduleError("momentum", rule, type(optimizer).__name__)


def _keep_initial_decay(optimizer: Optimizer) -> None:
    for index, group in enumerate(optimizer.param_groups):
        if "weight_decay" not in group:
            rule = f"need a weight decay to schedule in group {index}"
            raise ScheduleError("weight_decay", rule, type(optimizer).__name__)
        group.setdefault("initial_weight_decay", float(group["weight_decay"]))


def _peak(bound: BoundSchedule | BoundFeedback) -> float:
    peak = float(np.max(bound.lr(np.arange(bound.total_steps))))
    if peak <= 0:
        raise ScheduleError("weight_decay", "need a schedule with a positive rate to follow", peak)
    return peak
