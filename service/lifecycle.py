"""The states of a trial and the moves between them: the one table that queue, tests and docs read."""

from __future__ import annotations

from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

from contract.trials import TrialStatus

Move: TypeAlias = Literal[
    "claim", "complete", "prune", "diverge", "fail", "retry", "release", "lose", "give_up", "cancel", "abandon"
]

STATUSES: tuple[TrialStatus, ...] = get_args(TrialStatus)
LIVE: frozenset[TrialStatus] = frozenset({"queued", "leased"})
TERMINAL: frozenset[TrialStatus] = frozenset(STATUSES) - LIVE

TRANSITIONS: MappingProxyType[Move, tuple[TrialStatus, TrialStatus]] = MappingProxyType(
    {
        "claim": ("queued", "leased"),  # a worker takes it
        "complete": ("leased", "complete"),  # trained to the end
        "prune": ("leased", "pruned"),  # stopped by a pruning decision
        "diverge": ("leased", "diverged"),  # loss not finite or exploded: a result
        "fail": ("leased", "failed"),  # the task raised, and no retry is left
        "retry": ("leased", "queued"),  # the task raised, and is tried again
        "release": ("leased", "queued"),  # the worker gave it back
        "lose": ("leased", "queued"),  # the lease expired
        "give_up": ("leased", "failed"),  # the lease expired once too often
        "cancel": ("queued", "cancelled"),  # the study was stopped before it began
        "abandon": ("leased", "cancelled"),  # the study was stopped while it ran
    }
)
"""Move -> (from, to)."""
