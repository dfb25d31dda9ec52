"""What the command line can do where the worker is installed: worker, check-task."""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import secrets
import signal
import socket
import sys
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

if TYPE_CHECKING:
    from worker.agent import Agent, Settings
    from worker.engine import Engine
    from worker.engine.choice import EngineName
    from worker.tasks import Registry
    from worker.trunks import TrunkFolder

logger = logging.getLogger(__name__)

MOST_TASKS = 1_000
"""As many as a claim may name."""

DEFAULT_URL = "http://127.0.0.1:8765"

UrlOption = Annotated[str, typer.Option("--url", envvar="SWITCHBACK_URL", help="Where the service is.")]
NameOption = Annotated[
    str | None, typer.Option("--name", help="What the dashboard calls this worker; host and process by default.")
]
DeviceOption = Annotated[
    str | None, typer.Option("--device", help="cpu, cuda, cuda:1, mps; by default the best there is.")
]
ThreadsOption = Annotated[
    int, typer.Option("--threads", min=1, help="CPU threads; one, so that a worker per core never fights.")
]
TaskOption = Annotated[
    list[str] | None, typer.Option("--task", help="Your own task, package.module:name; may be given several times.")
]
DataOption = Annotated[
    Path | None, typer.Option("--data", envvar="SWITCHBACK_DATA", help="Folder of the datasets that are files.")
]
DownloadOption = Annotated[
    list[str] | None, typer.Option("--download", help="Fetch this dataset into the folder first: cifar10, mnist, ...")
]
TokenFileOption = Annotated[
    Path | None, typer.Option("--token-file", help="File with the access token; or SWITCHBACK_TOKEN.")
]
OnlyOption = Annotated[
    list[str] | None, typer.Option("--only", help="Offer only tasks that match, such as 'cifar10/*'; several add up.")
]
ListOption = Annotated[bool, typer.Option("--list-tasks", help="Print what can be trained here, and end.")]
PathArgument = Annotated[str, typer.Argument(metavar="MODULE:NAME", help="The task, as for worker --task.")]
EngineOption = Annotated[
    Literal["auto", "solo", "lanes", "tree"],
    typer.Option(
        "--engine",
        help="auto: whatever is fastest here. solo: one trial at a time; lanes: as one batched model what can be; "
        "tree: and steps that trials share once.",
    ),
]
LanesOption = Annotated[
    int | None, typer.Option("--lanes", min=1, max=1024, help="Trials trained together; left out, the device decides.")
]
GraceOption = Annotated[float, typer.Option("--grace", min=0, help="Seconds to finish the trial at hand when stopped.")]
StallOption = Annotated[
    float, typer.Option("--stall", min=1, help="Seconds without progress until a trial is given up.")
]
CheckpointOption = Annotated[
    float,
    typer.Option("--checkpoint-every", min=0, help="Seconds between checkpoints of a trial; 0: none are made."),
]
CacheOption = Annotated[
    Path | None,
    typer.Option("--cache", envvar="SWITCHBACK_CACHE", help="Folder of the checkpoints; by default the user's cache."),
]
TrunksOption = Annotated[
    str | None,
    typer.Option("--keep-trunks", help="Keep so much of what later trials may begin from, such as 2GiB, in the cache."),
]
GraphsOption = Annotated[bool, typer.Option("--cuda-graphs", help="Updates of lanes as CUDA graphs; never run yet.")]
MaxTrialsOption = Annotated[int | None, typer.Option("--max-trials", min=1, help="End after so many trials.")]
IdleOption = Annotated[
    float | None, typer.Option("--exit-when-idle", min=0, help="End after so many seconds without a trial.")
]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens in detail.")]


