"""The native calls of schedules that answer to a metric."""

from __future__ import annotations

from schedules.feedback import Feedback, Greedy, ReduceOnPlateau
from schedules.native.model import Calls, torch, transformers
from schedules.source import literal

NEGATIVE = "a constant negative metric improves for ever under threshold_mode='rel'"
ABSOLUTE = (
    "min_lr and max_lr are absolute: their defaults of 1e-3 and 1 are far above any AdamW rate; "
    "one nan poisons a window for good"
)


def feedback(schedule: Feedback) -> Calls:
    """The metric is handed to `step(metric)` once per observation; no library has a warmup in front."""
    if schedule.warmup is not None:
        return
    if isinstance(schedule, ReduceOnPlateau):
        yield torch(plateau(schedule), NEGATIVE if schedule.threshold_mode == "rel" else None)
    elif isinstance(schedule, Greedy) and schedule.threshold_mode == "abs" and schedule.mode == "min":
        window = f"smooth={schedule.window > 1}, window_size={schedule.window}, reset_start={schedule.reset_after}"
        yield transformers(
            f"optimization.GreedyLR(optimizer, factor={literal(schedule.factor)}, patience={schedule.patience}, "
            f"threshold={literal(schedule.threshold)}, cooldown={schedule.cooldown}, "
            f"warmup={schedule.rest_after_raise}, min_lr={literal(schedule.end * schedule.lr)}, "
            f"max_lr={literal(schedule.most * schedule.lr)}, {window})",
            ABSOLUTE,
        )


def plateau(schedule: ReduceOnPlateau) -> str:
    """torch's scheduler with the same numbers; `min_lr` and `eps` are absolute there."""
    mode = "abs" if schedule.threshold_mode == "abs" else "rel"
    return (
        f'ReduceLROnPlateau(optimizer, mode="{schedule.mode}", factor={literal(schedule.factor)}, '
        f"patience={schedule.patience}, threshold={literal(schedule.threshold)}, "
        f'threshold_mode="{mode}", cooldown={schedule.cooldown}, '
        f"min_lr={literal(schedule.end * schedule.lr)}, eps={literal(schedule.eps * schedule.lr)})"
    )
