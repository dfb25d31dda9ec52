"""The application: routes, errors, and what starts and stops with it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.util import find_spec

from fastapi import APIRouter, FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.concurrency import run_in_threadpool
from starlette.middleware.errors import ServerErrorMiddleware

from service import migrate, problems
from service.access import gate, tokens
from service.access.gatekeeper import Gatekeeper
from service.api import access, artifacts, direct, health, leases, schedules, studies, trials, webhooks
from service.api.context import Context
from service.artifact_store import ArtifactStore, open_store
from service.bell import Bell
from service.clerk import Clerk
from service.dashboard_routes import install as install_dashboard
from service.database import Database
from service.errors import StartupError
from service.etag import ETagMiddleware
from service.guard import Guard
from service.keeper import Keeper
from service.observing import Observing, latency_histogram
from service.openapi import ERRORS, Application
from service.planner import Planner
from service.serving import LEAVING
from service.settings import Settings
from service.version import VERSION
from service.webhooks.courier import Courier
from service.webhooks.sender import Sender
from service.writer import Writer

PREFIX = "/api/v1"


def _endpoints() -> APIRouter:
    """Tried in order, the busiest first."""
    router = APIRouter()
    for module in (leases, studies, trials, artifacts, schedules, access, webhooks):
        router.include_router(module.router, prefix=PREFIX, responses=ERRORS)
    router.include_router(health.router, responses=ERRORS)
    return router


ENDPOINTS = _endpoints()
"""Shared by the applications of a process: FastAPI derives the models of each route when it is included, which takes
five times as long as all else that an application needs."""


def create_app(settings: Settings) -> FastAPI:
    """An application over the settings' database, which is brought to this version's schema first."""
    store = open_store(settings.artifact_address)
    database = _opened(settings)
    with database.read() as session:
        auth = settings.auth == "tokens" or (settings.auth == "auto" and tokens.exist(session))

    app = Application(
        title="Switchback",
        version=VERSION,
        summary="Finds the learning-rate schedule a model should be trained with.",
        lifespan=_lifespan(database, settings, store),
        separate_input_output_schemas=False,
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{PREFIX}/openapi.json",
        routes=ENDPOINTS.routes,
        telemetry=tracing(os.environ),
    )
    app.state.gatekeeper = Gatekeeper(database, auth=auth, rate=settings.token_rate)
    app.state.latency = latency_histogram()
    problems.install(app)
    app.add_middleware(ETagMiddleware)
    app.add_middleware(direct.DirectWays, router=leases.router, prefix=PREFIX)
    app.add_middleware(Guard, hosts=settings.hosts)
    install_dashboard(app)
    # Starlette's own place for it is outside of all others: such an answer would carry no id, nor would its log line.
    app.add_middleware(ServerErrorMiddleware, handler=problems.failed)
    app.add_middleware(Observing, latency=app.state.latency)
    gate.check(app)
    return app


def tracing(environment: Mapping[str, str]) -> TelemetryConfig:
    """OpenTelemetry, which needs the extra `otel`, where `OTEL_EXPORTER_OTLP_ENDPOINT` says whom to send to."""
    wanted = bool(environment.get("OTEL_EXPORTER_OTLP_ENDPOINT"))
    if wanted and find_spec("opentelemetry.sdk") is None:
        raise StartupError('OTEL_EXPORTER_OTLP_ENDPOINT is set, and this needs: pip install "switchback[otel]"')
    return {
        "auto_configure": wanted,
        "tracing": wanted,
        "metrics": wanted,
        "operation_spans": wanted,
        "logs": False,  # they would carry what was sent, tokens included
    }


def _opened(settings: Settings) -> Database:
    database = Database(settings)
    try:
        database.hold()
        migrate.upgrade(database)
    except BaseException:
        database.close()
        raise
    return database


def _lifespan(
    database: Database, settings: Settings, store: ArtifactStore
) -> Callable[[FastAPI], AbstractAsyncContextManager[dict[str, Callable[[], None]]]]:
    @asynccontextmanager
    async def _run(app: FastAPI) -> AsyncIterator[dict[str, Callable[[], None]]]:
        bell, news, writer = Bell(), Bell(), Writer(database)
        planner = Planner(database, settings, bell, news)
        keeper = Keeper(database, settings, store)
        courier = Courier(database, Sender()) if settings.webhooks else None
        clerk = Clerk(database, ttl_s=settings.lease_ttl_s)
        app.state.context = Context(database, writer, planner, settings, store, bell, news, clerk, looks={})
        bell.start()
        news.start()
        await run_in_threadpool(planner.start)
        writer.start()
        keeper.start()
        if courier is not None:
            courier.start()

        def leave() -> None:
            bell.close()
            news.close()

        yield {LEAVING: leave}
        leave()
        if courier is not None:
            await run_in_threadpool(courier.close)
        await run_in_threadpool(keeper.close)
        await writer.close()
        await run_in_threadpool(planner.close)
        database.close()

    return _run
