"""The engine `tree` on digits and an MLP 64-128-10: its own count, what it costs, and ordinary loops beside it.

Six studies, one of which shares nothing. Of each: updates executed over the tree's count; and the time over what the
count predicts. The prediction knows no engine but `lanes`: the tree says how many rows are trained at each step, lanes
without sharing say what a step of so many rows costs, and what it costs to begin, test and end a trial. Beside it is
what the count alone would say, the time of lanes (16, as by default) times the share of updates left. These times are
the process's own, on one thread: somebody else's load on the machine is not measured.

The 64 trials of the first study are also trained by ordinary loops, one by one and in two processes, and by the engines
of two workers with every second trial each; that is wall time, and the answers are compared. All ways run in rounds of
random order with the same allocator settings; a segment counts when a small matrix product beside it took no longer
than 1.5 times its median.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn

from benchmarks import Figure, publish
from benchmarks.peers.canary import canary
from benchmarks.peers.plain_loop import by_hand
from benchmarks.peers.recipe import prepare
from schedules import AnySchedule
from schedules.presets import REGISTRY
from schedules.trajectories import Tree as Trajectories
from schedules.trajectories import grow
from worker.engine import Finished, Job, Lanes, Steering, Tree
from worker.engine.lanes import rules
from worker.engine.plan import make_plan
from worker.tasks import Classification, Model, resident
from worker.tasks.digits import DIGITS


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))


CPU = torch.device("cpu")
TASK = Classification(DIGITS, Model("mlp-64-128-10", lambda _: mlp()))
BATCH, EPOCH = 64, 16
WIDTHS = (1, 2, 4, 8, 16, 32, 64)
SAME = 2e-3
"""Largest difference of a validation loss: float32 in another order of summing, over a whole training."""

Ways = dict[str, Callable[[], object]]


def preset(name: str, **arguments: object) -> AnySchedule:
    return REGISTRY[name].build(**({"lr": 0.05} | arguments))


def steps(epochs: int) -> str:
    return f"{epochs * EPOCH} steps"


def studies() -> dict[str, list[Job]]:
    wsd = [(preset("wsd", decay=steps(length)), start + length) for start in range(1, 17) for length in (1, 2, 3, 4)]
    milestones = [
        (preset("multi_step", milestones=f"{EPOCH * one} steps, {EPOCH * (one + more)} steps", gamma=gamma), 16)
        for one in (4, 7, 10)
        for more in (2, 5)
        for gamma in (0.1, 0.3)
    ]
    sgdr = [
        (preset("sgdr", first=steps(4), t_mult=mult, decay=decay), epochs)
        for mult in (1.0, 2.0)
        for decay in (1.0, 0.7, 0.5)
        for epochs in (4, 12)
    ]
    budgets = [(preset("constant", lr=lr), epochs) for lr in (0.02, 0.05, 0.1) for epochs in range(2, 18, 2)]
    nothing = [(preset("cosine", lr=0.02 * 1.05**trial), 8) for trial in range(32)]
    mixed = [*wsd[8:24:2], *milestones[::3], *sgdr[::3], *budgets[8:16:2], *nothing[::6]]
    named = {"wsd": wsd, "milestones": milestones, "sgdr": sgdr, "budgets": budgets, "mixed": mixed, "nothing": nothing}
    return {name: [job(number, *trial) for number, trial in enumerate(trials, 1)] for name, trials in named.items()}


def job(number: int, schedule: AnySchedule, epochs: int) -> Job:
    return Job(id=number, task=TASK, schedule=schedule, batch_size=BATCH, epochs=epochs)


WSD = studies()["wsd"]


def trajectories(jobs: Sequence[Job]) -> Trajectories:
    examples = len(resident(TASK, CPU).train)
    return grow([rules.table(one.optimizer, make_plan(one, examples)) for one in jobs])


def by_engine(engine: Lanes, jobs: Sequence[Job]) -> dict[int, float]:
    """The final validation losses."""
    found = {one.job: one.metrics["val_loss"] for one in engine.run(jobs, Steering()) if isinstance(one, Finished)}
    if len(found) != len(jobs):
        raise RuntimeError(f"{engine.name}: {len(found)} of {len(jobs)} trials finished")
    return found


TREE = Tree(CPU, lanes=WIDTHS[-1])
"""A worker's engine outlives its studies: what it has found out about a task is known from the first on."""


def by_tree(jobs: Sequence[Job]) -> dict[int, float]:
    """All abreast: there is a lane for every branch."""
    return by_engine(TREE, jobs)


def wsd(number: int) -> float:
    """One trial of the first study on an ordinary loop; a number is what crosses to another process."""
    return by_hand(WSD[number - 1], CPU)


def by_loop(numbers: Sequence[int]) -> dict[int, float]:
    return {number: wsd(number) for number in numbers}


def half(first: int) -> dict[int, float]:
    """What one of two workers has: every second trial."""
    return by_tree(WSD[first::2])


def by_two_trees(pool: ProcessPoolExecutor) -> dict[int, float]:
    return {number: value for found in pool.map(half, (0, 1)) for number, value in found.items()}


def by_processes(pool: ProcessPoolExecutor, numbers: Sequence[int]) -> dict[int, float]:
    return dict(zip(numbers, pool.map(wsd, numbers), strict=True))


