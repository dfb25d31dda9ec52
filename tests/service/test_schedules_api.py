"""Schedule families and drawings over HTTP."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest
from fastapi.testclient import TestClient

from schedules import to_dict
from schedules.presets import REGISTRY

COSINE = to_dict(REGISTRY["cosine"].build(lr=0.1))
LONG = to_dict(REGISTRY["cosine"].build(lr=0.1, warmup="200 steps"))


@pytest.fixture
def database_url(tmp_path: object) -> str:
    """These answers come from no table: one database is enough."""
    return f"sqlite:///{tmp_path}/switchback.db"


def test_the_api_lists_every_family_of_the_registry(http: TestClient) -> None:
    items = http.get("/api/v1/schedules").json()["items"]
    assert [item["name"] for item in items] == list(REGISTRY)


def test_a_family_comes_with_its_rules_and_search_ranges(http: TestClient) -> None:
    rex = http.get("/api/v1/schedules/rex").json()
    d = next(one for one in rex["parameters"] if one["name"] == "d")
    assert (d["default"], "d" in d["rule"], set(d["search"]) >= {"low", "high"}) == (0.5, True, True)


def test_an_unknown_family_is_404(http: TestClient) -> None:
    assert http.get("/api/v1/schedules/cosin").json()["code"] == "not-found"


def test_schedules_are_drawn_as_svg_with_escaped_names(http: TestClient) -> None:
    body = {"schedules": {"<script>": COSINE, "b": COSINE}, "total_steps": 100}
    answer = http.post("/api/v1/drawings", json=body)
    assert answer.headers["content-type"] == "image/svg+xml"
    assert ET.fromstring(answer.text).tag.endswith("svg")
    assert "<script" not in answer.text


def test_a_schedule_that_does_not_fit_is_refused_by_name(http: TestClient) -> None:
    answer = http.post("/api/v1/drawings", json={"schedules": {"long": LONG}, "total_steps": 100})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "schedules.long.warmup"


def test_a_schedule_of_an_unknown_kind_is_refused_with_its_path(http: TestClient) -> None:
    wrong = COSINE | {"shape": {"kind": "wavy"}}
    answer = http.post("/api/v1/drawings", json={"schedules": {"a": wrong}, "total_steps": 100})
    assert answer.status_code == 422
    assert "shape.kind" in answer.json()["detail"]


PLATEAU = to_dict(REGISTRY["reduce_on_plateau"].build(lr=0.1))


def test_the_registry_says_which_families_answer_to_a_metric(http: TestClient) -> None:
    items = http.get("/api/v1/schedules").json()["items"]
    assert [item["name"] for item in items if item["needs_metric"]] == ["greedy", "reduce_on_plateau"]


@pytest.mark.parametrize("others", [{}, {"cosine": COSINE}])
def test_a_drawing_says_in_words_what_nobody_can_know_before_training(http: TestClient, others: dict[str, Any]) -> None:
    answer = http.post("/api/v1/drawings", json={"schedules": others | {"plateau": PLATEAU}, "total_steps": 100})
    said = " ".join(ET.fromstring(answer.text).itertext())
    assert "plateau: follows the metric, not known before training" in said
    assert answer.text.count("<polyline") == len(others)
