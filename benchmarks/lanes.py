"""Trials per second of the engine `lanes` against the best of {one by one, one process per core} x {eager, compiled}.

All ways train the same trials, evaluation included, in short segments of random order, with one thread to a process and
the same allocator settings; a segment counts when a small matrix product beside it took no longer than 1.5 times its
median. Wall time. Lanes are measured as their peers are: in one process, and in one process per core. Beside each way
stands what it computes per second in matrix products and convolutions, and above all what a large product reaches here.
After each comparison trials drawn by lot are trained again by `solo` and their validation losses compared.
Compiled is the model by `torch.compile`; compiling is not in the figures and is told apart ("cold").
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import product

import torch

from benchmarks.peers.canary import canary
from benchmarks.peers.replay import replay
from benchmarks.peers.trials import STEPS, Kind, engine, flops, job, prepare, train

TARGETS = {
    "cpu": {"mlp": 4.0, "vit_small": 1.5, "cnn": 1.0},
    "cuda": {"mlp": 30.0, "resnet20": 8.0, "vit_small": 8.0},
}
COUNTS = [1, 4, 16, 32, 64]
LARGE = 1024


@dataclass(frozen=True)
class Way:
    """`trials` are trained by one call of `run`, which says how many finished."""

    name: str
    trials: int
    run: Callable[[], int]

    @property
    def ours(self) -> bool:
        return self.name.startswith("lanes")


def spread(pool: ProcessPoolExecutor, processes: int, work: Callable[[], int]) -> int:
    """The same in every process at once."""
    return sum(one.result() for one in [pool.submit(work) for _ in range(processes)])


def ways(kind: Kind, pool: ProcessPoolExecutor, given: argparse.Namespace) -> list[Way]:
    found: list[Way] = []

    def add(name: str, alone: str, together: str, each: int, work: Callable[[], int]) -> None:
        found.append(Way(f"{alone}{name}", each, work))
        found.append(Way(f"{together}{name}", each * given.processes, partial(spread, pool, given.processes, work)))

    for compiled in (False, True)[: 1 + given.compiled]:
        how = ", compiled" if compiled else ", eager"
        work = partial(train, kind, given.alone, compiled=compiled)
        add(how, "one by one", f"{given.processes} processes", given.alone, work)
    for count in given.lanes:
        add(
            f" {count}",
            "lanes",
            f"lanes, {given.processes} processes,",
            count,
            partial(train, kind, count, lanes=count),
        )
        if given.graphs:
            found.append(Way(f"lanes {count}, graphs", count, partial(train, kind, count, lanes=count, graphs=True)))
    return found


def seconds(way: Way) -> float:
    start = time.perf_counter()
    done = way.run()
    if done != way.trials:
        raise RuntimeError(f"{way.name}: {done} of {way.trials} trials finished")
    return time.perf_counter() - start


def measure(candidates: list[Way], rounds: int) -> tuple[dict[str, list[float]], int]:
    """Trials per second of each way in the segments that count, and how many did not."""
    found: list[tuple[str, float, float]] = []
    for _ in range(rounds):
        for way in random.sample(candidates, k=len(candidates)):
            before = canary()
            taken = seconds(way)
            found.append((way.name, way.trials / taken, max(before, canary())))
    limit = 1.5 * statistics.median(noise for _, _, noise in found)
    counted = {
        way.name: [rate for name, rate, noise in found if name == way.name and noise <= limit] for way in candidates
    }
    return counted, len(found) - sum(map(len, counted.values()))


def summary(rates: list[float], work: float) -> dict[str, float]:
    """Median and quartiles over the segments that counted; `work`: floating-point operations of a trial."""
    middle = statistics.median(rates) if rates else float("nan")
    low, _, high = statistics.quantiles(rates, n=4) if len(rates) > 1 else [middle] * 3
    return {
        "trials_per_s": round(middle, 3),
        "q1": round(low, 3),
        "q3": round(high, 3),
        "segments": len(rates),
        "gflop_per_s": round(middle * work / 1e9, 2),
    }


def compare(kind: Kind, pool: ProcessPoolExecutor, given: argparse.Namespace) -> dict[str, object]:
    candidates = ways(kind, pool, given)
    cold = {way.name: round(seconds(way), 2) for way in candidates}
    rates, refused = measure(candidates, given.rounds)
    work = flops(kind)
    told = {way.name: summary(rates[way.name], work) | {"cold_s": cold[way.name]} for way in candidates}
    fast = {way: told[way.name]["trials_per_s"] for way in candidates if rates[way.name]}
    peers = {way.name: rate for way, rate in fast.items() if not way.ours}
    lanes = {way.name: rate for way, rate in fast.items() if way.ours}
    for way, rate in fast.items():
        row = told[way.name]
        row["ratio"] = round(rate / max(peers.values()), 3) if peers else float("nan")
        print(
            f"{kind!s:20} {way.name:28} {rate:9.3f} trials/s [{row['q1']}, {row['q3']}]"
            f" {row['gflop_per_s']:7.2f} GFLOP/s {row['ratio']:6.2f}x",
            flush=True,
        )
    counted = {"segments_refused": refused, "ways": told}
    if not peers or not lanes:
        print(f"{kind}: too few segments counted: the machine is busy, measure again\n", flush=True)
        return {"value": None, "target": target_of(kind), "met": False} | counted
    one_process = max((told[name]["ratio"] for name in lanes if "processes" not in name), default=None)
    figure = judged(kind, {name: told[name]["ratio"] for name in lanes}, max(peers, key=peers.__getitem__))
    return figure | {"one_process_of_lanes": one_process, "replay": replayed(kind, max(given.lanes))} | counted


def judged(kind: Kind, ratios: dict[str, float], peer: str) -> dict[str, object]:
    """Of the ways of ours, over the best peer: the figure and what it came from."""
    best, target = max(ratios, key=ratios.__getitem__), target_of(kind)
    met = None if target is None else ratios[best] >= target
    words = "no target" if target is None else f"target >= {target:g}, {'met' if met else 'MISSED'}"
    print(f"{kind!s:20} {best}: {ratios[best]:.2f}x the best peer, {peer}; {words}", flush=True)
    return {"value": ratios[best], "target": target, "met": met, "way": best, "peer": peer}


def replayed(kind: Kind, lanes: int) -> dict[str, object]:
    found = replay([job(kind, trial) for trial in range(lanes)], engine(kind, lanes))
    print(f"{kind!s:20} {found}{'' if found.sound else ': WRONG'}\n", flush=True)
    return found._asdict() | {"sound": found.sound}


def target_of(kind: Kind) -> float | None:
    return TARGETS.get(torch.device(kind.device).type, {}).get(kind.model)


def ceiling(device: torch.device) -> float:
    """GFLOP/s of a large matrix product, on a CPU on one thread, the fastest of ten."""
    size = LARGE if device.type == "cpu" else 8 * LARGE
    large = torch.randn(size, size, device=device)
    times: list[float] = []
    for _ in range(10):
        start = time.perf_counter()
        torch.mm(large, large)[0, 0].item()  # which waits for it
        times.append(time.perf_counter() - start)
    return round(2 * size**3 / min(times) / 1e9, 1)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few models, lanes and segments: not for a figure")
    parser.add_argument("--models", nargs="+", choices=list(STEPS), default=None)
    parser.add_argument("--optimizers", nargs="+", choices=["sgd", "adamw"], default=None)
    parser.add_argument("--batches", nargs="+", type=int, default=None)
    parser.add_argument("--lanes", nargs="+", type=int, default=None)
    parser.add_argument("--rounds", type=int, default=None)
    parser.add_argument("--alone", type=int, default=2, help="trials of a segment without lanes, in each process")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--compiled", action=argparse.BooleanOptionalAction, default=None)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--graphs", action="store_true", help="lanes as CUDA graphs, too")
    given = parser.parse_args()
    quick: dict[str, object] = {"models": ["mlp", "cnn", "vit_small"], "optimizers": ["sgd"], "batches": [64]}
    quick |= {"lanes": [8, 16], "rounds": 4, "compiled": False}
    full: dict[str, object] = {"models": list(STEPS), "optimizers": ["sgd", "adamw"], "batches": [64, 128]}
    full |= {"lanes": COUNTS, "rounds": 12, "compiled": True}
    for name, value in (quick if given.quick else full).items():
        if getattr(given, name) is None:
            setattr(given, name, value)
    return given


def main() -> int:
    given = arguments()
    prepare()
    top = ceiling(torch.device(given.device))
    print(f"a large product on {given.device}: {top} GFLOP/s; {given.processes} processes\n", flush=True)
    context = multiprocessing.get_context("spawn")
    figures: dict[str, dict[str, object]] = {}
    with ProcessPoolExecutor(given.processes, mp_context=context, initializer=prepare) as pool:
        for model, optimizer, batch in product(given.models, given.optimizers, given.batches):
            kind = Kind(model, optimizer, batch, given.device)
            figures[str(kind)] = compare(kind, pool, given)
    settings = {
        "rounds": given.rounds,
        "compiled": given.compiled,
        "processes": given.processes,
        "device": given.device,
    }
    print(json.dumps({"benchmark": "lanes", **settings, "ceiling_gflop_per_s": top, "figures": figures}))
    sound = all(one.get("replay", {}).get("sound", True) for one in figures.values())
    return 0 if sound and all(one["met"] is not False for one in figures.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
