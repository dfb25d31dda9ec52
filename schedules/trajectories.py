"""Where trajectories part: the tree of trials that compute the same thing up to a step.

A trajectory is the table [T, n] of the numbers that its updates read, with the key of all else that it depends on (the
seed, the model). Two trajectories agree up to step t when their keys are equal and their first t rows are, bit by bit.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.float64]


class Tables(Protocol):
    """Trajectories by their places; a sequence of arrays is one, but they may be computed when asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, place: int, /) -> Table: ...


BLOCK = 256
"""Rows that are compared at first; each further block is twice as long, as most tables part early or not at all."""


@dataclass(frozen=True, slots=True)
class Node:
    """Steps `start` up to `stop`, which `members` share. Those that go on do so in `branches`, places in `Tree.nodes`;
    the others end at `stop`. `row_steps` are its own and those of all that grows from it.
    """

    start: int
    stop: int
    members: tuple[int, ...]
    branches: tuple[int, ...]
    row_steps: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Tree:
    """Trajectories by their places 0, 1, ...; a node comes before its branches."""

    nodes: tuple[Node, ...]
    roots: tuple[int, ...]

    @property
    def row_steps(self) -> int:
        """How many updates are computed when what is shared is computed once."""
        return sum(map(len, self.nodes))

    @property
    def whole(self) -> int:
        """How many updates the trajectories have, each by itself."""
        return sum(len(node) * len(node.members) for node in self.nodes)

    @property
    def saving(self) -> float:
        """The share of the updates that need not be computed, 0 to 1."""
        return 1 - self.row_steps / self.whole if self.nodes else 0.0

    def widths(self) -> NDArray[np.int64]:
        """How many nodes are open at each step, [longest T]: the rows of an array that computes all of them abreast."""
        change = np.zeros(max((node.stop for node in self.nodes), default=0) + 1, dtype=np.int64)
        for node in self.nodes:
            change[node.start] += 1
            change[node.stop] -= 1
        return change.cumsum()[:-1]


@dataclass(slots=True, eq=False)
class _Draft:
    """`longest`: the member, and its length, with which newcomers are compared."""

    start: int
    stop: int
    members: list[int]
    longest: tuple[int, int]
    branches: dict[Hashable, _Draft] = field(default_factory=dict)


def grow(tables: Tables, keys: Sequence[Hashable] | None = None) -> Tree:
    """The tree of these trajectories; `keys` None: they differ in nothing but their tables.

    A table is compared with one other for each fork at which it leaves the path of those before it, O(T n) in all.
    """
    roots: dict[Hashable, _Draft] = {}
    for place in range(len(tables)):
        table = _bits(tables[place])
        if not len(table):
            raise ValueError(f"tables: need at least one step, got none in table {place}")
        # Tables of different widths are of different kinds of optimizer.
        key = (None if keys is None else keys[place], table.shape[1], table[0].tobytes())
        _insert(roots, key, place, table, tables)
    return _flat(list(roots.values()))


def _insert(
    level: dict[Hashable, _Draft], name: Hashable, place: int, table: NDArray[np.int64], tables: Tables
) -> None:
    """The first row of a branch is its name; `level` are those of which one may begin with `name`."""
    at, size, like = 0, len(table), -1
    while (node := level.get(name)) is not None:
        if node.longest[0] != like:
            like = node.longest[0]
            other = _bits(tables[like])
            common = at + _common(table[at:], other[at:])
        if common < node.stop:
            rest = _Draft(common, node.stop, list(node.members), node.longest, node.branches)
            node.stop, node.branches = common, {other[common].tobytes(): rest}
        node.members.append(place)
        node.longest = max(node.longest, (place, size), key=lambda one: one[1])
        at = node.stop
        if at == size:
            return
        level, name = node.branches, table[at].tobytes()
    level[name] = _Draft(at, size, [place], (place, size))


def _bits(table: Table) -> NDArray[np.int64]:
    return np.ascontiguousarray(table, dtype=np.float64).view(np.int64)


def _common(one: NDArray[np.int64], other: NDArray[np.int64]) -> int:
    """How many leading rows are equal."""
    size = min(len(one), len(other))
    at, block = 0, BLOCK
    while at < size:
        end = min(at + block, size)
        differs = (one[at:end] != other[at:end]).any(axis=1)
        if differs.any():
            return at + int(differs.argmax())
        at, block = end, 2 * block
    return size


def _flat(roots: list[_Draft]) -> Tree:
    order = list(_walk(roots))
    places = {id(draft): place for place, draft in enumerate(order)}

    def named(drafts: Iterator[_Draft]) -> tuple[int, ...]:
        return tuple(places[id(draft)] for draft in drafts)

    nodes: dict[int, Node] = {}
    for place, draft in reversed(list(enumerate(order))):
        branches = named(iter(draft.branches.values()))
        row_steps = draft.stop - draft.start + sum(nodes[branch].row_steps for branch in branches)
        nodes[place] = Node(draft.start, draft.stop, tuple(draft.members), branches, row_steps)
    return Tree(tuple(nodes[place] for place in range(len(order))), named(iter(roots)))


def _walk(roots: list[_Draft]) -> Iterator[_Draft]:
    """Depth first, without recursion: budgets of one schedule make a path of as many nodes as there are budgets."""
    stack = roots[::-1]
    while stack:
        yield (draft := stack.pop())
        stack.extend(reversed(draft.branches.values()))
