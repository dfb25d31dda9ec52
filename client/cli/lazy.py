"""A command group that lists its commands from a table and imports only the one that is run."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

GROUP = "switchback.commands"


@dataclass(frozen=True, slots=True)
class Entry:
    """A command as listed: the function it runs, its line in the help, and the extra that brings it, if any."""

    target: str
    summary: str
    extra: str | None = None


COMMANDS = {
    "submit": Entry("client.cli.submit:submit", "Submit a study from a YAML or JSON file."),
    "preview": Entry("client.cli.preview:preview", "Draw the schedules a study would try, spending nothing."),
    "plan": Entry("client.cli.plan:plan", "Count what the trials of a study share, spending nothing."),
    "watch": Entry("client.cli.watch:watch", "Follow a study until it ends, then show its result."),
    "best": Entry("client.cli.best:best", "Show the winning schedule of a study and the code to use it."),
    "schedules": Entry("client.cli.schedules:schedules", "List the schedule families, or explain and draw some."),
    "studies": Entry("client.cli.studies:studies", "List the studies, newest first."),
    "stop": Entry("client.cli.studies:stop", "End a study early; its results so far stay."),
    "pause": Entry("client.cli.studies:pause", "Hand out no more trials of a study until it is resumed."),
    "resume": Entry("client.cli.studies:resume", "Go on with a paused study."),
    "artifacts": Entry("client.cli.artifacts:artifacts", "List the files of a trial, or fetch one."),
    "up": Entry("service.commands:up", "Run everything on this machine: service, dashboard and workers.", "service"),
    "serve": Entry("service.commands:serve", "Run the service and its dashboard.", "service"),
    "backup": Entry("service.backup_commands:backup", "Write a backup of the service's database and files.", "service"),
    "restore": Entry("service.backup_commands:restore", "Put a backup in the place of the database.", "service"),
    "archive": Entry("service.archive_command:archive", "Thin the curves of studies that ended long ago.", "service"),
    "worker": Entry("worker.commands:worker", "Train trials on this machine.", "worker"),
    "doctor": Entry("service.doctor_command:doctor", "Check a service's database, workers and queue.", "service"),
    "token": Entry("service.token_commands:app", "Create, list and revoke access tokens of a service.", "service"),
    "check-task": Entry(
        "worker.commands:check_task", "Try a task of your own, and say what is wrong with it.", "worker"
    ),
}
NEEDED = {"service": ("fastapi", "sqlalchemy"), "worker": ("torch",)}
"""By extra, distributions without which none of its commands can run; looked for without being imported."""


class LazyGroup(TyperGroup):
    """Commands of the table first, then what other installed packages add under `switchback.commands`."""

    def __init__(self, **given: Any) -> None:  # Any: typer's own settings, passed on as they are
        super().__init__(**given)
        self._found = {point.name: point for point in entry_points(group=GROUP)}
        for name, entry in COMMANDS.items():
            self.commands[name] = TyperCommand(name, help=_listed(entry), rich_help_panel=_panel(entry))
        for name, point in self._found.items():
            if name not in COMMANDS:
                self.commands[name] = TyperCommand(name, help=f"From {point.value}.", rich_help_panel="Added")

    def resolve_command(
        self,
        ctx: Any,  # Any: the type of typer's contexts is private to it
        args: list[str],
    ) -> tuple[str | None, TyperCommand | TyperGroup | None, list[str]]:
        """The command to run, imported now; the listed ones are only lines of the help."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, self._load(name) if name and command else None, rest

    def invoke(self, ctx: Any) -> Any:  # Any: see `resolve_command`; what a command returns is not used
        """Run the command; a failure it expects is told on stderr with its mend, and decides the exit code."""
        from client.cli.failures import explain
        from client.errors import SwitchbackError

        try:
            return super().invoke(ctx)
        except SwitchbackError as error:
            raise typer.Exit(explain(error)) from error

    def _load(self, name: str) -> TyperCommand | TyperGroup:
        from client.cli.failures import CommandMissing

        entry = COMMANDS.get(name)
        try:
            found = _target(self._found.get(name), entry)
        except ModuleNotFoundError as error:
            if entry is None or entry.extra is None or _installed(error.name):
                raise
            raise CommandMissing(f'{name} needs: pip install "switchback[{entry.extra}]" ({error})') from error
        single = found
        if not isinstance(single, typer.Typer):
            single = typer.Typer(add_completion=False)
            single.command(name)(found)
        command = typer.main.get_command(single)
        assert isinstance(command, TyperCommand | TyperGroup)
        return command


def _target(point: EntryPoint | None, entry: Entry | None) -> Callable[..., object] | typer.Typer:
    """A command's function, or a group of commands."""
    if point is not None:
        loaded: Callable[..., object] | typer.Typer = point.load()
        return loaded
    assert entry is not None
    module, name = entry.target.split(":")
    found: Callable[..., object] | typer.Typer = getattr(importlib.import_module(module), name)
    return found


def _installed(module: str | None) -> bool:
    """Whether the package of a module that was not found is there all the same: then an extra will not mend it."""
    return module is None or importlib.util.find_spec(module.partition(".")[0]) is not None


def _panel(entry: Entry) -> str:
    return "Studies" if entry.extra is None else "Machines"


def _listed(entry: Entry) -> str:
    missing = not all(map(_installed, NEEDED.get(entry.extra or "", ())))
    # The bracket is escaped, or the help takes it for markup.
    return rf'{entry.summary} Needs: pip install "switchback\[{entry.extra}]"' if missing else entry.summary
