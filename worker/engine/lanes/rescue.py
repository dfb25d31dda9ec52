"""Nothing is lost when memory runs out: what a round of an array changes, as it was before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

from worker.engine import memory
from worker.engine.lanes.array import Array, Column
from worker.engine.lanes.row import CPU, Member, Row


class Before:
    """An array before a round, the rows that are to be in it, and their jobs."""

    def __init__(self, array: Array, rows: Sequence[Row]) -> None:
        try:
            self._column = array.copied(array.device)
        except Exception as error:
            if not memory.is_short(error):
                raise
            self._column = array.copied(CPU)
        self._rows = [(row, row.step, row.members) for row in rows]
        self._members = [(member, _noted(member)) for row in rows for member in row.members.values()]

    def column(self, row: Row) -> Column:
        """The state of a row that was in the array, in main memory."""
        return [tensor.to(CPU) for tensor in self._column(row)]

    def put_back(self) -> None:
        """Rows and jobs know of nothing that came after."""
        for row, step, members in self._rows:
            row.step, row.members = step, members
            if row.past is not None:
                del row.past.losses[step:]
        for member, noted in self._members:
            for name, value in noted.items():
                setattr(member, name, value)


def _noted(member: Member) -> dict[str, object]:
    """The fields of a member; of these only the tally is written to, the others are replaced."""
    tally = replace(member.tally, values=dict(member.tally.values))
    return {one.name: getattr(member, one.name) for one in fields(member)} | {"tally": tally}
