"""Tree-structured Parzen estimator over a conditional space, rebuilt from the history at each call.

What all families have in common (usually the rate and the optimizer's numbers) is drawn together with the family from
one joint model of all trials; what only the drawn family has, from a joint model of its own trials.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from contract.base import Scalar
from contract.search import Tpe
from contract.trials import Origin
from service.search import quasi
from service.search.domains import Dimension, Options
from service.search.parzen import Axis, Choices, Numbers, suggest
from service.search.space import BoundSpace, Branch
from service.search.strategy import Observation, Params, Proposal, SpaceError

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

    @property
    def planned(self) -> int:
        return self.trials

    @property
    def learns(self) -> bool:
        return True

    def ahead(self, slots: int) -> int:
        return max(1, slots)  # what waits longer in the queue was proposed knowing less

    def propose(self, history: Sequence[Observation], first: int, count: int) -> list[Proposal]:
        known = sorted((item for item in history if not _failed(item)), key=lambda item: item.number)
        proposals = []
        for number in range(first, min(first + count, self.trials)):
            proposal = self._propose(known, number)
            known.append(_pending(proposal))
            proposals.append(proposal)
        return proposals

    def fallback(self, number: int) -> Proposal | None:
        if number >= self.trials:
            return None
        branch, params = quasi.point(self.space, self.seed, number)
        origin: Origin = "startup" if number < self.startup else "quasi-random"
        return self.space.proposal(branch, params, number=number, origin=origin, seed=self.seed)

    def _propose(self, known: Sequence[Observation], number: int) -> Proposal:
        origin: Origin
        if number < self.startup or sum(item.loss is not None for item in known) < ENOUGH:
            origin, (branch, params) = "startup", quasi.point(self.space, self.seed, number)
        else:
            origin, (branch, params) = "tpe", self._suggest(known, number)
        repeats = sum(_same(item, branch, params) for item in known)  # a replicate tells more than a repeat
        seed = (self.seed + repeats) % 2**31
        return self.space.proposal(branch, params, number=number, origin=origin, seed=seed)

    def _suggest(self, known: Sequence[Observation], number: int) -> tuple[Branch, dict[str, Scalar]]:
        rng = np.random.default_rng(np.random.SeedSequence((self.seed, number, quasi.SUGGESTIONS)))
        joint = _Model(self.shared, known, families=[branch.family for branch in self.space.branches])
        for _ in range(RETRIES):
            family, common = joint.draw(rng)
            branch = self.space.branches[family]
            params = {**branch.fixed, **common, **self._own(branch, known, rng)}
            if not any(_same(item, branch, params) for item in known):
                break
        return branch, {item.name: params[item.name] for item in branch.dimensions}

    def _own(self, branch: Branch, known: Sequence[Observation], rng: np.random.Generator) -> dict[str, Scalar]:
        names = {item.name for item in self.shared}
        own = tuple(item for item in branch.searched if item.name not in names)
        mine = [item for item in known if item.family == branch.family]
        return _Model(own, mine, families=[branch.family]).draw(rng)[1]


class _Model:
    """The estimator over some dimensions and, where there are several, the family; told of trials."""

    def __init__(self, dimensions: Sequence[Dimension], rows: Sequence[Observation], *, families: list[str]) -> None:
        self._dimensions = dimensions
        self._axes: list[Axis] = [_axis(item) for item in dimensions]
        columns = [
            [_inward(item, axis, row) for row in rows] for item, axis in zip(dimensions, self._axes, strict=True)
        ]
        if len(families) > 1:
            index = {family: float(place) for place, family in enumerate(families)}
            self._axes.append(Choices(len(families)))
            columns.append([index[row.family] for row in rows])
        self._points = np.array(columns, dtype=np.float64).reshape(len(self._axes), len(rows)).T
        # A diverged trial's loss is infinite: only ranks matter, and it ranks last by whatever margin.
        self._losses = np.array([np.nan if row.loss is None else row.loss for row in rows], dtype=np.float64)

    def draw(self, rng: np.random.Generator) -> tuple[int, dict[str, Scalar]]:
        """A family's place and the dimensions' values."""
        if not self._axes:
            return 0, {}
        drawn = suggest(self._axes, self._points, self._losses, rng)
        values = {item.name: _outward(item, value) for item, value in zip(self._dimensions, drawn, strict=False)}
        return int(drawn[-1]) if len(drawn) > len(self._dimensions) else 0, values


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


def _pending(proposal: Proposal) -> Observation:
    return Observation(number=proposal.number, family=proposal.family, params=proposal.params, loss=None, over=False)


def _failed(observation: Observation) -> bool:
    return observation.loss is None and observation.over


def _same(observation: Observation, branch: Branch, params: Params) -> bool:
    return observation.family == branch.family and observation.params == params


def _axis(dimension: Dimension) -> Axis:
    domain = dimension.domain
    if isinstance(domain, Options):  # by position: 1, 1.0 and true are three choices
        return Choices(len(domain.values))
    return Numbers(low=domain.low, high=domain.high, log=domain.log, integer=domain.integer)


def _inward(dimension: Dimension, axis: Axis, row: Observation) -> float:
    value = row.params[dimension.name]
    return axis.inward(dimension.domain.position(value) if isinstance(dimension.domain, Options) else float(value))


def _outward(dimension: Dimension, drawn: float) -> Scalar:
    domain = dimension.domain
    if isinstance(domain, Options):
        return domain.values[int(drawn)]
    return int(drawn) if domain.integer else drawn
