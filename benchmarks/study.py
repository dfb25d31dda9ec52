"""Time to the last result of a whole study: Switchback end to end over HTTP, Ray Tune, Optuna with two processes.

The same trials everywhere, as the service proposes them, and the same answers: the final validation loss of each trial
is compared. The peers drive an ordinary PyTorch loop. Everything is up before the clock starts: the service with its
workers, Ray, Optuna's processes; Ray's clock starts with its first trial only. Wall time, in rounds of random order;
a round counts when a small matrix product beside it took no longer than 1.5 times its median.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import Figure, publish
from benchmarks.peers.canary import canary
from benchmarks.peers.optuna_processes import OptunaProcesses
from benchmarks.peers.ray_tune import RayTune
from benchmarks.peers.recipe import Recipe
from client.errors import ServiceUnavailable
from client.studies import StudyClient
from contract.pages import Proposal
from contract.search import Grid
from contract.space import Choice, Family, NamedFamily, Range, Space
from contract.studies import CreateStudy
from contract.tasks import Budget, Task
from schedules import to_dict

CORES = 2
SAME = 2e-3
"""Largest difference of a validation loss: float32 in another order of summing, over a whole training."""
TARGETS = {"wsd": 10.0, "mixed": 4.0}

Way = Callable[[CreateStudy, Sequence[Recipe]], tuple[float, dict[int, float]]]


def study(name: str, epochs: int) -> CreateStudy:
    """`wsd`: 64 trials, 4 peaks x 16 lengths of the cooldown. `mixed`: 64 trials over eight families x 8 peaks."""
    families: list[NamedFamily]
    if name == "wsd":
        families = [Family.model_validate({"family": "wsd", "decay": Range(low=0.05, high=0.5, points=16)})]
        lr: Choice | Range = Choice(choice=[0.02, 0.04, 0.08, 0.16])
    else:
        families = ["constant", "linear", "cosine", "rex", "onecycle", "wsd", "step", "sgdr"]
        lr = Range(low=0.01, high=0.2, log=True, points=8)
    return CreateStudy(
        name=f"benchmark {name}",
        task=Task(dataset="digits", model="mlp", batch_size=64),
        budget=Budget(epochs=epochs),
        space=Space(schedules=families, lr=lr),
        search=Grid(method="grid"),
    )


def recipes(proposals: Sequence[Proposal], given: CreateStudy) -> list[Recipe]:
    assert given.budget.epochs is not None
    return [
        Recipe(given.task.key, to_dict(one.schedule), one.seed, given.task.batch_size, given.budget.epochs)
        for one in proposals
    ]


@contextmanager
def switchback(options: Sequence[str]) -> Iterator[StudyClient]:
    """A service on a SQLite file and a worker per core, all up."""
    command = str(Path(sys.executable).parent / "switchback")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        url = "http://127.0.0.1:8799"
        log = stack.enter_context((Path(folder) / "log").open("wb"))
        serve = [command, "serve", "--port", "8799", "--database", f"sqlite:///{folder}/switchback.db"]
        worker = [command, "worker", "--url", url, "--device", "cpu", *options]
        processes = [subprocess.Popen(one, stdout=log, stderr=log) for one in (serve, *[worker] * CORES)]
        try:
            client = stack.enter_context(StudyClient(url))
            _until(lambda: _workers(client) == CORES, "the service and its workers are up")
            yield client
        finally:
            for process in reversed(processes):
                process.terminate()
            for process in processes:
                process.wait(timeout=60)


def _workers(client: StudyClient) -> int:
    try:
        return sum(worker.live for worker in client.workers().items)
    except ServiceUnavailable:
        return 0


def _until(holds: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + 120
    while not holds():
        if time.monotonic() > until:
            raise SystemExit(f"gave up waiting until {what}")
        time.sleep(0.1)


def through(client: StudyClient, given: CreateStudy) -> tuple[float, dict[int, float]]:
    """Seconds from the submission until the study is seen to have ended, and the validation losses."""
    start = time.perf_counter()
    created = client.create(given)
    client.wait(created.id, poll_s=0.02, timeout_s=600)
    seconds = time.perf_counter() - start
    rows = client.trials(created.id, limit=1_000).items
    return seconds, {row.number: row.objective for row in rows if row.objective is not None}


def settled(rounds: Sequence[tuple[float, float]], limit: float) -> float:
    """The median of the quiet rounds, seconds and noise of each; where none was quiet the fastest, for noise only ever
    makes one slower.
    """
    quiet = [seconds for seconds, noise in rounds if noise <= limit]
    return statistics.median(quiet or [min(seconds for seconds, _ in rounds)])


def measure(name: str, ways: dict[str, Way], given: CreateStudy, trials: list[Recipe], rounds: int) -> list[Figure]:
    """One figure for the study: the best peer's median time over Switchback's, in rounds that count."""
    found: list[tuple[str, float, float]] = []
    reference: dict[int, float] = {}
    worst = 0.0
    for _ in range(rounds):
        for way in random.sample(list(ways), k=len(ways)):
            before = canary(200)
            seconds, losses = ways[way](given, trials)
            if len(losses) != len(trials):
                raise SystemExit(f"{way}: {len(losses)} of {len(trials)} trials have a result")
            reference = reference or losses
            worst = max(worst, *(abs(losses[number] - reference[number]) for number in reference))
            found.append((way, seconds, max(before, canary(200))))
            print(f"{name:6} {way:12} {seconds:7.2f} s", flush=True)
    limit = 1.5 * statistics.median(noise for _, _, noise in found)
    medians = {way: settled([(seconds, noise) for at, seconds, noise in found if at == way], limit) for way in ways}
    ours, peers = medians.pop("switchback"), medians
    peer = min(peers, key=lambda way: peers[way])
    note = ", ".join(f"{way} {seconds:.2f} s" for way, seconds in {"switchback": ours, **peers}.items())
    return [
        Figure(f"{name}: best peer ({peer}) over switchback", peers[peer] / ours, f">= {TARGETS[name]:g}", note),
        Figure(f"{name}: largest difference of a validation loss", worst, f"<= {SAME}"),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--engine", default="auto", help="of Switchback's workers")
    given = parser.parse_args()
    figures: list[Figure] = []
    with (
        switchback(["--engine", given.engine]) as client,
        OptunaProcesses(CORES) as optuna,
        RayTune(CORES) as ray_tune,
    ):
        ways: dict[str, Way] = {
            "switchback": lambda study, _: through(client, study),
            "optuna": lambda _, trials: optuna.run(trials),
            "ray tune": lambda _, trials: ray_tune.run(trials),
        }
        for name in TARGETS:
            asked = study(name, given.epochs)
            trials = recipes(client.preview(asked, limit=64).proposals, asked)
            for way in ways.values():
                short = asked.model_copy(update={"budget": Budget(epochs=1)})
                way(short, recipes(client.preview(short, limit=64).proposals, short))  # warm: data, caches, actors
            figures += measure(name, ways, asked, trials, 1 if given.quick else given.rounds)
    return publish("study", figures)


if __name__ == "__main__":
    sys.exit(main())
