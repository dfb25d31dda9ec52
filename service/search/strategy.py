"""The seam between search and service: what a strategy is told and what it proposes.

A strategy is a pure function of the study's definition and its history: no SQL, no HTTP, no clock, nothing kept between
calls. The database is the truth and a strategy is disposable; rebuilt after a restart it proposes the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from contract.base import Scalar
from contract.trials import Origin
from schedules import AnySchedule

Params: TypeAlias = Mapping[str, Scalar]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """A trial of the history. `loss` is the objective turned so that smaller is better; +inf when the trial diverged,
    None while it is queued or running, and when it failed or was cancelled (`over` tells the two apart)."""

    number: int
    family: str
    params: Params
    loss: float | None
    over: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A trial to run. `params` are the searched and fixed numbers by name (`lr`, `d`, `weight_decay`, ...);
    equal `config` means equal but for the seed. `report_every` as in `contract.trials.TrialSpec`."""

    number: int
    origin: Origin
    family: str
    params: Params
    config: str
    schedule: AnySchedule
    seed: int
    report_every: int = 0

    @property
    def learnt(self) -> bool:
        """Whether results proposed it. Anything else is a function of its number, and belongs to no other."""
        return self.origin == "tpe"


class Strategy(Protocol):
    """A search method bound to one study's definition; building one checks the space (`SpaceError`)."""

    @property
    def planned(self) -> int | None:
        """How many trials there will be in all; None when it cannot know."""

    @property
    def learns(self) -> bool:
        """Whether proposals depend on the history; one that does not learn is given none."""

    def ahead(self, slots: int) -> int:
        """How many trials to keep queued when the workers can run `slots` at a time."""

    def propose(self, history: Sequence[Observation], first: int, count: int) -> list[Proposal]:
        """Proposals numbered `first`, `first + 1`, ...; fewer than `count` when the search ends there."""

    def fallback(self, number: int) -> Proposal | None:
        """A quasi-random proposal that needs no history, for a claim that finds the queue dry; None past the end."""


class SpaceError(ValueError):
    """The space does not fit the search: the field, the rule, the value."""

    def __init__(self, field: str, rule: str, value: object) -> None:
        super().__init__(f"{field}: {rule}, got {value!r}")
        self.field = field
        self.rule = rule
        self.value = value
