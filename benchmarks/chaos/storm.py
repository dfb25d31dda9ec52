"""One run: a farm at work, faults until enough kills, then peace until everything has ended, then judgement."""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

from benchmarks.chaos.checker import Limits, Violation, check
from benchmarks.chaos.farm import Farm
from benchmarks.chaos.history import Call, Recorder, Verdict, Watch, read
from benchmarks.chaos.nemesis import Nemesis
from benchmarks.chaos.state import State, look
from client.errors import NotFound, ServiceUnavailable
from contract.studies import CreateStudy
from service.settings import Settings
from tests.postgres import PostgresServer

BUSY_S = 60.0
PEACE_S = 180.0
"""So long may nothing end once the faults are over; what has not ended by then is stuck. A slow machine is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How hard it storms. `calm_s` is the mean time between two kills of the service."""

    kills: int
    workers: int = 16
    ttl_s: float = 1.0
    sweep_s: float = 0.2
    calm_s: float = 0.5
    pace_s: float = 0.02
    faults: bool = True
    seed: int = 0
    postgres: bool = False
    mutant: str | None = None
    at_least_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done, said and found."""

    plan: Plan
    begun: float
    seconds: float
    done: Counter[str]
    calls: list[Call]
    state: State
    violations: list[Violation]
    log: str
    restarts_s: list[float]
    drains: list[int | None] = field(default_factory=list)

    def broken(self, *rules: str) -> int:
        """Violations of these rules."""
        return sum(violation.rule in rules for violation in self.violations)

    @property
    def rules(self) -> Counter[str]:
        """How often each rule was broken."""
        return Counter(violation.rule for violation in self.violations)

    @property
    def errors(self) -> str:
        """What the service logged as its own faults, and what is no log line at all."""
        return "\n".join(line for line in self.log.splitlines() if '"level": "warning"' not in line)

    def said(self, verdict: Verdict, *, zombie: bool = False) -> int:
        """Calls that were answered so; of zombies alone when asked."""
        return sum(call.verdict == verdict and (call.zombie or not zombie) for call in self.calls)


def run(plan: Plan) -> Outcome:
    """Storm, then judge."""
    with tempfile.TemporaryDirectory(prefix="switchback-chaos-") as scratch, _database(plan, scratch) as (url, server):
        folder, begun = Path(scratch), time.monotonic()
        farm = Farm(folder, url, server, ttl_s=plan.ttl_s, sweep_s=plan.sweep_s, mutant=plan.mutant)
        with farm:
            nemesis = Nemesis(farm, random.Random(plan.seed))
            _storm(plan, farm, nemesis)
            nemesis.thaw(everyone=True)
            farm.hire(plan.workers, plan.pace_s)
            _settle(farm)
            farm.dismiss()
            drains = [*nemesis.drains, farm.drain()]
        calls, state = read(folder), look(Settings(database=url, artifacts=farm.artifacts))
        violations = check(calls, state, Limits(ttl_s=plan.ttl_s, overload=tuple(nemesis.windows)))
        seconds = time.monotonic() - begun
        return Outcome(
            plan, begun, seconds, nemesis.done, calls, state, violations, farm.log(), farm.restarts_s, drains
        )


def _storm(plan: Plan, farm: Farm, nemesis: Nemesis) -> None:
    supply, until = Supply(farm, Recorder(farm.folder / "driver.jsonl")), time.monotonic() + plan.at_least_s
    faults, watch = cycle(nemesis.faults()), Watch(farm.folder)
    while nemesis.done["service killed"] < plan.kills or time.monotonic() < until:
        farm.hire(plan.workers, plan.pace_s)
        supply.refill()
        nemesis.thaw()
        time.sleep(nemesis.draw.uniform(0.4, 1.6) * plan.calm_s)
        if plan.faults:
            next(faults)()
        if nemesis.done["service killed"] < plan.kills:
            _until_busy(watch, plan.workers)
            nemesis.kill_service()


def _until_busy(watch: Watch, calls: int) -> None:
    """Wait until the service has accepted so many calls again: whoever kills one that does nothing shows nothing."""
    watch.accepted()
    done, until = 0, time.monotonic() + BUSY_S
    while done < calls and time.monotonic() < until:
        time.sleep(0.02)
        done += watch.accepted()


def _settle(farm: Farm) -> None:
    left, until = -1, time.monotonic() + PEACE_S
    while left and time.monotonic() < until:
        with suppress(ServiceUnavailable):
            studies = farm.studies.list(limit=1_000).items
            before, left = left, sum(study.progress.queued + study.progress.leased for study in studies)
            left += sum(study.status == "running" for study in studies)
            until = until if left == before else time.monotonic() + PEACE_S
        time.sleep(0.2)


@dataclass
class Supply:
    """Keeps work in the queue: a study of 40 trials whenever the last one runs low."""

    farm: Farm
    recorder: Recorder
    newest: int | None = None

    def refill(self) -> None:
        """Submit one more study, if needed; a service that is away is asked again next time."""
        with suppress(ServiceUnavailable, NotFound):  # a study that was lost is found by the checker
            if self.newest is not None and not self._low(self.newest):
                return
            self.newest, begun = None, time.monotonic()
            self.newest = self.farm.studies.create(study(40)).id
            self.recorder.note(Call("driver", "create", begun, time.monotonic(), "ok", study=self.newest))

    def _low(self, number: int) -> bool:
        progress = self.farm.studies.get(number).progress
        return (progress.planned or 0) - progress.complete - progress.diverged - progress.failed < 24


def study(cells: int) -> CreateStudy:
    """A grid of constant rates, patient with the misfortunes of its workers."""
    body: dict[str, Any] = {
        "name": "chaos",
        "task": {"dataset": "digits", "model": "mlp"},
        "budget": {"steps": 12},
        "space": {"schedules": ["constant"], "lr": {"choice": [(index + 1) / 1_000 for index in range(cells)]}},
        "search": {"method": "grid"},
        "limits": {"max_lost": 1_000, "max_failures_in_a_row": 100_000},
    }
    return CreateStudy.model_validate(body)


@contextmanager
def _database(plan: Plan, folder: str) -> Iterator[tuple[str, PostgresServer | None]]:
    if not plan.postgres:
        yield f"sqlite:///{folder}/switchback.db", None
        return
    with PostgresServer(durable=True) as server:
        server.create("chaos")
        yield server.url("chaos"), server
