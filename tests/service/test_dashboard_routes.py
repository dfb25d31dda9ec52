"""What the dashboard's routes send along: policy, caching, compression."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from service import dashboard_routes

PLOTLY = "/static/plotly.min.js"


@pytest.fixture(scope="module")
def http() -> Iterator[TestClient]:
    app = FastAPI()
    dashboard_routes.install(app)
    with TestClient(app) as client:
        yield client


@pytest.mark.parametrize("path", ["/", "/static/app.js", PLOTLY, "/static/nothing.js", "/api/v1/nothing"])
def test_every_answer_forbids_foreign_content_sniffing_and_framing(http: TestClient, path: str) -> None:
    headers = http.get(path).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert (policy["default-src"], policy["script-src"], policy["frame-ancestors"]) == ("'none'", "'self'", "'none'")
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")


def test_the_plotting_library_is_the_installed_packages_own(http: TestClient) -> None:
    shipped = files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()
    assert http.get(PLOTLY, headers={"Accept-Encoding": "identity"}).content == shipped


def test_the_plotting_library_travels_compressed_and_is_kept(http: TestClient) -> None:
    answer = http.get(PLOTLY, headers={"Accept-Encoding": "gzip"})
    assert (answer.headers["content-encoding"], answer.headers["vary"]) == ("gzip", "Accept-Encoding")
    assert int(answer.headers["content-length"]) < 0.4 * len(answer.content)
    assert "max-age=604800" in answer.headers["cache-control"]


@pytest.mark.parametrize("refused", ["gzip;q=0", "br, gzip; q=0.000", "identity", "x-gzip-like"])
def test_a_reader_that_refuses_gzip_gets_plain_text(http: TestClient, refused: str) -> None:
    assert "content-encoding" not in http.get(PLOTLY, headers={"Accept-Encoding": refused}).headers


@pytest.mark.parametrize("path", ["/", "/static/app.js", PLOTLY])
def test_a_reader_that_has_the_file_is_sent_nothing(http: TestClient, path: str) -> None:
    tag = http.get(path).headers["etag"]
    again = http.get(path, headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")


def test_files_of_the_page_are_asked_for_again_before_each_use(http: TestClient) -> None:
    assert {http.get(path).headers["cache-control"] for path in ("/", "/static/app.js")} == {"no-cache"}


def test_nothing_outside_of_the_folder_is_served(http: TestClient) -> None:
    assert http.get("/static/..%2Fdashboard_routes.py").status_code == 404


def test_the_page_has_no_inline_script_or_style(http: TestClient) -> None:
    page = http.get("/").text
    assert "<script>" not in page
    assert "style=" not in page
