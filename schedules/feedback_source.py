"""Schedules that answer to a metric written as plain PyTorch: torch's own scheduler, or the rule itself."""

from __future__ import annotations

import json
import textwrap

from schedules.codec import to_dict
from schedules.errors import ScheduleError
from schedules.feedback import Feedback, Greedy, ReduceOnPlateau
from schedules.native.feedback import plateau
from schedules.source import literal

USE = '''"""Learning-rate schedule that answers to the validation {metric}. Needs PyTorch only.

    optimizer = ...                          # any of torch's, built with lr=LR
    scheduler = make_scheduler(optimizer)
    step = 0
    for epoch in range(EPOCHS):
        for batch in train:
            ...
            optimizer.step()
            step += 1
{warm_up}        observe(scheduler, validate(), step)
"""'''

WARM_UP = '''def warm_up(optimizer, step):
    """Call after each update with the number of updates made: sets the rate while it rises, and lets it be then."""
    if step < WARMUP_STEPS + 1:
        for group in optimizer.param_groups:
            group["lr"] = lr_at(step)'''

PLATEAU = '''def make_scheduler(optimizer):
{begin}    return {call}


def observe(scheduler, metric, step):
    """Call after each epoch with the number of updates made; the new rate is in force from the next one on."""
    scheduler.step(metric)'''

GRACE = """
    if step < WARMUP_STEPS:
        # A metric of the warmup may be the best so far, but counts neither way.
        {reset}
        warm_up(scheduler.optimizer, step)"""

GREEDY = '''class Greedy:
    """Raises the rate after {more} improvements in a row, cuts it after as many failures."""

    def __init__(self, optimizer):
        self.optimizer, self.rate, self.recent, self.at_floor = optimizer, LR, [], 0
        self.best, self.good, self.bad, self.waiting = None, 0, 0, 0

    def step(self, metric):
        if math.isfinite(metric):
            self.recent = [*self.recent, metric][-{window}:]
            metric = sum(self.recent) / len(self.recent)
        if self.waiting:
            self.waiting, self.good, self.bad = self.waiting - 1, 0, 0
            return
        better = math.isfinite(metric) and (self.best is None or {better})
        if better:
            self.best, self.good, self.bad = metric, self.good + 1, 0
        else:
            self.good, self.bad = 0, self.bad + 1
        if self.good > {patience}:
            self.change(min(self.rate / {factor}, {most}))
            self.good, self.waiting, self.at_floor = 0, {rest}, 0
        elif self.bad > {patience}:
            self.change(max(self.rate * {factor}, {floor}))
            self.bad, self.waiting = 0, {cooldown}
            self.at_floor += self.rate - {floor} <= {eps}
            if self.at_floor >= {reset_after}:
                self.change(LR)
                self.best, self.recent, self.at_floor = None, [], 0

    def change(self, rate):
        if abs(rate - self.rate) > {eps}:
            self.rate = rate
            for group in self.optimizer.param_groups:
                group["lr"] = rate


def make_scheduler(optimizer):
{begin}    return Greedy(optimizer)


def observe(scheduler, metric, step):
    """Call after each epoch with the number of updates made; the new rate is in force from the next one on."""
    scheduler.step(metric)'''


def written(schedule: Feedback, *, warmup_steps: float, ramp: str) -> str:
    """A module with `make_scheduler(optimizer)`, `observe(scheduler, metric, step)`, and `warm_up(optimizer, step)`
    where there is a warmup; `ramp` is `lr_at(step)` of the rising rate. All groups share one rate."""
    begin = "    warm_up(optimizer, 0)\n" if warmup_steps else ""
    body, reset = _rule(schedule, begin)
    constants, functions = [f"LR = {literal(schedule.lr)}"], []
    if warmup_steps:
        constants.append(f"WARMUP_STEPS = {literal(warmup_steps)}")
        functions, body = [ramp, WARM_UP], body + GRACE.format(reset=reset)
    functions.append(body)
    call = "            warm_up(optimizer, step)\n" if warmup_steps else ""
    metric = "loss" if schedule.mode == "min" else "metric, the higher the better"
    text = "\n\n\n".join(functions)
    imports = "\n".join(f"import {module}" for module in ("bisect", "math", "torch") if f"{module}." in text)
    head = [
        USE.format(metric=metric, warm_up=call),
        f"# {json.dumps(to_dict(schedule))}",
        imports,
        "\n".join(constants),
    ]
    return "\n\n".join(head) + "\n\n\n" + text + "\n"


def _rule(schedule: Feedback, begin: str) -> tuple[str, str]:
    """The rule as source, and the statement that forgets what was counted against it."""
    if isinstance(schedule, ReduceOnPlateau):
        name, _, arguments = plateau(schedule).removesuffix(")").partition("(")
        listed = textwrap.fill(arguments, 100, initial_indent="        ", subsequent_indent="        ")
        call = f"torch.optim.lr_scheduler.{name}(\n{listed}\n    )"
        note = "    # The threshold is a share of the best: meant for metrics above 0.\n"
        return PLATEAU.format(
            begin=begin + note * (schedule.threshold_mode == "rel"), call=call
        ), "scheduler.num_bad_epochs = scheduler.cooldown_counter = 0"
    if isinstance(schedule, Greedy):
        return _greedy(
            schedule, begin
        ), "scheduler.rate = LR\n        scheduler.good = scheduler.bad = scheduler.waiting = scheduler.at_floor = 0"
    raise ScheduleError("schedule", "need reduce_on_plateau or greedy", schedule.kind)


def _greedy(schedule: Greedy, begin: str) -> str:
    return GREEDY.format(
        begin=begin,
        more=schedule.patience + 1,
        window=schedule.window,
        better=_better(schedule),
        patience=schedule.patience,
        factor=literal(schedule.factor),
        most=literal(schedule.most * schedule.lr),
        rest=schedule.rest_after_raise,
        floor=literal(schedule.end * schedule.lr),
        cooldown=schedule.cooldown,
        eps=literal(schedule.eps * schedule.lr),
        reset_after=schedule.reset_after,
    )


def _better(schedule: Greedy) -> str:
    """Whether `metric` improves on `self.best` by the threshold."""
    compared, sign = ("<", "-") if schedule.mode == "min" else (">", "+")
    threshold = literal(schedule.threshold)
    share = f"math.copysign({threshold}, self.best)" if schedule.threshold_mode == "rel" else threshold
    bar = f"self.best {sign} {threshold}" if schedule.threshold_mode == "abs" else f"self.best * (1.0 {sign} {share})"
    return f"metric {compared} {bar}"
