"""What augmentation costs: its share of an update, of a trial alone (`solo`) and of some that see the same images.

Updates with and without it alternate; the fastest of each counts, for somebody else's load only ever makes one slower.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from benchmarks import Figure, publish
from schedules.presets import REGISTRY
from worker.engine import Augmentation, Job, OptimizerNumbers, Steering
from worker.engine.lanes.admission import Admission
from worker.engine.lanes.probe import Probe
from worker.engine.memory import keep_freed
from worker.engine.training import Training
from worker.tasks import assemble, resident

WANTED = Augmentation(crop=4, flip=True, cutout=8)
SAMPLES = 40
TARGETS = {"cnn": 0.10, "resnet20": 0.05, "vit_small": 0.05}
LANES = 8


def job(model: str) -> Job:
    task = assemble().task(f"sample_patches/{model}")
    schedule = REGISTRY["constant"].build(lr=0.01)
    return Job(id=1, task=task, schedule=schedule, optimizer=OptimizerNumbers(), batch_size=64, steps=10**6)


def fastest(updates: dict[str, Callable[[], object]], device: torch.device, samples: int) -> dict[str, float]:
    """Seconds of each; on a CPU of the process's own time."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    found = dict.fromkeys(updates, float("inf"))
    for _ in range(samples):
        for name, update in updates.items():
            start = clock()
            update()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            found[name] = min(found[name], clock() - start)
    return found


def alone(given: Job, device: torch.device) -> Callable[[], object]:
    training = Training(given, device, Steering())
    return lambda: training.advance(training.step + 1)


def together(given: Job, device: torch.device) -> Callable[[], object]:
    member = Admission(device, None).admit(given)
    return Probe(device, None).updating(member, resident(given.task, device), LANES)


def share(model: str, way: str, device: torch.device, samples: int) -> Figure:
    plain = job(model)
    make = alone if way == "solo" else together
    jobs = {"without": plain, "with": replace(plain, augmentation=WANTED)}
    found = fastest({name: make(one, device) for name, one in jobs.items()}, device, samples)
    value = 1 - found["without"] / found["with"]
    note = ", ".join(f"{name} {1e3 * seconds:.2f} ms" for name, seconds in found.items())
    return Figure(f"{model}, {way}: augmentation's share of an update", value, f"<= {TARGETS[model]}", note)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a quarter of the samples")
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed()
    device, samples = torch.device(given.device), SAMPLES // 4 if given.quick else SAMPLES
    ways = [(model, way) for model in TARGETS for way in ("solo", f"{LANES} lanes")]
    return publish("augmentation", [share(model, way, device, samples) for model, way in ways])


if __name__ == "__main__":
    sys.exit(main())
