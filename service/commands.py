"""What the command line can do where the service is installed: serve, up."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
import uvicorn

from service import logs
from service.app import create_app
from service.errors import StartupError
from service.local_workers import LocalWorkers, access
from service.serving import configuration, settle
from service.settings import DEFAULT_DATABASE, DEFAULT_PORT, LOOPBACK, Auth, Settings

DatabaseOption = Annotated[
    str,
    typer.Option("--database", envvar="SWITCHBACK_DATABASE", help="sqlite:///FILE or postgresql://USER@HOST/NAME."),
]
HostOption = Annotated[str, typer.Option("--host", help="Address to listen on.")]
AllowOption = Annotated[
    list[str] | None,
    typer.Option("--allow-host", help="Name the service may also be called by; needed for an address others reach."),
]
PortOption = Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 takes a free one.")]
TtlOption = Annotated[float, typer.Option("--lease-ttl", min=1, help="Seconds a trial stays with a silent worker.")]
SweepOption = Annotated[float, typer.Option("--sweep", min=0.1, help="Seconds between looks for expired leases.")]
AuthOption = Annotated[
    Auth,
    typer.Option(
        "--auth",
        envvar="SWITCHBACK_AUTH",
        help="tokens: requests need an access token; none: they do not; auto: they do when others can reach the "
        "service, or when a token was ever created.",
    ),
]
WebhooksOption = Annotated[
    bool, typer.Option("--webhooks", envvar="SWITCHBACK_WEBHOOKS", help="Tell webhooks of studies that end.")
]
ArtifactsOption = Annotated[
    str | None,
    typer.Option(
        "--artifacts",
        envvar="SWITCHBACK_ARTIFACTS",
        help="Folder, or URL such as s3://BUCKET/PREFIX, for checkpoints and models; by default beside the database.",
    ),
]
RetainOption = Annotated[
    float | None,
    typer.Option(
        "--retain-curves", min=0.01, metavar="DAYS", help="Thin the curves of studies this long after their end."
    ),
]
LogOption = Annotated[str, typer.Option("--log-level", help="debug, info, warning or error.")]
LogJsonOption = Annotated[bool, typer.Option("--log-json", help="Log one JSON object a line.")]


def serve(
    database: DatabaseOption = DEFAULT_DATABASE,
    host: HostOption = "127.0.0.1",
    port: PortOption = DEFAULT_PORT,
    allow_host: AllowOption = None,
    lease_ttl: TtlOption = 60.0,
    sweep: SweepOption = 5.0,
    auth: AuthOption = "auto",
    artifacts: ArtifactsOption = None,
    retain_curves: RetainOption = None,
    webhooks: WebhooksOption = False,
    log_level: LogOption = "info",
    log_json: LogJsonOption = False,
) -> None:
    """Run the service: HTTP API and dashboard. The database is created, or brought up to date, first.

    On this machine alone it needs no accounts. Where others can reach it, it asks for access tokens.
    """
    if host not in LOOPBACK and not allow_host:
        refuse(f"--host {host} lets others reach the service; say by what names with --allow-host")
    if host not in LOOPBACK and auth == "none":
        refuse(f"--auth none on --host {host} would let everybody in; make tokens with `switchback token create`")
    if auth == "auto" and allow_host:
        auth = "tokens"
    hosts = (*LOOPBACK, *(allow_host or ()))
    settings = settings_of(
        database=database,
        lease_ttl_s=lease_ttl,
        sweep_s=sweep,
        hosts=hosts,
        auth=auth,
        artifacts=artifacts,
        retain_curves_days=retain_curves,
        webhooks=webhooks,
    )
    with _listening(host, port) as listener:
        _serve(settings, listener, log_level, log_json=log_json)


def up(
    database: DatabaseOption = DEFAULT_DATABASE,
    port: PortOption = DEFAULT_PORT,
    workers: Annotated[int, typer.Option("--workers", min=1, max=256, help="Worker processes to run.")] = 1,
    artifacts: ArtifactsOption = None,
    log_level: LogOption = "info",
) -> None:
    """Run everything on this machine: the service and its workers, until Ctrl-C."""
    settings = settings_of(database=database, artifacts=artifacts)
    with _listening("127.0.0.1", port) as listener, refusing(), access(settings) as token:
        local = LocalWorkers(_address(listener), workers, token)
        try:
            _serve(settings, listener, log_level, before_exit=local.stop)
        finally:
            local.stop()


def settings_of(**given: Any) -> Settings:  # Any: each option of its own type, which Settings checks
    """The settings a command was given; one that breaks a rule ends it."""
    try:
        return Settings(**given)
    except ValueError as error:
        refuse(str(error))


class _Server(uvicorn.Server):
    """Uvicorn that does one thing more between a signal and its shutdown, while it still serves."""

    def __init__(self, config: uvicorn.Config, before_exit: Callable[[], None]) -> None:
        super().__init__(config)
        self._before_exit = before_exit
        self._asked = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal shuts down in order, a second one at once."""
        if self._asked:
            super().handle_exit(sig, frame)
            return
        self._asked = True
        threading.Thread(target=self._leave, args=(sig,), daemon=True).start()

    def _leave(self, sig: int) -> None:
        self._before_exit()
        super().handle_exit(sig, None)


def _serve(
    settings: Settings,
    listener: socket.socket,
    log_level: str,
    *,
    log_json: bool = False,
    before_exit: Callable[[], None] = lambda: None,
) -> None:
    logs.configure(log_level, as_json=log_json)
    with refusing():
        app = create_app(settings)
    if app.state.gatekeeper.auth:
        typer.echo("Requests need an access token; `switchback token create` makes one.", err=True)
    shown = settings.url.render_as_string(hide_password=True)
    typer.echo(f"Switchback serves {shown} at {_address(listener)}", err=True)
    config = configuration(app, log_level)
    settle()
    with suppress(KeyboardInterrupt):  # uvicorn raises the signal it has already obeyed once more
        _Server(config, before_exit).run(sockets=[listener])


@contextmanager
def refusing() -> Iterator[None]:
    """What keeps the service from its work ends the command."""
    try:
        yield
    except StartupError as error:
        refuse(str(error))


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            refuse(f"cannot listen on {host} port {port}: {error.strerror}. Give another with --port, or --port 0.")
        listener.listen(2048)
        yield listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def refuse(message: str) -> NoReturn:
    """End the command with exit code 2 and this message."""
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(2)