def unshared(width: int, *, epochs: int | None, total: int | None = None) -> Callable[[], object]:
    """So many lanes, of trials that share nothing."""
    jobs = [
        Job(id=number, task=TASK, schedule=preset("constant", lr=0.02 + 1e-4 * number), epochs=epochs, steps=total)
        for number in range(1, width + 1)
    ]
    return partial(by_engine, Lanes(CPU, lanes=width), jobs)


@dataclass(frozen=True)
class Time:
    """Median seconds over the segments that count."""

    wall: float
    own: float


@dataclass(frozen=True)
class Segment:
    """One run of a way, and the slower of the matrix products before and after it."""

    wall: float
    own: float
    noise: float


def segment(way: Callable[[], object]) -> Segment:
    before, start, own = canary(), time.perf_counter(), time.process_time()
    way()
    own, wall = time.process_time() - own, time.perf_counter() - start
    return Segment(wall, own, max(before, canary()))


def measure(ways: Ways, rounds: int, gate: float) -> dict[str, Time]:
    """All ways have been warmed. Those of which no segment counts get as many rounds again."""
    found: dict[str, list[Segment]] = {name: [] for name in ways}
    counted: dict[str, list[Segment]] = {name: [] for name in ways}
    for done in range(2 * rounds):
        asked = [name for name in ways if done < rounds or not counted[name]]
        for name in random.sample(asked, k=len(asked)):
            found[name].append(segment(ways[name]))
        limit = gate * statistics.median(one.noise for segments in found.values() for one in segments)
        counted = {name: [one for one in segments if one.noise <= limit] for name, segments in found.items()}
    if few := [name for name, segments in counted.items() if not segments]:
        raise RuntimeError(f"no segment counted of {', '.join(few)}: the machine is busy, measure again")
    return {
        name: Time(statistics.median(one.wall for one in segments), statistics.median(one.own for one in segments))
        for name, segments in counted.items()
    }


def predicted(tree: Trajectories, trials: int, times: dict[str, Time], epochs: int) -> float:
    """Seconds, from the number of rows at each step."""
    each = times["one step"].own / WIDTHS[-1]
    step = [(times[f"width {width}"].own - width * each) / (epochs * EPOCH) for width in WIDTHS]
    return float(np.interp(tree.widths(), WIDTHS, step).sum()) + trials * each


def figures(name: str, jobs: list[Job], times: dict[str, Time], epochs: int) -> list[Figure]:
    tree, before = trajectories(jobs), TREE.row_steps
    by_tree(jobs)
    executed = TREE.row_steps - before
    expected = predicted(tree, len(jobs), times, epochs)
    lanes, seconds = times[f"lanes {name}"].own, times[f"tree {name}"].own
    plain = lanes * tree.row_steps / tree.whole
    counted = f"{executed} executed of {tree.whole}; the tree counts {tree.row_steps}"
    note = f"{seconds:.3f} s; predicted {expected:.3f}, by the count alone {plain:.3f}; lanes {lanes:.3f}"
    return [
        Figure(f"{name}: updates executed / counted", executed / tree.row_steps, "== 1", counted),
        Figure(f"{name}: time / predicted", seconds / expected, "<= 1.15", note),
    ]


def same_answers() -> Figure:
    """The largest difference of a final validation loss between the tree and the ordinary loop."""
    tree, loop = by_tree(WSD), by_loop([one.id for one in WSD])
    worst = max(abs(tree[number] - loop[number]) / max(1.0, abs(loop[number])) for number in loop)
    return Figure("wsd: largest difference of a validation loss", worst, f"<= {SAME}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds: for a look, not for a figure")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--epochs", type=int, default=8, help="length of the trials that tell what a step costs")
    parser.add_argument("--gate", type=float, default=1.5, help="a segment counts up to so many times the usual noise")
    given = parser.parse_args()
    prepare()
    work = studies()
    numbers = [one.id for one in WSD]
    ways: Ways = {f"width {width}": unshared(width, epochs=given.epochs) for width in WIDTHS}
    ways["one step"] = unshared(WIDTHS[-1], epochs=None, total=1)
    for name, jobs in work.items():
        ways[f"tree {name}"] = partial(by_tree, jobs)
        ways[f"lanes {name}"] = partial(by_engine, Lanes(CPU, lanes=16), jobs)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"), initializer=prepare) as pool:
        ways["two trees"] = partial(by_two_trees, pool)
        ways["one by one"] = partial(by_loop, numbers)
        ways["two processes"] = partial(by_processes, pool, numbers)
        (
            by_tree(WSD[:2]),
            by_processes(pool, numbers[:8]),
            by_two_trees(pool),
            by_loop(numbers[:1]),
        )  # data loaded, kernels chosen
        times = measure(ways, given.rounds or (3 if given.quick else 20), given.gate)
    found = [figure for name, jobs in work.items() for figure in figures(name, jobs, times, given.epochs)]
    seconds = {name: times[name].wall for name in ("one by one", "two processes", "tree wsd", "two trees")}
    best = min(("one by one", "two processes"), key=seconds.__getitem__)
    note = ", ".join(f"{name} {value:.2f} s" for name, value in seconds.items())
    found.append(Figure(f"wsd: {best} / two trees", seconds[best] / seconds["two trees"], ">= 10", note))
    return publish("tree", [*found, same_answers()])


if __name__ == "__main__":
    sys.exit(main())
