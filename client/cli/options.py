"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer
from rich.console import Console

from client import DEFAULT_URL
from client.cli.failures import BadArgument
from client.studies import StudyClient

StudyId: TypeAlias = Annotated[int, typer.Argument(metavar="ID", min=1, max=2**63 - 1, help="Number of the study.")]
Url: TypeAlias = Annotated[str, typer.Option("--url", help=f"Address of the service; or SWITCHBACK_URL. {DEFAULT_URL}")]
Timeout: TypeAlias = Annotated[
    float | None, typer.Option("--timeout", min=0, help="Seconds to wait for the end of the study; then exit code 4.")
]
Poll: TypeAlias = Annotated[float, typer.Option("--poll", min=0.05, help="Seconds between two looks at the service.")]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print the service's answer as JSON.")]


def connect(url: str) -> StudyClient:
    """A client of the service at `url`."""
    try:
        return StudyClient(url)
    except ValueError as error:
        raise BadArgument(f"--{error}") from error


def output() -> Console:
    """Where results go."""
    return Console(highlight=False)
