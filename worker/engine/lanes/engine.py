"""The engines `lanes` and `tree`: K trajectories as one batched model, and to `solo` what cannot be one."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterable, Iterator, Sequence

import torch

from worker.engine.engine import Steering
from worker.engine.events import Dropped, Event
from worker.engine.job import Job
from worker.engine.lanes.admission import WAYS, Admission
from worker.engine.lanes.array import Array
from worker.engine.lanes.intake import Intake
from worker.engine.lanes.likeness import alike, kind
from worker.engine.lanes.probe import SOLO, Probe, widest
from worker.engine.lanes.recording import Record
from worker.engine.lanes.room import room
from worker.engine.lanes.row import Member
from worker.engine.lanes.shift import Shift
from worker.engine.lanes.stack import UnsuitedError
from worker.engine.lanes.trunks import Trunks
from worker.engine.solo import Solo
from worker.tasks import Data, resident

logger = logging.getLogger(__name__)

LANES = {"cpu": 32, "cuda": 256}
"""Lanes by default, at most: on a CPU more bring next to nothing, on CUDA there are as many as there is memory for."""


WORTH_SHARING = 1.25
"""How much slower than `solo` an update may be in an engine that shares updates."""


class Lanes:
    """See `worker.engine.engine.Engine`. Jobs that differ in more than numbers are trained in turn, array by array."""

    name = "lanes"
    shares = False
    sight = 1
    """How many jobs are looked at for each lane."""
    row_steps: int
    """How many updates of a row have been computed so far."""

    def __init__(
        self,
        device: torch.device,
        *,
        lanes: int | None = None,
        dtype: torch.dtype | None = None,
        ways: Sequence[str] = tuple(WAYS),
        trunks: Trunks | None = None,
        probing: bool = False,
        record: Record | None = None,
    ) -> None:
        """`lanes`: how many are trained at once; None leaves it to the device. `dtype` as in `Solo`.

        `ways`: how a model may be batched, in the order in which they are tried. `trunks`: where states are kept for
        jobs that come later; None: nowhere. `probing`: as many lanes, up to `lanes`, as a short trial of each kind of
        job finds fastest, and `solo` where none pay. `record`: how the updates of an array are recorded; None: not.
        """
        self.lanes = LANES.get(device.type, LANES["cpu"]) if lanes is None else lanes
        self._measured = lanes is None
        # Of a kind of job, for how many lanes there is memory, as far as that is known.
        self._room: dict[Hashable, int] = {}
        if self.lanes < 1:
            raise ValueError(f"lanes: need at least 1, got {lanes}")
        self.capacity = self.lanes * self.sight
        self.row_steps = 0
        self.device, self._dtype, self._trunks, self._record = device, dtype, trunks, record
        self._solo = Solo(device, dtype=dtype)
        self._admission = Admission(device, dtype, ways)
        self._probe = Probe(device, dtype) if probing else None

    def run(self, jobs: Iterable[Job | None], steering: Steering) -> Iterator[Event]:
        intake = Intake(jobs)
        while (job := intake.next()) is not None:
            if steering.dropped(job.id):
                yield Dropped(job.id, 0, 0.0)
                continue
            first = self._admitted(job)
            if first is None:
                yield from self._solo.run([job], steering)
                continue
            data = resident(job.task, self.device, self._dtype)
            # What a lane has begun a lane ends: another engine rounds otherwise.
            lanes = self._width(first, data) if job.resume is None else self._most(first, data)
            if job.resume is None and lanes == SOLO < self.lanes:
                yield from self._solo.run([job], steering)
                continue
            array = Array(first, data, self.device, self._dtype or torch.float32, record=self._record)
            shift = Shift(array, data, steering, lanes=lanes, trunks=self._trunks)
            yield from self._train(shift, first, intake, steering)
            if shift.lanes < lanes:
                self._room[kind(job)] = shift.lanes

    def _width(self, first: Member, data: Data) -> int:
        """How many lanes jobs like this one get; `SOLO` for none."""
        most = self._most(first, data)
        if self._probe is None or most == SOLO:
            return most
        counts = [count for count in (most // 4, most // 2, most) if count > SOLO]
        found = self._probe.choose(first, data, counts)
        if not self.shares:
            return found.lanes
        tried = {lanes: each for lanes, each in found.seconds.items() if lanes != SOLO}
        if not tried:
            return counts[0] if found.lanes == SOLO else found.lanes
        # What jobs share is seen only once they are lanes, and saves more than this where there is any; and what parts
        # from several trunks is computed abreast only where there are lanes for all of it.
        wide = widest(tried)
        return wide if tried[wide] < WORTH_SHARING * found.seconds[SOLO] else SOLO

    def _most(self, first: Member, data: Data) -> int:
        """For how many lanes of such jobs there is memory, up to `lanes`."""
        name = kind(first.job)
        if name not in self._room:
            trying = Probe(self.device, self._dtype)
            found = room(self.device, lambda lanes: trying.updating(first, data, lanes)()) if self._measured else None
            self._room[name] = self.lanes if found is None else found
            if found is not None:
                logger.info("%s: there is memory for %d lanes", first.job.task.key, found)
        return min(self.lanes, self._room[name])

    def _train(self, shift: Shift, first: Member, intake: Intake, steering: Steering) -> Iterator[Event]:
        """One array from its first job to its last."""

        def fit(job: Job) -> Member | None:
            if steering.dropped(job.id) or not alike(job, first.job):
                return None
            member = self._admitted(job)
            return member if member is not None and member.stack == first.stack else None

        joining, before = [first], self.row_steps
        while joining or shift.jobs:
            # Jobs are looked at together, for what they share shows only then: not one by one as lanes become free
            # between others that share theirs.
            if shift.jobs < shift.lanes:
                joining += intake.matching(fit, self.capacity - shift.jobs - len(joining))
            shift.join(joining, share=self.shares)
            joining = []
            yield from (Dropped(job.id, 0, 0.0) for job in intake.gone(steering.dropped))
            yield from shift.go()
            self.row_steps = before + shift.row_steps

    def _admitted(self, job: Job) -> Member | None:
        """The job, prepared; None when solo has to train it, or to say what is wrong with it."""
        try:
            return self._admission.admit(job)
        except UnsuitedError as reason:
            logger.info("trial %d is trained alone: %s", job.id, reason)
        except Exception:  # of the user's code or of the job itself
            logger.debug("trial %d cannot be a lane", job.id, exc_info=True)
        return None


class Tree(Lanes):
    """Lanes in which jobs share the updates that they have in common, up to the step where they part."""

    name = "tree"
    shares = True
    sight = 4
