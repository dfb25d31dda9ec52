"""LR range test: one trial per seed under an exponentially rising rate. What the curves say is in `range_curve`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from contract.search import RangeTest
from contract.space import Family, Space
from contract.studies import CreateStudy
from service.search.range_curve import MIN_POINTS, RangeTestResult, analyse
from service.search.space import BoundSpace, bind
from service.search.strategy import Observation, Proposal, SpaceError

__all__ = ["FAMILY", "RangeTestResult", "RangeTestSearch", "analyse", "bound"]

FAMILY = "lr_range_test"


def bound(search: RangeTest, study: CreateStudy) -> RangeTestSearch:
    """The strategy of a study; `SpaceError` when it brings a space of its own or too few steps to read."""
    if study.space != Space.model_validate({}):
        rule = "a range test searches nothing: it takes low and high from `search`, the optimizer's numbers from `task`"
        raise SpaceError("space", rule, study.space.model_dump(mode="json", exclude_defaults=True))
    if study.budget.steps is not None and study.budget.steps < MIN_POINTS:
        raise SpaceError("budget.steps", f"a range test needs at least {MIN_POINTS} steps", study.budget.steps)
    ramp = Space(schedules=[Family.model_validate({"family": FAMILY, "low": search.low, "lr": search.high})])
    space = bind(ramp, study.task, study.budget)
    return RangeTestSearch(space=space, seeds=search.seeds, seed=study.seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeTestSearch:
    """The strategy: `space` has one branch, the ramp, with nothing to search. Every step's loss is reported."""

    space: BoundSpace
    seeds: int
    seed: int

    @property
    def planned(self) -> int:
        return self.seeds

    @property
    def learns(self) -> bool:
        return False

    def ahead(self, slots: int) -> int:
        return max(1, slots)

    def propose(self, history: Sequence[Observation], first: int, count: int) -> list[Proposal]:
        return [self._ramp(number) for number in range(first, min(first + count, self.seeds))]

    def fallback(self, number: int) -> Proposal | None:
        return self._ramp(number) if number < self.seeds else None

    def _ramp(self, number: int) -> Proposal:
        branch = self.space.branches[0]
        seed = (self.seed + number) % 2**31
        return self.space.proposal(branch, branch.fixed, number=number, origin="range_test", seed=seed, report_every=1)
