"""Draws a tree of trajectories: a line for each way to an end, from left to right as training goes."""

from __future__ import annotations

from collections.abc import Callable

from schedules.trajectories import Tree

FANCY = {"flat": "─", "down": "│", "fork": "┬", "last": "└", "between": "├"}
PLAIN = {"flat": "-", "down": "|", "fork": "+", "last": "`", "between": "|"}
NAMED = 3
"""Trials named at the end of a line; of more only the number is given."""


def branches(tree: Tree, name: Callable[[int], str], *, width: int = 60, plain: bool = False) -> list[str]:
    """`name` gives the words for a trajectory by its place. At a fork the branch with most trials goes straight on."""
    drawing = _Drawing(tree, width, PLAIN if plain else FANCY)
    # Depth first, so that a branch is drawn below all that grows from its elder sisters.
    # Node, the line it leaves, its own line.
    stack: list[tuple[int, int | None, int | None]] = [(root, None, None) for root in reversed(tree.roots)]
    while stack:
        place, above, line = stack.pop()
        if line is None:
            line = drawing.open(above, tree.nodes[place].start)
        ways = sorted(tree.nodes[place].branches, key=lambda branch: -len(tree.nodes[branch].members))
        drawing.draw(line, place, name, forks=len(ways) > 1)
        stack += [(branch, line, None) for branch in reversed(ways[1:])]
        stack += [(branch, None, line) for branch in ways[:1]]
    return drawing.lines()


class _Drawing:
    def __init__(self, tree: Tree, width: int, signs: dict[str, str]) -> None:
        self._tree, self._width, self._signs = tree, width, signs
        self._end = max((node.stop for node in tree.nodes), default=1)
        self._grid: list[list[str]] = []
        self._labels: list[list[str]] = []

    def lines(self) -> list[str]:
        return [
            f"{''.join(row)}  {', '.join(label)}".rstrip() for row, label in zip(self._grid, self._labels, strict=True)
        ]

    def open(self, above: int | None, start: int) -> int:
        """A new line, which leaves the line `above` at step `start`."""
        self._grid.append([" "] * self._width)
        self._labels.append([])
        line = len(self._grid) - 1
        if above is not None:
            at = self._column(start)
            for row in self._grid[above + 1 : line]:
                row[at] = self._signs["between" if row[at] in (self._signs["last"], self._signs["between"]) else "down"]
            self._grid[line][at] = self._signs["last"]
        return line

    def draw(self, line: int, place: int, name: Callable[[int], str], *, forks: bool) -> None:
        node, row = self._tree.nodes[place], self._grid[line]
        start, stop = self._column(node.start), self._column(node.stop)
        for at in range(start, self._width if node.stop == self._end else stop):
            row[at] = self._signs["flat"] if row[at] == " " else row[at]
        if forks:
            row[stop] = self._signs["fork"]
        going_on = {member for branch in node.branches for member in self._tree.nodes[branch].members}
        ended = [name(member) for member in node.members if member not in going_on]
        if ended:
            words = ", ".join(ended) if len(ended) <= NAMED else f"{len(ended)} trials"
            self._labels[line].append(words if node.stop == self._end else f"{words} (to step {node.stop})")

    def _column(self, step: int) -> int:
        return step * (self._width - 1) // self._end
