"""Every route x every role x own and foreign objects, from one table; a route that is not in it fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from routes import ROUTES
from town import PROJECTS, ROLES, Town, town

from service.access import gate
from service.access.gate import PAGE, READ, GatedRoute
from service.access.roles import RIGHTS
from service.errors import StartupError

ASKING = (*ROLES, None)


@pytest.fixture(scope="module")
def built(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with town(sqlite_template, tmp_path_factory.mktemp("town")) as one:
        yield one


def test_the_table_has_every_route_with_the_right_it_declares(built: Town) -> None:
    app = built.http.app
    assert isinstance(app, FastAPI)
    declared = {
        (method, route.path): gate.right_of(route.original_route)
        for route in iter_route_contexts(app.routes)
        if isinstance(route.original_route, GatedRoute)
        for method in route.methods or ()
    }
    assert declared == {key: route.right for key, route in ROUTES.items()}


@pytest.mark.parametrize("key", ROUTES, ids=" ".join)
def test_a_route_answers_those_who_have_its_right_about_their_own_things(built: Town, key: tuple[str, str]) -> None:
    route = ROUTES[key]
    for role in ASKING:
        if route.right == "public" or (role is not None and route.right in RIGHTS[role]):
            assert [_ask(built, key, role, project) for project in PROJECTS] == [route.own, route.foreign], role
        else:
            assert _ask(built, key, role, "ours") == (401 if role is None else 403), role


def _ask(built: Town, key: tuple[str, str], role: str | None, project: str) -> int:
    method, path = key
    given: dict[str, Any] = ROUTES[key].make(built, project)
    carried = {name: given.pop(name) for name in ("json", "content", "headers", "params") if name in given}
    return int(built.ask(method, path.format(**given), by=role, **carried).status_code)


def test_what_is_open_to_everybody_is_the_page_and_the_description_of_the_api(built: Town) -> None:
    app = built.http.app
    assert isinstance(app, FastAPI)
    open_paths = {
        route.path for route in iter_route_contexts(app.routes) if not isinstance(route.original_route, GatedRoute)
    }
    assert open_paths == PAGE


@pytest.mark.parametrize("dependencies", [[], [READ, READ]])
def test_a_route_that_declares_no_right_or_two_cannot_be_built(dependencies: list[Any]) -> None:
    router = APIRouter(route_class=GatedRoute, dependencies=dependencies)
    with pytest.raises(StartupError, match="exactly one right"):
        router.get("/secrets")(lambda: "all of them")


def test_an_application_with_a_route_past_the_gate_does_not_start() -> None:
    app = FastAPI()
    app.include_router(APIRouter(), prefix="/api")
    app.get("/secrets", dependencies=[READ])(lambda: "all of them")
    with pytest.raises(StartupError, match="/secrets"):
        gate.check(app)


def test_a_route_built_past_the_gate_answers_nobody() -> None:
    app = FastAPI()
    app.get("/secrets", dependencies=[READ])(lambda: "all of them")
    assert TestClient(app, raise_server_exceptions=False).get("/secrets").status_code == 500
