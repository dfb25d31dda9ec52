"""Speed of the engine `solo` against a tight PyTorch loop written by hand: same model, batches, schedule, figures.

Both train the same trial again and again, in pairs of random order. On the CPU, one thread, time is the process's own
(wall time on another device), and a pair counts when a small matrix product beside it took no longer than 1.3 times its
median: somebody else's load on the machine is not measured.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from benchmarks import Figure, publish
from benchmarks.peers.canary import canary
from benchmarks.peers.plain_loop import by_hand
from schedules.presets import REGISTRY
from worker.engine import Finished, Job, Solo, Steering
from worker.tasks import assemble, resident

TARGET = 1.05
SAME = 1e-6
"""The two must compute the same thing, to rounding."""


@dataclass(frozen=True)
class Pair:
    """Seconds of one trial each way, and of the matrix products beside them."""

    solo: float
    hand: float
    canary: float


def by_solo(job: Job, device: torch.device) -> float:
    """The final validation loss of the same trial by the engine."""
    *_, last = Solo(device).run([job], Steering())
    assert isinstance(last, Finished)
    return last.metrics["val_loss"]


def timed(work: Callable[[], object], device: torch.device) -> float:
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    start = clock()
    work()
    return clock() - start


def compare(job: Job, device: torch.device, pairs: int) -> list[Pair]:
    found: list[Pair] = []
    for _ in range(pairs):
        before = canary(clock=time.process_time)
        seconds = {way: timed(partial(way, job, device), device) for way in random.sample([by_solo, by_hand], k=2)}
        found.append(Pair(seconds[by_solo], seconds[by_hand], max(before, canary(clock=time.process_time))))
    return found


def summary(key: str, pairs: list[Pair], steps: int) -> Figure:
    """Median ratio over the accepted pairs, with its interquartile range."""
    limit = 1.3 * statistics.median(pair.canary for pair in pairs)
    accepted = [pair for pair in pairs if pair.canary <= limit]
    low, median, high = statistics.quantiles((pair.solo / pair.hand for pair in accepted), n=4)
    solo, hand = (1e6 * statistics.median(getattr(pair, way) for pair in accepted) / steps for way in ("solo", "hand"))
    note = (
        f"[{low:.3f}, {high:.3f}], {len(accepted)} of {len(pairs)} pairs; solo {solo:.0f}, by hand {hand:.0f} us/step"
    )
    return Figure(f"{key}: solo over a loop by hand", median, f"<= {TARGET}", note)


def measure(key: str, device: torch.device, *, pairs: int, epochs: int) -> Figure:
    task = assemble().task(key)
    job = Job(id=1, task=task, schedule=REGISTRY["cosine"].build(lr=0.1, warmup="5%"), epochs=epochs)
    difference = abs(by_solo(job, device) - by_hand(job, device))
    if difference > SAME:
        raise SystemExit(f"{key}: the loop by hand ends at another validation loss, {difference:.3g} away")
    return summary(key, compare(job, device, pairs), epochs * (len(resident(task, device).train) // job.batch_size))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="10 pairs of short trials")
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    torch.set_num_threads(1)
    pairs, epochs = (10, 10) if given.quick else (given.pairs, given.epochs)
    device = torch.device(given.device)
    return publish("solo", [measure(key, device, pairs=pairs, epochs=epochs) for key in ("digits/mlp", "digits/cnn")])


if __name__ == "__main__":
    sys.exit(main())
