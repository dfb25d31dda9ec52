"""The dashboard in a real browser, on a real service whose studies a real worker trains."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, expect
from processes import Service, Workers
from visit import Visit

from client.studies import StudyClient
from contract.studies import CreateStudy, StudyView

pytestmark = pytest.mark.timeout(180)

HOSTILE = "<img src=x onerror=alert(1)> & <script>alert(2)</script>"
TASK = {"dataset": "digits", "model": "mlp", "batch_size": 128}
GRID: dict[str, Any] = {
    "name": HOSTILE,
    "task": TASK,
    "budget": {"epochs": 3},
    "space": {"schedules": ["cosine", "onecycle"], "lr": {"choice": [0.03, 0.3, 1e9]}},
    "search": {"method": "grid", "seeds": 2},
}
RANGE: dict[str, Any] = {
    "name": "range test",
    "task": TASK,
    "budget": {"steps": 200},
    "search": {"method": "range_test", "seeds": 2},
}
PATIENCE_MS = 60_000
expect.set_options(timeout=30_000)  # a busy machine parses the plotting library slowly


@dataclass
class Farm:
    url: str
    client: StudyClient
    grid: StudyView
    range_test: StudyView


@dataclass
class Fresh:
    """A service that knows nothing yet, and has no worker."""

    service: Service
    client: StudyClient
    visit: Visit


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    folder = tmp_path_factory.mktemp("farm")
    service = Service(f"sqlite:///{folder}/farm.db", folder)
    with service, Workers(service.url, folder), StudyClient(service.url) as client:
        submitted = [client.create(CreateStudy.model_validate(request)) for request in (GRID, RANGE)]
        grid, range_test = (client.wait(study.id, timeout_s=120) for study in submitted)
        yield Farm(service.url, client, grid, range_test)


@pytest.fixture
def visit(browser: Browser, farm: Farm) -> Iterator[Visit]:
    with browser.new_page(viewport={"width": 1280, "height": 900}) as page:
        yield Visit(page, farm.url)


@pytest.fixture
def fresh(browser: Browser, tmp_path: Path) -> Iterator[Fresh]:
    service = Service(f"sqlite:///{tmp_path}/fresh.db", tmp_path)
    with service, StudyClient(service.url) as client, browser.new_page() as page:
        yield Fresh(service, client, Visit(page, service.url))


def _lines(chart: Locator) -> Locator:
    return chart.locator(".scatterlayer .trace path.js-line")


def test_a_study_is_followed_from_the_first_command_through_a_wait_to_its_winner(fresh: Fresh, tmp_path: Path) -> None:
    page = fresh.visit.open("/")
    expect(page.get_by_text("switchback submit examples/tpe.yaml")).to_be_visible()
    fresh.client.create(CreateStudy.model_validate(GRID))
    page.get_by_role("link", name=HOSTILE).click(timeout=PATIENCE_MS)
    expect(page.locator(".study-head .notice")).to_contain_text("no worker is connected")
    with Workers(fresh.service.url, tmp_path):
        expect(page.locator(".study-head")).to_have_attribute("data-status", "complete", timeout=PATIENCE_MS)
    expect(page.locator("#progress")).to_have_text("12 of 12 trials")
    expect(page.locator("#winner h2")).to_have_text("Winner")
    assert (fresh.visit.complaints, fresh.visit.foreign) == ([], [])


def test_the_leaderboard_shows_every_configuration_in_the_services_order(visit: Visit, farm: Farm) -> None:
    page = visit.open(f"/studies/{farm.grid.id}")
    rows = page.locator("#leaderboard tbody tr")
    expect(rows).to_have_count(6)
    entries = farm.client.leaderboard(farm.grid.id).items
    assert [row.locator(".family").inner_text() for row in rows.all()] == [entry.family for entry in entries]
    expect(page.get_by_text("+2 diverged")).to_have_count(sum(entry.diverged == 2 for entry in entries))


def test_loss_and_rate_are_drawn_for_the_same_trials(visit: Visit, farm: Farm) -> None:
    page = visit.open(f"/studies/{farm.grid.id}")
    drawn = len(farm.client.curves(farm.grid.id).rates)
    expect(_lines(page.locator("#study-rate"))).to_have_count(drawn)
    page.get_by_role("button", name="Train loss").click()
    expect(page.get_by_role("button", name="Train loss")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#study-metric .ytitle")).to_have_text("training loss")
    assert visit.complaints == []


def test_a_row_picked_by_keyboard_stands_out_in_both_charts(visit: Visit, farm: Farm) -> None:
    page = visit.open(f"/studies/{farm.grid.id}")
    expect(_lines(page.locator("#study-rate"))).not_to_have_count(0)  # those of diverged trials are far outside
    page.get_by_role("button", name=re.compile("rank 2,")).press("Enter")
    expect(page.locator("tr.picked")).to_have_attribute("data-rank", "2")
    for chart in ("#study-metric", "#study-rate"):
        thick = page.locator(f'{chart} path.js-line[style*="stroke-width: 3px"]')
        expect(thick).to_have_count(2)  # both seeds of the configuration, the second fetched for it


def test_the_winner_can_be_copied_as_code(visit: Visit, farm: Farm) -> None:
    page = visit.open(f"/studies/{farm.grid.id}")
    best = farm.client.best(farm.grid.id)
    expect(page.locator("#winner pre")).to_have_text(best.snippet)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.bring_to_front()
    page.get_by_role("button", name="Copy the PyTorch code").click()
    expect(page.locator("#winner .copy")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == best.snippet


def test_names_are_text_on_every_page(visit: Visit, farm: Farm) -> None:
    trial = farm.client.leaderboard(farm.grid.id).items[0].trial_ids[0]
    for route in ("/", f"/studies/{farm.grid.id}", f"/trials/{trial}"):
        page = visit.open(route)
        expect(page.get_by_text(HOSTILE).first).to_be_visible()
        assert page.locator("main img").count() == 0
    assert (visit.complaints, visit.foreign) == ([], [])


def test_a_range_test_shows_its_curves_and_says_why(visit: Visit, farm: Farm) -> None:
    page = visit.open(f"/studies/{farm.range_test.id}")
    found = farm.client.range_test(farm.range_test.id)
    expect(page.locator("#reason")).to_have_text(found.reason)
    expect(_lines(page.locator("#range-chart"))).to_have_count(3)  # two seeds and their smoothed mean
    expect(page.locator("#suggestion")).to_have_count(1 if found.suggestion else 0)
    assert visit.complaints == []


def test_a_trial_shows_its_attempts_and_parameters(visit: Visit, farm: Farm) -> None:
    trial = farm.client.trial(farm.client.leaderboard(farm.grid.id).items[0].trial_ids[0])
    page = visit.open(f"/trials/{trial.id}")
    expect(page.locator("#attempts .attempt")).to_have_count(1)
    expect(page.locator("#attempts")).to_contain_text("worker-0")
    expect(page.locator("#configuration")).to_contain_text(trial.family)
    expect(_lines(page.locator("#trial-metric"))).to_have_count(1)


def test_all_trials_can_be_listed_and_filtered(visit: Visit, farm: Farm) -> None:
    page = visit.open(f"/studies/{farm.grid.id}")
    page.locator("#trials summary").click()
    expect(page.locator("#trials tbody tr")).to_have_count(12)
    page.get_by_label("Status").select_option("diverged")
    expect(page.locator("#trials tbody tr")).to_have_count(farm.grid.progress.diverged)


def test_the_worker_is_listed_as_live(visit: Visit) -> None:
    page = visit.open("/workers")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody tr")).to_contain_text("worker-0")


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_scrolls_sideways_on_a_phone(visit: Visit, farm: Farm, scheme: Any) -> None:
    visit.page.set_viewport_size({"width": 360, "height": 740})
    visit.page.emulate_media(color_scheme=scheme)
    for route in ("/", f"/studies/{farm.grid.id}", f"/studies/{farm.range_test.id}", "/trials/1", "/workers"):
        page = visit.open(route)
        expect(page.locator("h1")).to_be_visible()
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, route


def test_polling_pays_for_a_body_only_when_something_changed(visit: Visit) -> None:
    page = visit.open("/trials/1")
    expect(page.locator("#attempts .attempt")).to_have_count(1)
    with page.expect_response(re.compile(r"/api/v1/trials/1$")) as answered:
        page.evaluate(
            "document.dispatchEvent(new Event('visibilitychange'))"
        )  # as when the reader comes back to the tab
    assert answered.value.status == 304
    expect(page.locator("#attempts .attempt")).to_have_count(1)


@pytest.mark.parametrize("route", ["/studies/1", "/trials/1"])
def test_an_idle_page_asks_for_next_to_nothing_and_shows_a_change_at_once(fresh: Fresh, route: str) -> None:
    study = fresh.client.create(CreateStudy.model_validate(GRID))
    page = fresh.visit.open(route)
    expect(page.locator("h1")).to_be_visible()
    page.wait_for_timeout(3_000)  # for all that the page reads at first
    before = len(fresh.visit.asked)
    page.wait_for_timeout(5_000)
    assert len(fresh.visit.asked) - before <= 1
    with page.expect_response(re.compile(rf"/api/v1{route}$"), timeout=15_000):
        fresh.client.pause(study.id)


def test_a_page_that_does_not_exist_says_so(visit: Visit) -> None:
    expect(visit.open("/studies/999").locator("main")).to_contain_text("there is no study 999")
    expect(visit.open("/nowhere").locator("main")).to_contain_text("There is no such page")


def test_when_the_service_goes_away_the_page_says_so_keeps_what_it_has_and_recovers(fresh: Fresh) -> None:
    fresh.client.create(CreateStudy.model_validate(RANGE))
    page = fresh.visit.open("/")
    study = page.get_by_role("link", name="range test")
    expect(study).to_be_visible()
    fresh.service.kill()
    expect(page.locator("#banner")).to_contain_text("The service is away", timeout=PATIENCE_MS)
    expect(study).to_be_visible()
    fresh.service.start()
    expect(page.locator("#banner")).to_be_hidden(timeout=PATIENCE_MS)


def test_an_injected_inline_script_does_not_run(visit: Visit) -> None:
    page = visit.open("/")
    page.evaluate(
        "const s = document.createElement('script'); s.textContent = 'window.ran = true'; document.head.append(s)"
    )
    assert page.evaluate("window.ran") is None
    assert any("Content Security Policy" in said for said in visit.complaints)
