"""Grid search: every cell of the space exactly once per seed, each a function of its number."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from math import prod

from contract.base import Scalar
from service.search.space import BoundSpace, Branch, meaning
from service.search.strategy import Observation, Params, Proposal, SpaceError

MAX_TRIALS = 100_000
AHEAD = 64  # a cell costs nothing to propose, and one claim may take many
"""Queued trials per slot: proposals of a grid cost nothing and do not age."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GridSearch:
    """The strategy. The seed is the slowest digit of the number, so that an early look covers the whole space."""

    space: BoundSpace
    seeds: int
    seed: int
    axes: tuple[tuple[tuple[Scalar, ...], ...], ...] = field(init=False)
    cells: int = field(init=False)

    def __post_init__(self) -> None:
        axes = tuple(tuple(item.grid() for item in branch.dimensions) for branch in self.space.branches)
        object.__setattr__(self, "axes", axes)
        object.__setattr__(self, "cells", sum(prod(map(len, branch)) for branch in axes))
        if self.planned > MAX_TRIALS:
            rule = f"a grid has at most {MAX_TRIALS:,} trials; {self.cells:,} cells x {self.seeds} seeds are too many"
            raise SpaceError("space", rule, self.planned)
        for one, other in combinations(range(len(axes)), 2):
            self._check_apart(one, other)

    @property
    def planned(self) -> int:
        return self.cells * self.seeds

    @property
    def learns(self) -> bool:
        return False

    def ahead(self, slots: int) -> int:
        return max(AHEAD, 4 * slots)

    def propose(self, history: Sequence[Observation], first: int, count: int) -> list[Proposal]:
        return [self.cell(number) for number in range(first, min(first + count, self.planned))]

    def fallback(self, number: int) -> Proposal | None:
        return self.cell(number) if number < self.planned else None

    def cell(self, number: int) -> Proposal:
        """Trial `number`, by repeated division: seed, family, then the parameters, the last one turning fastest."""
        repeat, rest = divmod(number, self.cells)
        index = 0
        while rest >= (size := prod(map(len, self.axes[index]))):
            index, rest = index + 1, rest - size
        branch = self.space.branches[index]
        params = _digits(branch, self.axes[index], rest)
        return self.space.proposal(branch, params, number=number, origin="grid", seed=(self.seed + repeat) % 2**31)

    def _check_apart(self, one: int, other: int) -> None:
        """Two entries of one family share a cell exactly when they share a value of every parameter."""
        first, second = self.space.branches[one], self.space.branches[other]
        if first.family != second.family:
            return
        left, right = _values(first, self.axes[one]), _values(second, self.axes[other])
        if all(left[name] & right[name] for name in left):
            raise SpaceError(second.place, f"repeats cells of {first.place}; every cell is tried once", second.family)


def _digits(branch: Branch, axes: tuple[tuple[Scalar, ...], ...], rest: int) -> Params:
    digits: dict[str, Scalar] = {}
    for dimension, values in zip(reversed(branch.dimensions), reversed(axes), strict=True):
        rest, digit = divmod(rest, len(values))
        digits[dimension.name] = values[digit]
    return dict(reversed(digits.items()))


def _values(branch: Branch, axes: tuple[tuple[Scalar, ...], ...]) -> dict[str, set[Hashable]]:
    """What every parameter of the entry takes in this grid, comparable across entries; those not named, one default."""
    found = {item.name: {meaning(item.default, item)} for item in branch.preset.parameters}
    for dimension, values in zip(branch.dimensions, axes, strict=True):
        found[dimension.name] = {meaning(value, dimension.rule) for value in values}
    return found
