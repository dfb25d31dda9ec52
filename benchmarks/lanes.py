"""Speed of the engine `lanes`: trials per second against the best of one by one and two processes, on digits.

All ways train the same trials in short segments of random order, with one thread to a process and the same allocator
settings; a segment counts when a small matrix product beside it took no longer than 1.5 times its median. Wall time.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import torch

from schedules.presets import REGISTRY
from worker.engine import Finished, Job, Lanes, OptimizerNumbers, Solo, Steering
from worker.engine.memory import keep_freed
from worker.tasks import assemble

CPU = torch.device("cpu")
TARGETS = {"mlp": 4.0, "cnn": 1.0}
STEPS = {"mlp": 128, "cnn": 16}
CANARY = torch.randn(256, 256)


def job(model: str, optimizer: str, trial: int) -> Job:
    numbers = OptimizerNumbers(name="sgd" if optimizer == "sgd" else "adamw", weight_decay=1e-4)
    schedule = REGISTRY["cosine"].build(lr=(0.05 if optimizer == "sgd" else 0.002) * (1 + trial / 100))
    task = assemble().task(f"digits/{model}")
    return Job(id=trial + 1, task=task, schedule=schedule, optimizer=numbers, steps=STEPS[model])


def prepare() -> None:
    torch.set_num_threads(1)
    keep_freed()


def by_solo(model: str, optimizer: str, trials: list[int]) -> int:
    """How many trials ran to their end, one by one."""
    events = Solo(CPU).run([job(model, optimizer, trial) for trial in trials], Steering())
    return sum(isinstance(event, Finished) for event in events)


def by_processes(pool: ProcessPoolExecutor, model: str, optimizer: str, trials: list[int]) -> int:
    """The same, half of them in each of two processes."""
    halves = [trials[::2], trials[1::2]]
    return sum(pool.map(partial(by_solo, model, optimizer), halves))


def by_lanes(engine: Lanes, model: str, optimizer: str, trials: list[int]) -> int:
    """The same, as one array."""
    events = engine.run([job(model, optimizer, trial) for trial in trials], Steering())
    return sum(isinstance(event, Finished) for event in events)


def canary() -> float:
    start = time.perf_counter()
    for _ in range(20):
        torch.mm(CANARY, CANARY)
    return time.perf_counter() - start


def measure(ways: dict[str, tuple[int, Callable[[list[int]], int]]], rounds: int) -> dict[str, list[float]]:
    """Trials per second of each way, in the segments that count."""
    found: list[tuple[str, float, float]] = []
    for _ in range(rounds):
        for name in random.sample(list(ways), k=len(ways)):
            count, way = ways[name]
            before, start = canary(), time.perf_counter()
            done = way(list(range(count)))
            seconds = time.perf_counter() - start
            if done != count:
                raise RuntimeError(f"{name}: {done} of {count} trials finished")
            found.append((name, count / seconds, max(before, canary())))
    limit = 1.5 * statistics.median(noise for _, _, noise in found)
    return {name: [rate for way, rate, noise in found if way == name and noise <= limit] for name in ways}


def summary(rates: list[float]) -> dict[str, float]:
    """Median and quartiles over the segments that counted."""
    if len(rates) < 2:
        raise RuntimeError("too few segments counted: the machine is busy, measure again")
    low, middle, high = statistics.quantiles(rates, n=4)
    return {"trials_per_s": round(middle, 2), "q1": round(low, 2), "q3": round(high, 2), "segments": len(rates)}


def compare(pool: ProcessPoolExecutor, model: str, optimizer: str, given: argparse.Namespace) -> dict[str, object]:
    ways: dict[str, tuple[int, Callable[[list[int]], int]]] = {
        "one by one": (4, partial(by_solo, model, optimizer)),
        "two processes": (8, partial(by_processes, pool, model, optimizer)),
    }
    for count in given.lanes:
        ways[f"lanes {count}"] = (count, partial(by_lanes, Lanes(CPU, lanes=count), model, optimizer))
    for count, way in ways.values():
        way(list(range(count)))  # warm: data loaded, processes started
    rates = {name: summary(found) for name, found in measure(ways, given.rounds).items()}
    best = max(rates["one by one"]["trials_per_s"], rates["two processes"]["trials_per_s"])
    for name, row in rates.items():
        row["ratio"] = round(row["trials_per_s"] / best, 2)
        middle, low, high = row["trials_per_s"], row["q1"], row["q3"]
        print(f"{model:4} {optimizer:6} {name:14} {middle:8.2f} trials/s [{low}, {high}] {row['ratio']:5.2f}x")
    top = max(row["ratio"] for name, row in rates.items() if name.startswith("lanes"))
    print(f"{model:4} {optimizer:6} best lanes {top}x the best peer, target >= {TARGETS[model]}", flush=True)
    return {"best_ratio": top, "target": TARGETS[model], "met": top >= TARGETS[model], "ways": rates}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few segments: for a look, not for a figure")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--lanes", type=int, nargs="+", default=[1, 4, 16, 32])
    given = parser.parse_args()
    given.rounds = given.rounds or (6 if given.quick else 20)
    prepare()
    context = multiprocessing.get_context("spawn")
    figures: dict[str, dict[str, object]] = {}
    with ProcessPoolExecutor(2, mp_context=context, initializer=prepare) as pool:
        for model in ("mlp", "cnn"):
            for optimizer in ("sgd", "adamw"):
                figures[f"{model}/{optimizer}"] = compare(pool, model, optimizer, given)
    print("peers are eager; torch.compile one by one is not among them yet")
    print(json.dumps({"benchmark": "lanes", "rounds": given.rounds, "figures": figures}))


if __name__ == "__main__":
    main()
