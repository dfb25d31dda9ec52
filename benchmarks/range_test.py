"""Does the range test's suggestion come near the best constant rate? Both by the product itself, over HTTP, on digits.

Starts a service on a fresh SQLite file and one worker; for each optimizer runs a range test, then a sweep of constant
rates as a grid study, and compares. The figure is max(s/b, b/s) of the suggestion s and the best rate b of the sweep.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import Figure, publish
from client.studies import StudyClient
from contract.studies import CreateStudy, LeaderboardEntry, RangeTestView

TARGET = 3.0
SWITCHBACK = str(Path(sys.executable).parent / "switchback")
SWEEPS = {"sgd": (3e-3, 3.0), "adamw": (1e-4, 0.3)}
"""Where the twelve constant rates begin and end: about two apart, and the best one well inside."""


@dataclass(frozen=True)
class Setting:
    """What both studies share: model, optimizer, and how long each trains."""

    model: str
    optimizer: str
    epochs: int
    ramp_steps: int

    def study(self, name: str, **more: Any) -> CreateStudy:
        task = {"dataset": "digits", "model": self.model, "optimizer": {"name": self.optimizer}, "batch_size": 64}
        return CreateStudy.model_validate({"name": f"{name}, {self.optimizer}", "task": task} | more)

    def ramp(self) -> CreateStudy:
        search = {"method": "range_test", "seeds": 3}
        return self.study("range test", budget={"steps": self.ramp_steps}, search=search)

    def sweep(self) -> CreateStudy:
        low, high = SWEEPS[self.optimizer]
        space = {"schedules": ["constant"], "lr": {"low": low, "high": high, "log": True, "points": 12}}
        return self.study(
            "constant rates", budget={"epochs": self.epochs}, space=space, search={"method": "grid", "seeds": 3}
        )


@contextmanager
def product(folder: Path) -> Iterator[StudyClient]:
    """A service on a port of its own choice, and one worker; both ended with the block."""
    log = folder / "service.log"
    serve = [SWITCHBACK, "serve", "--port", "0", "--database", f"sqlite:///{folder}/switchback.db"]
    with log.open("ab") as output:
        service = subprocess.Popen(serve, stdout=output, stderr=output)
    running = [service]
    try:
        url = address(service, log)
        worker = [SWITCHBACK, "worker", "--url", url, "--device", "cpu"]
        with (folder / "worker.log").open("ab") as output:
            running.append(subprocess.Popen(worker, stdout=output, stderr=output))
        with StudyClient(url) as client:
            yield client
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait(timeout=60)


def address(service: subprocess.Popen[bytes], log: Path) -> str:
    """Where the service says it listens, once it is ready."""
    until = time.monotonic() + 60
    while time.monotonic() < until and service.poll() is None:
        found = re.search(r"http://\S+", log.read_text())
        if found and "startup complete" in log.read_text():
            return found.group()
        time.sleep(0.1)
    raise SystemExit(f"the service did not start:\n{log.read_text()}")


def run(client: StudyClient, study: CreateStudy) -> int:
    """The number of the study, once it has ended well."""
    ended = client.wait(client.create(study).id, timeout_s=1800)
    if ended.status != "complete":
        raise SystemExit(f"{study.name}: {ended.status}, {ended.reason}")
    return ended.id


def show(ramp: RangeTestView, sweep: list[LeaderboardEntry]) -> None:
    suggestion = "none" if ramp.suggestion is None else f"{ramp.suggestion:.3g}"
    print(f"  range test: {suggestion}; {ramp.reason}")
    print("  its rules: " + ", ".join(f"{name} {rate:.2g}" for name, rate in ramp.rules.items()))
    for entry in sorted(sweep, key=lambda entry: float(entry.params["lr"])):
        loss = "diverged" if entry.mean is None else f"{entry.mean:.4f} +- {entry.std or 0.0:.4f}"
        print(f"  constant {float(entry.params['lr']):9.4g}: val_loss {loss}{'   <- best' if entry.rank == 1 else ''}")


def measure(client: StudyClient, setting: Setting) -> Figure:
    """The figure of one setting, its two studies printed on the way."""
    print(f"{setting.optimizer} on digits/{setting.model}, {setting.epochs} epochs, ramp of {setting.ramp_steps} steps")
    ramp = client.range_test(run(client, setting.ramp()))
    sweep = client.leaderboard(run(client, setting.sweep())).items
    show(ramp, sweep)
    best = float(sweep[0].params["lr"])
    ratio = None if ramp.suggestion is None else max(ramp.suggestion / best, best / ramp.suggestion)
    return Figure(f"ratio_{setting.optimizer}", ratio, f"<= {TARGET:g}", "between suggestion and best constant rate")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="SGD only")
    parser.add_argument("--model", default="mlp", choices=["mlp", "cnn"])
    parser.add_argument("--epochs", type=int, default=10, help="of the constant rates")
    parser.add_argument("--steps", type=int, default=300, help="of the range test's ramp")
    given = parser.parse_args()
    optimizers = ("sgd",) if given.quick else ("sgd", "adamw")
    with tempfile.TemporaryDirectory(prefix="switchback-") as folder, product(Path(folder)) as client:
        settings = [Setting(given.model, name, given.epochs, given.steps) for name in optimizers]
        return publish("range_test", [measure(client, setting) for setting in settings])


if __name__ == "__main__":
    sys.exit(main())
