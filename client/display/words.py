"""Numbers and parameters as words: the same in tables, lines and panels."""

from __future__ import annotations

from collections.abc import Mapping

from contract.base import Scalar
from contract.studies import LeaderboardEntry, Progress, StudyView


def value(number: float | None, digits: int = 4) -> str:
    """Four significant digits; `-` for none."""
    return "-" if number is None else f"{number:.{digits}g}"


def score(entry: LeaderboardEntry) -> str:
    """Mean and, where there are several seeds, standard deviation of the objective."""
    return value(entry.mean) if entry.std is None else f"{value(entry.mean)} ± {value(entry.std, 2)}"


def duration(seconds: float) -> str:
    """`8 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def parameters(params: Mapping[str, Scalar]) -> str:
    """`lr=0.03 d=2 warmup=5%`, the rate first."""
    ordered = sorted(params.items(), key=lambda item: (item[0] != "lr", item[0]))
    return " ".join(f"{name}={value(given) if isinstance(given, float) else given}" for name, given in ordered)


def done(progress: Progress) -> int:
    """Trials that have ended, one way or another."""
    ended = (progress.complete, progress.pruned, progress.diverged, progress.failed, progress.cancelled)
    return sum(ended)


def share(progress: Progress) -> str:
    """`5/24`; `5` where nobody knows how many there will be."""
    return str(done(progress)) if progress.planned is None else f"{done(progress)}/{progress.planned}"


def counts(view: StudyView) -> str:
    """`5/24 trials, 1 running, 2 diverged, device 12 s`."""
    progress = view.progress
    parts = [f"{share(progress)} trials"]
    named = {
        "running": progress.leased,
        "pruned": progress.pruned,
        "diverged": progress.diverged,
        "failed": progress.failed,
        "cancelled": progress.cancelled,
    }
    parts += [f"{count} {name}" for name, count in named.items() if count or name == "running"]
    return ", ".join([*parts, f"device {duration(view.device_seconds)}"])


def title(view: StudyView) -> str:
    """What is searched for, how, on what."""
    wanted = view.definition
    goal = f"{wanted.objective.direction} {wanted.objective.metric}"
    if wanted.search.method == "range_test":
        goal = "find the range of rates"
    return f"study {view.id} · {wanted.name} · {wanted.search.method} on {wanted.task.key} · {goal}"
