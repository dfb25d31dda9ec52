"""Tree-structured Parzen estimator over a conditional space, a function of the history it is given.

What all families have in common (usually the rate and the optimizer's numbers) is drawn together with the family from
one joint model of all trials; what only the drawn family has, from a joint model of its own trials.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from contract.base import Scalar
from contract.search import Tpe
from contract.trials import Origin
from service.search import quasi
from service.search.domains import Dimension, Options
from service.search.history import History
from service.search.parzen import Axis, Choices, Numbers, suggest
from service.search.space import BoundSpace, Branch
from service.search.strategy import Observation, Proposal, SpaceError

ENOUGH = 2
"""Finished trials the joint model needs."""
RETRIES = 8
"""How often a configuration that was tried already is drawn again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TpeSearch:
    """The strategy; all trials train from the study's seed, so that only the configuration differs."""

    space: BoundSpace
    trials: int
    startup: int
    seed: int
    shared: tuple[Dimension, ...] = field(init=False)
    _places: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        if self.startup > self.trials:
            raise SpaceError("search.startup", f"need startup <= trials = {self.trials}", self.startup)
        first: dict[str, str] = {}
        for branch in self.space.branches:
            if branch.family in first:
                rule = f"tpe models a family once, and {first[branch.family]} is the same: merge their domains"
                raise SpaceError(branch.place, rule, branch.family)
            first[branch.family] = branch.place
        object.__setattr__(self, "shared", _shared(self.space.branches))
        object.__setattr__(self, "_places", {branch.family: branch.index for branch in self.space.branches})

    @property
    def planned(self) -> int:
        return self.trials

    @property
    def learns(self) -> bool:
        return True

    def ahead(self, slots: int) -> int:
        return max(1, slots)  # what waits longer in the queue was proposed knowing less

    def propose(self, history: Sequence[Observation], first: int, count: int) -> list[Proposal]:
        known = history if isinstance(history, History) else History(history)
        proposals: list[Proposal] = []
        for number in range(first, min(first + count, self.trials)):
            if proposals:  # what is only proposed is not for the caller's history
                known = known.copy() if known is history else known
                known.note([_pending(proposals[-1])])
            proposals.append(self._propose(known, number))
        return proposals

    def fallback(self, number: int) -> Proposal | None:
        if number >= self.trials:
            return None
        branch, params = quasi.point(self.space, self.seed, number)
        origin: Origin = "startup" if number < self.startup else "quasi-random"
        return self.space.proposal(branch, params, number=number, origin=origin, seed=self.seed)

    def _propose(self, known: History, number: int) -> Proposal:
        origin: Origin
        if number < self.startup or np.count_nonzero(~np.isnan(known.losses)) < ENOUGH:
            origin, (branch, params) = "startup", quasi.point(self.space, self.seed, number)
        else:
            origin, (branch, params) = "tpe", self._suggest(known, number)
        repeats = known.tried(branch.family, params)  # a replicate tells more than a repeat
        seed = (self.seed + repeats) % 2**31
        return self.space.proposal(branch, params, number=number, origin=origin, seed=seed)

    def _suggest(self, known: History, number: int) -> tuple[Branch, dict[str, Scalar]]:
        rng = np.random.default_rng(np.random.SeedSequence((self.seed, number, quasi.SUGGESTIONS)))
        families = known.column("place", lambda row: self._places[row.family])
        joint = _Model(self.shared, known, known.counts)
        if len(self.space.branches) > 1:
            joint.add(Choices(len(self.space.branches)), families)
        for _ in range(RETRIES):
            common, place = joint.draw(rng)
            branch = self.space.branches[int(place)]
            mine = known.counts & (families == branch.index)
            own = _Model(_own(branch, self.shared), known, mine, branch.family)
            params = {**branch.fixed, **common, **own.draw(rng)[0]}
            if not known.tried(branch.family, params):
                break
        return branch, {item.name: params[item.name] for item in branch.dimensions}


class _Model:
    """The estimator over dimensions of a family, or of all, and what else there is to draw; told of some trials."""

    def __init__(
        self, dimensions: Sequence[Dimension], known: History, which: NDArray[np.bool_], family: str | None = None
    ) -> None:
        self._dimensions, self._which, self._losses = dimensions, which, known.losses[which]
        self._axes: list[Axis] = []
        self._columns: list[NDArray[np.float64]] = []
        for item in dimensions:
            axis = _axis(item)
            self.add(axis, known.column((family, item.name), partial(_inward, item, axis, family)))

    def add(self, axis: Axis, column: NDArray[np.float64]) -> None:
        """One more axis, drawn beside the dimensions."""
        self._axes.append(axis)
        self._columns.append(column[self._which])

    def draw(self, rng: np.random.Generator) -> tuple[dict[str, Scalar], float]:
        """The dimensions' values, and what was drawn beside them, 0 without it."""
        if not self._axes:
            return {}, 0.0
        drawn = suggest(self._axes, np.column_stack(self._columns), self._losses, rng)
        values = {item.name: _outward(item, value) for item, value in zip(self._dimensions, drawn, strict=False)}
        return values, drawn[-1] if len(drawn) > len(self._dimensions) else 0.0


def bound(search: Tpe, space: BoundSpace, *, seed: int) -> TpeSearch:
    """The strategy of a study; by default two points a family and at least ten start it, but at most half of all."""
    usual = min(max(10, 2 * len(space.branches)), max(1, search.trials // 2))
    return TpeSearch(space=space, trials=search.trials, startup=search.startup or usual, seed=seed)


def _shared(branches: Sequence[Branch]) -> tuple[Dimension, ...]:
    """The dimensions that every family searches over the same domain."""
    return tuple(
        item
        for item in branches[0].searched
        if all(any(item.name == other.name and item.domain == other.domain for other in b.searched) for b in branches)
    )


def _own(branch: Branch, shared: Sequence[Dimension]) -> tuple[Dimension, ...]:
    names = {item.name for item in shared}
    return tuple(item for item in branch.searched if item.name not in names)


def _pending(proposal: Proposal) -> Observation:
    return Observation(number=proposal.number, family=proposal.family, params=proposal.params, loss=None, over=False)


def _axis(dimension: Dimension) -> Axis:
    domain = dimension.domain
    if isinstance(domain, Options):  # by position: 1, 1.0 and true are three choices
        return Choices(len(domain.values))
    return Numbers(low=domain.low, high=domain.high, log=domain.log, integer=domain.integer)


def _inward(dimension: Dimension, axis: Axis, family: str | None, row: Observation) -> float:
    if family not in (None, row.family):
        return float("nan")  # another family's parameter of that name is another one
    value, domain = row.params[dimension.name], dimension.domain
    return axis.inward(domain.position(value) if isinstance(domain, Options) else float(value))


def _outward(dimension: Dimension, drawn: float) -> Scalar:
    domain = dimension.domain
    if isinstance(domain, Options):
        return domain.values[int(drawn)]
    return int(drawn) if domain.integer else drawn
