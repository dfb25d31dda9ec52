"""The engine `tree` on digits/mlp: what it computes against its own count, what it costs, and against ordinary loops.

Six studies, one of which shares nothing. Of each: updates executed over the tree's count; and the wall time over what
the count predicts. The prediction knows no engine but `lanes`: the tree says how many rows are trained at each step,
lanes without sharing say what a step of so many rows costs, and what it costs to begin, test and end a trial. Beside it
stands what the count alone would say, the time of lanes (16, as by default) times the share of updates left.

The 64 trials of the first study are also trained one by one and by two processes, on an ordinary loop; the answers are
compared. All ways run in rounds of random order with one thread to a process and the same allocator settings; a segment
counts when a small matrix product beside it took no longer than 1.5 times its median.
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
from functools import partial

import numpy as np
import torch

from benchmarks import Figure, publish
from benchmarks.peers.recipe import Recipe, prepare, train
from schedules import AnySchedule, to_dict
from schedules.presets import REGISTRY
from schedules.trajectories import Tree as Trajectories
from schedules.trajectories import grow
from worker.engine import Finished, Job, Lanes, Steering, Tree
from worker.engine.lanes import rules
from worker.engine.plan import make_plan
from worker.tasks import assemble, resident

CPU = torch.device("cpu")
TASK = assemble().task("digits/mlp")
BATCH, EPOCH = 64, 16
WIDTHS = (1, 2, 4, 8, 16, 32, 64)
SAME = 2e-3
"""Largest difference of a validation loss: float32 in another order of summing, over a whole training."""
CANARY = torch.randn(256, 256)

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


def trajectories(jobs: Sequence[Job]) -> Trajectories:
    examples = len(resident(TASK, CPU).train)
    return grow([rules.table(one.optimizer, make_plan(one, examples)) for one in jobs])


def by_engine(engine: Lanes, jobs: Sequence[Job]) -> dict[int, float]:
    """The final validation losses."""
    found = {one.job: one.metrics["val_loss"] for one in engine.run(jobs, Steering()) if isinstance(one, Finished)}
    if len(found) != len(jobs):
        raise RuntimeError(f"{engine.name}: {len(found)} of {len(jobs)} trials finished")
    return found


def by_tree(jobs: Sequence[Job]) -> dict[int, float]:
    """All abreast: there is a lane for every branch."""
    return by_engine(Tree(CPU, lanes=len(jobs)), jobs)


def by_loop(recipes: Sequence[Recipe]) -> dict[int, float]:
    return {number: train(recipe) for number, recipe in enumerate(recipes, 1)}


def by_processes(pool: ProcessPoolExecutor, recipes: Sequence[Recipe]) -> dict[int, float]:
    return dict(enumerate(pool.map(train, recipes), 1))


def unshared(width: int, *, epochs: int | None, total: int | None = None) -> Callable[[], object]:
    """So many lanes, of trials that share nothing."""
    jobs = [
        Job(id=number, task=TASK, schedule=preset("constant", lr=0.02 + 1e-4 * number), epochs=epochs, steps=total)
        for number in range(1, width + 1)
    ]
    return partial(by_engine, Lanes(CPU, lanes=width), jobs)


def canary() -> float:
    start = time.perf_counter()
    for _ in range(20):
        torch.mm(CANARY, CANARY)
    return time.perf_counter() - start


def measure(ways: Ways, rounds: int) -> dict[str, float]:
    """Median seconds of each way, which has been warmed, over the segments that count."""
    found: list[tuple[str, float, float]] = []
    for _ in range(rounds):
        for name in random.sample(list(ways), k=len(ways)):
            before, start = canary(), time.perf_counter()
            ways[name]()
            found.append((name, time.perf_counter() - start, max(before, canary())))
    limit = 1.5 * statistics.median(noise for *_, noise in found)
    counted = {name: [seconds for way, seconds, noise in found if way == name and noise <= limit] for name in ways}
    if few := [name for name, seconds in counted.items() if not seconds]:
        raise RuntimeError(f"too few segments counted of {', '.join(few)}: the machine is busy, measure again")
    return {name: statistics.median(seconds) for name, seconds in counted.items()}


def predicted(tree: Trajectories, trials: int, times: dict[str, float], epochs: int) -> float:
    """Seconds, from the number of rows at each step."""
    each = times["one step"] / WIDTHS[-1]
    step = [(times[f"width {width}"] - width * each) / (epochs * EPOCH) for width in WIDTHS]
    return float(np.interp(tree.widths(), WIDTHS, step).sum()) + trials * each


def figures(name: str, jobs: list[Job], times: dict[str, float], epochs: int) -> list[Figure]:
    tree, engine = trajectories(jobs), Tree(CPU, lanes=len(jobs))
    by_engine(engine, jobs)
    expected = predicted(tree, len(jobs), times, epochs)
    plain = times[f"lanes {name}"] * tree.row_steps / tree.whole
    seconds = times[f"tree {name}"]
    counted = f"{engine.row_steps} executed of {tree.whole}; the tree counts {tree.row_steps}"
    note = (
        f"{seconds:.3f} s; predicted {expected:.3f}, by the count alone {plain:.3f}; lanes {times[f'lanes {name}']:.3f}"
    )
    return [
        Figure(f"{name}: updates executed / counted", engine.row_steps / tree.row_steps, "== 1", counted),
        Figure(f"{name}: time / predicted", seconds / expected, "<= 1.15", note),
    ]


def same_answers(jobs: Sequence[Job], recipes: Sequence[Recipe]) -> Figure:
    """The largest difference of a final validation loss between the tree and the ordinary loop."""
    tree, loop = by_tree(jobs), by_loop(recipes)
    worst = max(abs(tree[number] - loop[number]) / max(1.0, abs(loop[number])) for number in loop)
    return Figure("wsd: largest difference of a validation loss", worst, f"<= {SAME}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds: for a look, not for a figure")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--epochs", type=int, default=8, help="length of the trials that tell what a step costs")
    given = parser.parse_args()
    prepare()
    work = studies()
    recipes = [Recipe(TASK.key, to_dict(one.schedule), one.seed, BATCH, one.epochs or 0) for one in work["wsd"]]
    ways: Ways = {f"width {width}": unshared(width, epochs=given.epochs) for width in WIDTHS}
    ways["one step"] = unshared(WIDTHS[-1], epochs=None, total=1)
    for name, jobs in work.items():
        ways[f"tree {name}"] = partial(by_tree, jobs)
        ways[f"lanes {name}"] = partial(by_engine, Lanes(CPU, lanes=16), jobs)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"), initializer=prepare) as pool:
        ways["one by one"] = partial(by_loop, recipes)
        ways["two processes"] = partial(by_processes, pool, recipes)
        by_tree(work["wsd"][:2]), by_processes(pool, recipes[:8]), by_loop(recipes[:1])  # data loaded, kernels chosen
        times = measure(ways, given.rounds or (3 if given.quick else 20))
    found = [figure for name, jobs in work.items() for figure in figures(name, jobs, times, given.epochs)]
    peers = {name: times[name] for name in ("one by one", "two processes")}
    best = min(peers, key=peers.__getitem__)
    note = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in {**peers, "tree": times["tree wsd"]}.items())
    found.append(Figure(f"wsd: {best} / tree", peers[best] / times["tree wsd"], ">= 10", note))
    return publish("tree", [*found, same_answers(work["wsd"], recipes)])


if __name__ == "__main__":
    sys.exit(main())
