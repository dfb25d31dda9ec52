"""How fast schedules are: a million rates of every preset, the import, and torch's own schedulers stepped side by side.

python -m benchmarks.schedules [--quick]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable

import numpy as np

from benchmarks import Figure, publish
from schedules.presets import REGISTRY

STEPS = 10**6
TORCH_STEPS = 10**5
UNWANTED = ("torch", "pydantic", "sqlalchemy", "scipy")


def milliseconds(work: Callable[[], object], repeats: int) -> float:
    """The fastest of `repeats` runs: what the machine's other tenants add is not ours."""
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return 1e3 * min(taken)


def every_preset(repeats: int) -> Figure:
    """lr(np.arange(10^6)) of every preset that is a function of the step; the figure is the slowest."""
    steps, found = np.arange(STEPS), {}
    for name, preset in REGISTRY.items():
        if preset.needs_metric:
            continue  # its rates are made in training, not evaluated
        bound = preset.build(lr=0.1).bind(STEPS, 1000)
        found[name] = milliseconds(lambda bound=bound: bound.lr(steps), repeats)
    ranked = sorted(found.items(), key=lambda item: -item[1])
    for name, taken in ranked:
        print(f"  {name:<24} {taken:7.1f} ms")
    slowest, value = ranked[0]
    return Figure("slowest preset, 10^6 rates (ms)", value, "<= 100", slowest)


def importing(repeats: int) -> Figure:
    """Import time of the package and its presets in a fresh interpreter, NumPy's included, with the bytecode cached as
    it is after any installation."""
    code = (
        "import sys, time; start = time.perf_counter(); import numpy; numpy = time.perf_counter() - start; "
        "import schedules, schedules.presets; "
        f"print(time.perf_counter() - start, numpy, *[name for name in {UNWANTED!r} if name in sys.modules])"
    )
    taken, numpy_alone = [], []
    with tempfile.TemporaryDirectory() as cache:
        cached = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        cached["PYTHONPYCACHEPREFIX"] = cache
        for _ in range(repeats + 1):
            answer = subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=cached
            )
            seconds, below, *unwanted = answer.stdout.split()
            if unwanted:
                raise SystemExit(f"import schedules brings in {', '.join(unwanted)}")
            taken.append(1e3 * float(seconds))
            numpy_alone.append(1e3 * float(below))
    value = statistics.median(taken[1:])
    return Figure(
        "import schedules and presets (ms)",
        value,
        "<= 150",
        f"NumPy alone {statistics.median(numpy_alone[1:]):.0f} ms; no {', '.join(UNWANTED)}",
    )


def stepped(make: Callable[[object], object], steps: int) -> list[float]:
    """The rates a torch scheduler gives when stepped."""
    import torch

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9)
    scheduler = make(optimizer)
    rates = []
    with warnings.catch_warnings():
        # It wants optimizer.step() in between, which is not what is timed.
        warnings.simplefilter("ignore", UserWarning)
        for _ in range(steps):
            rates.append(optimizer.param_groups[0]["lr"])
            scheduler.step()  # type: ignore[attr-defined]  # torch's schedulers share no exported protocol
    return rates


def beside_torch(name: str, preset: str, scheduler: str, steps: int, **params: float) -> Figure:
    """torch's scheduler stepped over `steps` against our rates of the same steps; both must agree."""
    from torch.optim import lr_scheduler

    rates: list[float] = []

    def theirs() -> None:
        nonlocal rates
        rates = stepped(lambda optimizer: getattr(lr_scheduler, scheduler)(optimizer, **params), steps)

    bound = REGISTRY[preset].build(lr=0.1).bind(steps)
    torch_ms = milliseconds(theirs, 1)
    ours_ms = milliseconds(lambda: bound.lr(np.arange(steps)), 5)
    np.testing.assert_allclose(bound.lr(np.arange(steps)), rates, rtol=1e-9, atol=1e-12)
    ratio = torch_ms / ours_ms
    return Figure(f"{name}: times faster", ratio, ">= 10", f"torch {torch_ms:.0f} ms, ours {ours_ms:.2f} ms")


def measure(*, quick: bool) -> list[Figure]:
    """Every figure, in the order it is printed."""
    steps = TORCH_STEPS // 10 if quick else TORCH_STEPS
    return [
        every_preset(1 if quick else 3),
        importing(3 if quick else 5),
        beside_torch(f"CosineAnnealingLR over {steps} steps", "cosine", "CosineAnnealingLR", steps, T_max=steps),
        beside_torch(f"OneCycleLR over {steps} steps", "onecycle", "OneCycleLR", steps, max_lr=0.1, total_steps=steps),
    ]


def main() -> int:
    """Print the table and, as the last line, one JSON object."""
    parser = argparse.ArgumentParser(prog="benchmarks.schedules", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repeats, 10^4 steps of torch's schedulers")
    return publish("schedules", measure(quick=parser.parse_args().quick))


if __name__ == "__main__":
    sys.exit(main())
