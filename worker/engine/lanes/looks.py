"""What is measured of the rows of an array at their stops, for each of the jobs that report there."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from worker.engine import divergence
from worker.engine.events import Diverged, Event, Finished, Points
from worker.engine.lanes.array import Array
from worker.engine.lanes.row import Member, Row
from worker.tasks import Data


class Looks:
    """Each row is evaluated once, whoever shares it; each job is told what it would be told alone."""

    def __init__(self, array: Array, data: Data, working: Callable[[], object]) -> None:
        """`working` is called now and then: to measure averages can take long."""
        self._due = {row: due for row in array.rows if (due := row.due())}
        self._reasons: dict[Member, str] = {}
        self._tests: dict[Row, dict[str, float]] = {}
        for member in (member for due in self._due.values() for member in due):
            self._note(member, member.look())
        self._validate(array, data)
        self._test(array, data)
        self._average(array, working)

    def close(self, row: Row) -> None:
        """Those that have come to their end leave, the others go on to their next stops."""
        due = self._due.get(row, [])
        row.leave([member for member in due if member in self._reasons or member.finishes])
        for member in due:
            member.go_on()

    def sound(self, row: Row) -> bool:
        """Whether none of its jobs has diverged here."""
        return not any(member in self._reasons for member in self._due.get(row, []))

    def events(self) -> Iterator[Event]:
        told = [(row, member) for row, due in self._due.items() for member in due]
        for row, member in told:
            if values := divergence.finite(member.tally.values):
                yield Points(member.job.id, row.step, values)
        for row, member in told:
            if member in self._reasons:
                yield Diverged(member.job.id, row.step, self._reasons[member], member.tally.seconds)
        for row, member in told:
            if member.finishes and member not in self._reasons:
                metrics = member.final() | self._tests[row]
                yield Finished(member.job.id, metrics, row.step, member.tally.seconds)

    def _note(self, member: Member, reason: str | None) -> None:
        if reason is not None:
            self._reasons[member] = reason

    def _sound(self, row: Row) -> list[Member]:
        return [member for member in self._due[row] if member not in self._reasons]

    def _validate(self, array: Array, data: Data) -> None:
        asking = {
            row: [member for member in self._sound(row) if member.horizon.validates(row.step)] for row in self._due
        }
        rows = [row for row, members in asking.items() if members]
        found = array.evaluate(rows, data.validation, "val") if rows else []
        finishing = any(member.finishes for row in rows for member in asking[row])
        norms = dict(zip(array.rows, array.norms(), strict=False)) if finishing else {}
        for row, measured in zip(rows, found, strict=True):
            if row.past is not None:
                row.past.validations[row.step] = measured
            for member in asking[row]:
                reason = member.measured(measured)
                if reason is None and member.finishes:
                    reason = divergence.of_parameters(norms[row], row.step)
                self._note(member, reason)

    def _test(self, array: Array, data: Data) -> None:
        rows = [row for row in self._due if any(member.finishes for member in self._sound(row))]
        if rows:
            self._tests = dict(zip(rows, array.evaluate(rows, data.test, "test"), strict=True))

    def _average(self, array: Array, working: Callable[[], object]) -> None:
        for row in self._tests:
            if row.some.job.averaging:
                self._tests[row] |= array.averaged(row, working)
