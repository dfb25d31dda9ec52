"""How fast the service hands out trials and takes reports, over HTTP, durable, beside Optuna's storages and Ray Tune.

Rates are requests answered after the commit (SQLite synchronous=FULL, or a PostgreSQL that syncs). The load generator
is one process on raw sockets, the service another; what share of a core it took is told. The queue is filled
beforehand. Beside each rate stands the service's own processor time per request.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec

from benchmarks import Figure, publish
from benchmarks.rig import optuna_peer
from benchmarks.rig.load import Outcome, Script, ask, drive
from benchmarks.rig.serving import KINDS, Service, database, opened, settle
from benchmarks.rig.work import GRID, Hand, beats, fill, finish, grid, reference, reports, tpe
from service.search import strategy_for
from service.search.history import History
from service.search.strategy import Observation, Proposal

CONNECTIONS = (1, 4, 16, 64)
ARRAY = 64
TOGETHER = 16
"""Trials that a worker of lanes claims at once, reports on in one request, and completes in one."""
ROWS = 100
WARMING_S = 3.0
"""A fresh service compiles its statements and reads the trials of its studies; that is not what is measured."""
ENOUGH = 24_000
"""Trials a second that are queued beforehand, for a window of claims and one of arrays: more than are handed out."""


def timed(service: Service, label: str, scripts: Sequence[Script], seconds: float) -> Outcome:
    """Drive, and print what came of it."""
    before, own = service.cpu_s(), time.process_time()
    outcome = drive(service.address, scripts, seconds=seconds)
    spent = 1e6 * (service.cpu_s() - before) / max(1, len(outcome.latencies))
    ours = 100 * (time.process_time() - own) / outcome.seconds
    shown = f"p50 {outcome.quantile(0.5):7.2f}  p99 {outcome.quantile(0.99):7.2f} ms   {spent:6.0f} us of processor"
    shown += f"   (load generator: {ours:.0f} % of a core)"
    print(f"  {label:<34} {outcome.rate:8.0f} /s   {shown}", flush=True)
    return outcome


def protocol(kind: str, seconds: float, connections: Sequence[int]) -> list[Figure]:
    """Claims, reports, heartbeats at each number of connections; the best of each against its target."""
    rates: dict[str, list[float]] = {name: [] for name in ("claims", "arrays", "reports", "rows", "heartbeats")}
    for count in connections:
        with serving(kind, int(seconds * ENOUGH)) as service:
            for name, scripts, worth in workloads(service, [Hand(number) for number in range(count)]):
                outcome = timed(service, f"{kind} {name} x{count}", scripts(), seconds)
                rates[name].append(worth * outcome.rate)
    with serving(kind, int(seconds * ENOUGH)) as service:
        eight = [Hand(number).claims() for number in range(8)]
        p99 = timed(service, f"{kind} claims x8", eight, seconds).quantile(0.99)
    targets = {"claims": 1_000, "arrays": 10_000, "reports": 1_500, "rows": 20_000, "heartbeats": 1_500}
    units = {"arrays": f"trials/s in arrays of {ARRAY}", "rows": f"rows/s in batches of {ROWS}"}
    figures = [
        Figure(f"{kind}: {units.get(name, f'{name}/s')}", max(found), f">= {targets[name]}")
        for name, found in rates.items()
    ]
    return [*figures, Figure(f"{kind}: claim p99 at 8 connections, ms", p99, "<= 10")]


@contextmanager
def serving(kind: str, queued: int) -> Iterator[Service]:
    """A service whose queue holds so many trials."""
    with database(kind) as url:
        own = opened(url)
        for begun in range(0, queued, GRID):
            fill(own, grid(), min(GRID, queued - begun))
        settle(own)
        own.close()
        with Service(url, "--lease-ttl", "3600") as service:
            drive(service.address, [Hand(999).claims()], seconds=0.5)
            yield service


def workloads(service: Service, hands: Sequence[Hand]) -> list[tuple[str, Callable[[], list[Script]], int]]:
    """Each with what one answer of it is worth."""

    def held(hand: Hand) -> dict[str, object]:
        token, data = hand.claim()
        return reference(ask(service.address, data).json()["leases"][0], token)

    refs = [held(hand) for hand in hands]
    pairs = list(zip(hands, refs, strict=True))
    fresh = [held(hand) for hand in hands]
    return [
        ("claims", lambda: [hand.claims() for hand in hands], 1),
        ("reports", lambda: [reports(ref, 1) for ref in refs], 1),
        ("rows", lambda: [reports(ref, ROWS) for ref in fresh], ROWS),
        ("heartbeats", lambda: [beats(hand.worker["id"], ref) for hand, ref in pairs], 1),
        ("arrays", lambda: [hand.claims(ARRAY) for hand in hands[:8]], ARRAY),
    ]


def latency(kind: str, finished: int, hands: int, seconds: float) -> Figure:
    """Claim latency while that many TPE trials are finished and the workers report and complete between claims."""
    waits: list[float] = []
    with database(kind) as url:
        own = opened(url)
        study = fill(own, tpe(100_000), 0)
        finish(own, study, finished)
        settle(own)
        own.close()
        with Service(url) as service:
            drive(service.address, [Hand(99).cycles([])], seconds=WARMING_S)
            timed(
                service, f"{kind} cycles, {finished} finished", [Hand(n).cycles(waits) for n in range(hands)], seconds
            )
    claims = Outcome(1.0, waits)
    note = f"p50 {claims.median:.2f} ms over {len(waits)} claims"
    return Figure(f"{kind}: claim p99 at {finished} TPE trials, ms", claims.quantile(0.99), "<= 50", note)


def proposing(finished: int, budget_ms: float, rounds: int = 25) -> Figure:
    """Processor time to take in a trial's result and propose the next, by TPE over a conditional space; the median."""
    strategy, rng = strategy_for(tpe(100_000)), random.Random(0)

    def ended(one: Proposal) -> Observation:
        return Observation(number=one.number, family=one.family, params=one.params, loss=rng.random(), over=True)

    points = [point for number in range(finished) if (point := strategy.fallback(number)) is not None]
    history = History(ended(point) for point in points)
    points = strategy.propose(history, finished, 1)
    taken = []
    for number in range(finished + 1, finished + 1 + rounds):
        begun = time.process_time()
        history.note(map(ended, points))
        points = strategy.propose(history, number, 1)
        taken.append(1e3 * (time.process_time() - begun))
    return Figure(f"a proposal after {finished:,} trials, ms", sorted(taken)[rounds // 2], f"<= {budget_ms:g}")


def trials(kind: str, count: int, together: int, seconds: float) -> float:
    """Whole trials per second, from claim to completion, at so many connections and so many trials a claim."""
    waits: list[float] = []
    with serving(kind, int(seconds * ENOUGH / 4)) as service:
        scripts = [Hand(number).cycles(waits, together) for number in range(count)]
        label = f"{kind} trials x{count}" + (f", {together} a claim" if together > 1 else "")
        outcome = timed(service, label, scripts, seconds)
    return len(waits) / outcome.seconds


def against_optuna(kind: str, seconds: float) -> list[Figure]:
    """Whole trials per second: claim, report, complete against ask, report, tell; each at its best concurrency."""
    ours = {
        "": max(trials(kind, count, 1, seconds) for count in (4, 32)),
        f", {TOGETHER} a claim": max(trials(kind, count, TOGETHER, seconds) for count in (4, 32)),
    }
    figures = []
    with ExitStack() as stack:
        url = stack.enter_context(database(kind, migrated=False)).replace("postgresql://", "postgresql+psycopg://")
        url = optuna_peer.prepared(url)
        for name in ("RDB", "gRPC proxy"):
            place = url if name == "RDB" else stack.enter_context(optuna_peer.proxied(url))
            theirs = max(optuna_peer.rate(place, processes=count, seconds=seconds) for count in (1, 4))
            for how, rate in ours.items():
                note = f"{rate:.0f} against {theirs:.1f} trials/s"
                figures.append(Figure(f"{kind}: trials/s over Optuna's {name}{how}", rate / theirs, ">= 30", note))
    return figures


def against_ray(kind: str, seconds: float) -> list[Figure]:
    """From one trial to the next when trials take no time: two workers against two actors, reused."""
    if find_spec("ray") is None:
        print('  Ray Tune is left out; it needs: pip install "switchback[benchmarks]"')
        return []
    from benchmarks.peers.ray_tune import RayTune

    ours = {
        how: 1e3 / trials(kind, 2, count, seconds) for how, count in {"": 1, f", {TOGETHER} a claim": TOGETHER}.items()
    }
    with RayTune(2) as ray_tune:
        ray_tune.nothing(4)
        theirs = 1e3 * ray_tune.nothing(int(20 * seconds))
    what = f"{kind}: Ray Tune's time between trials over ours"
    return [
        Figure(f"{what}{how}", theirs / took, ">= 10", f"{took:.2f} against {theirs:.1f} ms a trial")
        for how, took in ours.items()
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short windows, 1 and 16 connections")
    parser.add_argument("--postgres", action="store_true", help="on PostgreSQL instead of SQLite")
    parser.add_argument("--only", choices=("protocol", "latency", "proposing", "optuna", "ray"), help="one part")
    given = parser.parse_args()
    kind = KINDS[given.postgres]
    seconds, connections = (1.5, (1, 16)) if given.quick else (5.0, CONNECTIONS)
    finished = (10, 1_000) if given.quick else (10, 1_000, 10_000)
    asked = (5_000,) if given.quick else (5_000, 50_000)
    parts = {
        "protocol": lambda: protocol(kind, seconds, connections),
        "latency": lambda: [latency(kind, count, 32, 2 * seconds) for count in finished],
        "proposing": lambda: [proposing(count, count / 1_000) for count in asked],
        "optuna": lambda: against_optuna(kind, seconds),
        "ray": lambda: against_ray(kind, seconds),
    }
    chosen = [given.only] if given.only else list(parts)
    return publish("dispatch", [figure for name in chosen for figure in parts[name]()])


if __name__ == "__main__":
    sys.exit(main())