def worker(
    *,
    url: UrlOption = DEFAULT_URL,
    token_file: TokenFileOption = None,
    name: NameOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = 1,
    engine: EngineOption = "auto",
    lanes: LanesOption = None,
    task: TaskOption = None,
    data: DataOption = None,
    download: DownloadOption = None,
    only: OnlyOption = None,
    list_tasks: ListOption = False,
    grace: GraceOption = 30.0,
    stall: StallOption = 600.0,
    checkpoints: CheckpointOption = 30.0,
    cache: CacheOption = None,
    keep_trunks: TrunksOption = None,
    cuda_graphs: GraphsOption = False,
    max_trials: MaxTrialsOption = None,
    idle: IdleOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Train the trials the service hands out, until Ctrl-C: once to finish the trial at hand, twice to give it back."""
    _begin(token_file, logging.DEBUG if verbose else logging.INFO)
    try:
        settings = _settings(grace, stall, checkpoints, max_trials=max_trials, idle=idle)
        registry = _registry(task or [], data, download or [])
        keys = sorted(registry.tasks(only or []))
        if list_tasks:
            _list(registry, keys)
            return
        trained = _engine(engine, device, lanes, threads, trunks=_trunks(keep_trunks, cache), graphs=cuda_graphs)
        agent = _agent(url, name, settings, registry, engine=trained, keys=keys, cache=cache)
    except ValueError as error:
        _refuse(str(error))
    _work(agent)


def _begin(token_file: Path | None, level: int) -> None:
    from client import credentials

    _log(level)
    _require("torch", "sklearn")
    credentials.use_file(token_file)


def _settings(
    grace: float, stall: float, checkpoints: float, *, max_trials: int | None, idle: float | None
) -> Settings:
    from worker.agent import Settings

    return Settings(
        grace_s=grace, stall_s=stall, checkpoint_every_s=checkpoints, max_trials=max_trials, exit_when_idle_s=idle
    )


def _work(agent: Agent) -> NoReturn:
    from client.errors import SwitchbackError

    _drain_on_signals(agent)
    try:
        undelivered = agent.run()
    except SwitchbackError as error:
        _refuse(str(error))
    raise typer.Exit(1 if undelivered else 0)


def check_task(path: PathArgument, *, data: DataOption = None) -> None:
    """Try a task of your own, package.module:name, for two steps, and say what is wrong with it."""
    _require("torch", "sklearn")
    from worker.check import check
    from worker.tasks import TaskError
    from worker.tasks.registry import own_tasks

    sys.path.append(str(Path.cwd()))
    try:
        tasks = own_tasks(path, folder=data)
    except TaskError as error:
        _refuse(str(error))
    wrong = False
    for key, task in tasks.items():
        typer.echo(key)
        for finding in check(task):
            wrong |= finding.wrong is not None
            typer.echo(f"  {'ok   ' if finding.wrong is None else 'WRONG'}  {finding.looked_at}")
            if finding.wrong is not None:
                typer.echo(f"         {finding.wrong}")
    raise typer.Exit(1 if wrong else 0)


def _registry(tasks: list[str], data: Path | None, download: list[str]) -> Registry:
    from worker.tasks import assemble, downloads

    if tasks:
        sys.path.append(str(Path.cwd()))  # a task of one's own is found where one stands
    for dataset in download:
        downloads.fetch(dataset, data)
    return assemble(tasks, folder=data)


def _list(registry: Registry, keys: list[str]) -> None:
    from worker.tasks import offers

    typer.echo(f"{len(keys)} tasks are offered:")
    for line in offers.lines(keys):
        typer.echo(f"  {line}")
    typer.echo("Not offered:")
    for refusal in registry.refused():
        typer.echo(f"  {refusal}")


def _trunks(budget: str | None, cache: Path | None) -> TrunkFolder | None:
    from worker.cache import default_folder
    from worker.trunks import TrunkFolder, size

    return None if budget is None else TrunkFolder((cache or default_folder()) / "trunks", size(budget))


def _engine(
    name: EngineName, device: str | None, lanes: int | None, threads: int, *, trunks: TrunkFolder | None, graphs: bool
) -> Engine:
    import torch

    from worker.engine import choice, devices, memory

    chosen = devices.choose(device)
    if chosen.type == "cpu":
        memory.keep_freed()
    devices.use_threads(threads)
    torch.optim.SGD([torch.zeros(1)], lr=1.0)  # torch loads its compiler with the first one: not under a lease
    memory.keep_made()
    return choice.engine(name, chosen, lanes=lanes, trunks=trunks, graphs=graphs)


def _agent(
    url: str,
    name: str | None,
    settings: Settings,
    registry: Registry,
    *,
    engine: Engine,
    keys: list[str],
    cache: Path | None,
) -> Agent:
    from client.leases import LeaseClient
    from contract.leases import WorkerInfo
    from worker.agent import Agent
    from worker.cache import Cache, default_folder
    from worker.engine import devices
    from worker.tasks import offers

    if len(keys) > MOST_TASKS:
        raise ValueError(f"only: need patterns that leave at most {MOST_TASKS} tasks to offer, got {len(keys)}")
    client = LeaseClient(url)
    info = WorkerInfo(
        id=_identity(),
        name=name or f"{socket.gethostname()[:100]}-{os.getpid()}",
        device=devices.describe(engine.device)[:120],
        version=version("switchback"),
        tasks=keys,
    )
    logger.info("worker %s on %s trains %s", info.name, info.device, "; ".join(offers.lines(keys)))
    kept = Cache((cache or default_folder()) / "checkpoints")
    return Agent(client, info, engine=engine, registry=registry, cache=kept, settings=settings)


def _drain_on_signals(agent: Agent) -> None:
    """The first SIGTERM or SIGINT finishes the trial at hand, within the grace; the second gives it back at once."""

    def stop(number: int, frame: FrameType | None) -> None:
        if agent.draining:
            agent.cut()
        else:
            agent.drain()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


def _identity() -> str:
    """Unique to this process: a worker's name may be used twice, its id never."""
    host = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())[:30]
    return f"{host}-{os.getpid()}-{secrets.token_hex(4)}"


def _require(*modules: str) -> None:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        _refuse(
            f"a worker needs {' and '.join(missing)}, which this installation lacks. "
            "Install the extra: pip install 'switchback[worker]'"
        )


def _log(level: int) -> None:
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S")
    for library in ("httpx2", "httpcore2"):
        logging.getLogger(library).setLevel(logging.WARNING)


def _refuse(message: str) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(2)
