"""Draws the pictures of docs/engine.md: what lanes bring at each number of lanes, and where an update's time goes.

`python -m benchmarks.pictures LANES... [--output docs/pictures]`. LANES are files of what `python -m benchmarks.lanes`
printed, of which the last line counts; where the time goes is measured now, on one thread, by torch's own profiler,
which makes short operations look longer than they are. Needs the extra `benchmarks`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from torch.profiler import ProfilerActivity, profile

from benchmarks.peers.trials import Kind, job, prepare, task_of
from worker.engine import Steering
from worker.engine.lanes.admission import Admission
from worker.engine.lanes.probe import Probe
from worker.engine.training import Training

CPU = torch.device("cpu")
MODELS = {"mlp": "MLP", "cnn": "CNN", "resnet20": "ResNet-20", "vit_small": "ViT", "gpt_small": "GPT"}
PROFILED, ABREAST = ("mlp", "cnn", "vit_small"), 16
WARM, UPDATES, PARTS = 3, 12, 5
"""Updates before the clock starts, under it, and in how many parts, of which the fastest counts."""
SORTS = {
    "products": ("mm", "convolution", "mkldnn"),
    "activations": ("gelu", "relu", "threshold", "softmax", "nll_loss", "max_pool", "avg_pool"),
    "normalisation": ("norm",),
    "copies": ("copy", "cat", "stack", "contiguous", "clone", "index", "gather"),
    "sums and arithmetic": ("add", "mul", "sub", "div", "sum", "mean", "fill", "zero", "lerp", "foreach", "_to"),
}
"""Operations by a part of their name; the first that fits. All else is starting them: torch and Python."""
REST = "starting them"


def sort_of(operation: str) -> str:
    """The sort of an operation of torch."""
    name = operation.removeprefix("aten::")
    return next((sort for sort, signs in SORTS.items() if any(sign in name for sign in signs)), REST)


def updating(model: str, lanes: int | None) -> Callable[[], object]:
    """What makes one update of so many lanes, or of `solo`."""
    kind = Kind(model, "sgd", 64, "cpu")
    one = replace(job(kind, 0), steps=10_000, report_every=10_000)
    if lanes is None:
        training = Training(one, CPU, Steering())
        return lambda: training.advance(training.step + 1)
    return Probe(CPU, None).updating(Admission(CPU, None).admit(one), task_of(kind).data(), lanes)


def microseconds(model: str, lanes: int | None) -> dict[str, float]:
    """Of an update, per lane, by sort."""
    update = updating(model, lanes)
    for _ in range(WARM):
        update()
    seconds = []
    for _ in range(PARTS):
        begun = time.perf_counter()
        for _ in range(UPDATES):
            update()
        seconds.append((time.perf_counter() - begun) / UPDATES)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(UPDATES):
            update()
    found = dict.fromkeys([*SORTS, REST], 0.0)
    for event in profiler.key_averages():
        found[sort_of(event.key)] += event.self_cpu_time_total / UPDATES
    whole = 1e6 * min(seconds)
    found[REST] = max(0.0, whole - (sum(found.values()) - found[REST]))
    return {sort: value / (lanes or 1) for sort, value in found.items()}


def where_the_time_goes() -> Figure:
    """Bars of `solo` and lanes, model by model."""
    figure, axes = plt.subplots(1, len(PROFILED), figsize=(9, 3.6), constrained_layout=True)
    for axis, model in zip(axes, PROFILED, strict=True):
        bars = {"solo": microseconds(model, None), f"{ABREAST} lanes": microseconds(model, ABREAST)}
        base = dict.fromkeys(bars, 0.0)
        for sort in [*SORTS, REST]:
            heights = [bars[name][sort] for name in bars]
            axis.bar(list(bars), heights, bottom=list(base.values()), label=sort, width=0.6)
            base = {name: base[name] + bars[name][sort] for name in bars}
        axis.set_title(MODELS[model])
    axes[0].set_ylabel("microseconds of an update, per trial")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def what_lanes_bring(measured: Sequence[Mapping[str, Any]]) -> Figure:
    """Trials per second over the best peer's, by the number of lanes; on every core, and in one process."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, constrained_layout=True)
    together = f"lanes, {measured[0]['processes']} processes,"
    kinds = {name: found for one in measured for name, found in one["figures"].items()}
    for axis, prefix, title in zip(axes, (together, "lanes"), ("a process per core", "one process"), strict=True):
        for name, found in kinds.items():
            points = {
                int(way.removeprefix(f"{prefix} ")): row["ratio"]
                for way, row in found["ways"].items()
                if way.removeprefix(f"{prefix} ").isdecimal()
            }
            model, optimizer, batch = name.split("/")
            if points:
                label = f"{MODELS[model]}, {optimizer}, {batch}"
                axis.plot(list(points), list(points.values()), marker="o", label=label)
        axis.axhline(1.0, color="gray", linestyle="--", linewidth=1)
        axis.set(xscale="log", yscale="log", xlabel="lanes", title=title)
        axis.set_xticks([1, 4, 16, 32, 64], labels=["1", "4", "16", "32", "64"], minor=False)
        axis.set_yticks([0.5, 1, 2, 4, 8], labels=["0.5", "1", "2", "4", "8"], minor=False)
        axis.minorticks_off()
    axes[0].set_ylabel("trials per second over the best peer")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return figure


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lanes", type=Path, nargs="+", help="what benchmarks.lanes printed; the last line counts")
    parser.add_argument("--output", type=Path, default=Path("docs/pictures"))
    given = parser.parse_args()
    prepare()
    given.output.mkdir(parents=True, exist_ok=True)
    measured = [json.loads(file.read_text().strip().splitlines()[-1]) for file in given.lanes]
    for name, figure in (("lanes", what_lanes_bring(measured)), ("time", where_the_time_goes())):
        figure.savefig(given.output / f"{name}.svg", metadata={"Date": None})
    return 0


if __name__ == "__main__":
    sys.exit(main())
