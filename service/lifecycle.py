"""The states of a trial and the moves between them: the one table that queue, tests and docs read."""

from __future__ import annotations

from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias, get_args

from contract.trials import TrialStatus

Move: TypeAlias = Literal[
    "claim", "complete", "prune", "diverge", "fail", "retry", "release", "lose", "give_up", "cancel", "abandon"
]

STATUSES: tuple[TrialStatus, ...] = get_args(TrialStatus)
LIVE: frozenset[TrialStatus] = frozenset({"queued", "leased"})
TERMINAL: frozenset[TrialStatus] = frozenset(STATUSES) - LIVE


class Transition(NamedTuple):
    """From where to where, and what moves it."""

    source: TrialStatus
    target: TrialStatus
    cause: str


TRANSITIONS: MappingProxyType[Move, Transition] = MappingProxyType(
    {
        "claim": Transition("queued", "leased", "a worker takes it"),
        "complete": Transition("leased", "complete", "trained to the end"),
        "prune": Transition("leased", "pruned", "stopped by a pruning decision"),
        "diverge": Transition("leased", "diverged", "the loss is not finite or has exploded: a result"),
        "fail": Transition("leased", "failed", "the task raised, and no retry is left"),
        "retry": Transition("leased", "queued", "the task raised, and is tried again"),
        "release": Transition("leased", "queued", "the worker gave it back: it drains, or the study was paused"),
        "lose": Transition("leased", "queued", "the lease expired"),
        "give_up": Transition("leased", "failed", "the lease expired once too often"),
        "cancel": Transition("queued", "cancelled", "the study was stopped before it began"),
        "abandon": Transition("leased", "cancelled", "the study was stopped while it ran"),
    }
)


def markdown() -> str:
    """The table as a drawing and a list, for docs/states.md."""
    drawn: dict[tuple[str, str], list[str]] = {}
    for name, (source, target, _) in TRANSITIONS.items():
        drawn.setdefault((source, target), []).append(name)
    arrows = [f"    {source} --> {target}: {', '.join(names)}" for (source, target), names in drawn.items()]
    ends = [f"    {status} --> [*]" for status in STATUSES if status in TERMINAL]
    rows = [f"| `{name}` | {source} | {target} | {cause} |" for name, (source, target, cause) in TRANSITIONS.items()]
    return "\n".join([*HEAD, "    [*] --> queued", *arrows, *ends, "```", *COLUMNS, *rows, ""])


HEAD = (
    "# The states of a trial",
    "",
    "Written by `make docs` from the one table of transitions, `service/lifecycle.py`. One module writes states,",
    "`service/moves.py`, one guarded UPDATE for each move. How an attempt ended (`lost`, `preempted`, `failed`, ...)",
    "is written on the attempt; what ended a trial is final.",
    "",
    "```mermaid",
    "stateDiagram-v2",
)
COLUMNS = ("", "| move | from | to | when |", "|---|---|---|---|")

if __name__ == "__main__":
    print(markdown(), end="")
