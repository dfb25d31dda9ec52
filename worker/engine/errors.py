"""What raised, in words for the person who has to repair it."""

from __future__ import annotations

import traceback

from schedules import ScheduleError
from worker.engine import memory
from worker.engine.plan import PlanError

TRACEBACK_LINES = 20
ADVICE = "need a smaller batch_size, a smaller model, or precision bf16"


def describe(error: Exception) -> str:
    """A broken rule in its own words; of anything else the last lines of its traceback too."""
    if isinstance(error, ScheduleError):
        return f"the schedule does not fit the trial: {error}"
    if isinstance(error, PlanError):
        return str(error)
    if memory.is_short(error):
        first = str(error).partition("\n")[0]
        return f"out of memory: the trial does not fit, {ADVICE}: {first}"
    lines = "".join(traceback.format_exception(error)).splitlines()
    return "\n".join([f"{type(error).__name__}: {error}", "", *lines[-TRACEBACK_LINES:]])
