"""What happens in an array between two events: rows take lanes, are trained, fork, wait and leave."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import NamedTuple

from worker.engine import memory
from worker.engine.engine import Steering
from worker.engine.errors import describe
from worker.engine.events import Checkpointed, Dropped, Event, Failed, Started
from worker.engine.lanes.array import Array, Column
from worker.engine.lanes.looks import Looks
from worker.engine.lanes.rescue import Before
from worker.engine.lanes.row import Beginning, Member, Row, plant
from worker.engine.lanes.snapshots import resumed, snapshot
from worker.engine.lanes.trunks import Nursery, Trunks, replay
from worker.engine.snapshot import UnfitError, fingerprint
from worker.tasks import Data

logger = logging.getLogger(__name__)


class Waiting(NamedTuple):
    """A row without a lane, and its state: a column, the row from which it forks, or None: it begins anew."""

    row: Row
    state: Column | Row | None


class Shift:
    """Trains rows to their ends. What there is no lane for waits, a branch as its column in main memory; what most
    updates grow from goes first: the trunks, and then all their branches abreast.
    """

    def __init__(
        self, array: Array, data: Data, steering: Steering, *, lanes: int, trunks: Trunks | None = None
    ) -> None:
        self._nursery = None if trunks is None else Nursery(trunks, array, data)
        self.array, self._data, self._steering = array, data, steering
        # Fewer than given when memory has run out.
        self.lanes = lanes
        self._waiting: list[Waiting] = []
        self.row_steps = 0
        # Numbers of rows, and heights of their images, with which a round went well.
        self._proven: set[tuple[int, int]] = set()
        # Who goes on in a lane, and whose lane that has been.
        self._staying: list[tuple[Row, Row]] = []

    @property
    def _rows(self) -> list[Row]:
        return [*(row for row, _ in self._staying), *(row for row, _ in self._waiting)]

    @property
    def jobs(self) -> int:
        """How many are at hand."""
        return sum(len(row.members) for row in self._rows)

    def join(self, members: list[Member], *, share: bool) -> None:
        """Jobs from their snapshot, from a trunk that is kept, or from their beginning; with `share` those alike are
        trained as one.
        """
        nursery = self._nursery
        columns = {member: column for member in members if (column := self._resumed(member)) is not None}
        fresh = [member for member in members if member not in columns]
        trunks = {member: trunk for member in fresh if nursery and (trunk := nursery.find(member)) is not None}
        begins = {member: Beginning(trunk.step, trunk.job) for member, trunk in trunks.items()}
        begins |= {member: Beginning(member.saved, fingerprint(column)) for member, column in columns.items()}
        for row in plant(members, begins, share=share):
            state = columns.get(row.some)
            if state is None and nursery:
                state = nursery.begin(row, trunks.get(row.some))
            self._waiting.append(Waiting(row, state))

    def _resumed(self, member: Member) -> Column | None:
        """The state of a job with a snapshot, if that fits."""
        if member.job.resume is None:
            return None
        try:
            return resumed(member, self.array)
        except UnfitError as reason:
            logger.warning(
                "trial %d is trained from its beginning: its checkpoint does not fit: %s", member.job.id, reason
            )
            return None

    def go(self) -> Iterator[Event]:
        """Train up to the next stop of any row."""
        yield from [event for row, state in self._waiting for event in (*self._save(row, state), *self._drop(row))]
        self._waiting = [one for one in self._waiting if one.row.members]
        seated = self._seat()
        for row, _ in seated:
            yield from _begun(row)
        seated = [one for one in seated if one.row.members]
        rows, before, short = [row for row, _ in (*self._staying, *seated)], None, False
        height = max(map(self.array.feed.height, rows), default=0)
        try:
            before = self._before(rows, height)
            events = self._round(seated)
            self._proven |= {(len(rows), height)}
        except Exception as error:  # all rows share the computation that raised, and the engine goes on
            short = before is not None and len(rows) > 1 and memory.is_short(error)
            if not short:
                logger.info("an array of %d lanes raised", len(rows), exc_info=True)
                events = _failed(rows, error)
                self.array.empty()
                self._staying = []
        # Here and not above: the error holds on to all that the computation has allocated.
        if short and before is not None:
            events = self._back_off(before, seated)
        yield from events

    def _before(self, rows: list[Row], height: int) -> Before | None:
        """What is needed to do without the coming round.

        On a CPU, updates that could be allocated once can be again, and a copy would cost a small model 2 % of its
        time; an evaluation costs more than that.
        """
        proven = self.array.device.type == "cpu" and (len(rows), height) in self._proven
        evaluates = any(row.some.horizon.validates(row.stop) for row in rows)
        return None if proven and not evaluates else Before(self.array, rows)

    def _back_off(self, before: Before, seated: list[Waiting]) -> list[Event]:
        """All rows wait as they were before the round, for half as many lanes."""
        before.put_back()
        self.array.empty()
        memory.release(self.array.device)
        for row, state in [*(Waiting(*pair) for pair in self._staying), *seated]:
            self._waiting.append(Waiting(row, before.column(state) if isinstance(state, Row) else state))
        self.lanes = (len(self._staying) + len(seated)) // 2
        self._staying = []
        logger.warning("out of memory: %s goes on in %d lanes", self.array.job.task.key, self.lanes)
        return []

    def _seat(self) -> list[Waiting]:
        """Those that get a lane; branches among the others are parked.

        Lanes read images of one height: where these grow, the others wait until those with the smallest have caught up.
        """
        height = self.array.feed.height
        least = min(map(height, self._rows), default=0)
        self._waiting += [Waiting(*pair) for pair in self._staying if height(pair[0]) > least]
        self._staying = [pair for pair in self._staying if height(pair[0]) == least]
        # Of equals, who came first goes first.
        order = sorted(self._waiting, key=lambda one: (height(one.row) > least, -one.row.remaining))
        free = min(self.lanes - len(self._staying), sum(height(one.row) == least for one in order))
        parked: dict[Row, Column] = {}
        for _, origin in order[free:]:
            if isinstance(origin, Row) and origin not in parked:
                parked[origin] = [tensor.cpu() for tensor in self.array.column(origin)]
        self._waiting = [
            Waiting(row, parked[state] if isinstance(state, Row) else state) for row, state in order[free:]
        ]
        return order[:free]

    def _round(self, seated: list[Waiting]) -> list[Event]:
        array, start = self.array, time.perf_counter()
        forked = [(row, state) for row, state in seated if isinstance(state, Row)]
        joining = [
            (row, array.fresh(row.some) if state is None else state)
            for row, state in seated
            if not isinstance(state, Row)
        ]
        array.arrange([*self._staying, *forked], joining)
        if not array.rows:
            return []
        jobs = {member.job.id for row in array.rows for member in row.members.values()}
        self.row_steps += array.advance(lambda: not self._steering.any_dropped(jobs)) * len(array.rows)
        looks = Looks(array, self._data, lambda: self._steering.any_dropped(jobs))
        share = (time.perf_counter() - start) / len(array.rows)
        for row in array.rows:
            row.charge(share)
        events = list(looks.events())
        for row in array.rows:
            if self._nursery is not None and looks.sound(row):
                self._nursery.keep(row)
            looks.close(row)
            events += [*self._save(row, row), *self._drop(row)]
        self._succeed()
        return events

    def _succeed(self) -> None:
        """Who carries on the rows of the array."""
        self._staying = []
        for row in self.array.rows:
            heirs = row.heirs()
            if len(heirs) == 1:
                self._staying.append((heirs[0], row))
            else:
                self._waiting += [Waiting(heir, row) for heir in heirs]

    def _save(self, row: Row, state: Column | Row | None) -> list[Event]:
        """Snapshots of the row's jobs that are due and would keep anything new."""
        due = [member for member in row.members.values() if member.begun and row.step > member.saved]
        # All or none: from snapshots of one step they go on as one.
        if state is None or not any(self._steering.checkpoint_due(member.job.id) for member in due):
            return []
        column = self.array.column(state) if isinstance(state, Row) else state
        events: list[Event] = []
        for member in due:
            member.saved = row.step
            self._steering.checkpointed(member.job.id)
            events.append(Checkpointed(member.job.id, row.step, snapshot(member, row.step, column, self.array.device)))
        return events

    def _drop(self, row: Row) -> list[Event]:
        """Take out the jobs that were dropped."""
        gone = [member for member in row.members.values() if self._steering.dropped(member.job.id)]
        row.leave(gone)
        return [Dropped(member.job.id, row.step, member.tally.seconds) for member in gone]


def _begun(row: Row) -> Iterator[Event]:
    """Jobs in their first lane, and what they say of a trunk's past. Who shares any update shares the first."""
    new = [member for member in row.members.values() if not member.begun]
    for member in new:
        member.begun = True
        resumed_from = member.saved or None
        alone = len(row.node.members) == 1 and row.step == member.saved
        engine, horizon = "lanes" if alone else "tree", member.horizon
        yield Started(member.job.id, horizon.total_steps, horizon.steps_per_epoch, engine, resumed_from)
    if new and row.past is not None:
        yield from replay(row)


def _failed(rows: list[Row], error: Exception) -> list[Event]:
    words = describe(error)
    return [Failed(member.job.id, words, member.tally.seconds) for row in rows for member in row.members.values()]
