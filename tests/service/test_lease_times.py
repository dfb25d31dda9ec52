"""How long a lease lives: past outages, not past silence, and by no clock but the service's."""

from __future__ import annotations

import pytest
from desk import TTL_S, Desk

from contract import leases
from contract.base import Message
from service import queue, sweep
from service.bell import Bell
from service.planner import Planner
from service.settings import Settings


def beat(desk: Desk, ref: leases.LeaseRef) -> list[bool]:
    with desk.database.write() as session:
        request = leases.HeartbeatRequest(worker_id="worker-a-00000000", leases=[ref])
        return [state.held for state in queue.heartbeat(session, [request], now=desk.now, ttl_s=TTL_S)[0]]


@pytest.mark.parametrize("outage_s", [0, 20, 60, 300])
def test_an_outage_of_the_service_costs_no_lease(desk: Desk, outage_s: float) -> None:
    desk.create(cells=1)
    ref = desk.ref(desk.claim()[0])
    desk.later(TTL_S / 3 - 1)  # the last pulse and the last heartbeat may be a third of the lifetime apart
    with desk.database.write() as session:
        sweep.pulse(session, now=desk.now)
    desk.later(outage_s)
    with desk.database.write() as session:
        sweep.extend_over_outage(session, now=desk.now)
    desk.later(TTL_S * 2 / 3)
    assert desk.sweep() == 0
    assert beat(desk, ref) == [True]


def test_a_database_that_was_away_costs_no_lease_either(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.create(cells=1)
    desk.claim()
    settings = Settings(database=desk.database.url.render_as_string(hide_password=False))
    planner = Planner(desk.database, settings, Bell(), Bell())
    monkeypatch.setattr(desk.database, "now", lambda session: desk.now)
    for seconds in (0, 5, 300, TTL_S - 6):
        desk.later(seconds)
        planner._sweep()
        assert desk.statuses() == ["leased"]


def test_a_silent_worker_is_not_spared_by_sweeps_in_time(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.create(cells=1)
    desk.claim()
    settings = Settings(database=desk.database.url.render_as_string(hide_password=False))
    planner = Planner(desk.database, settings, Bell(), Bell())
    monkeypatch.setattr(desk.database, "now", lambda session: desk.now)
    gone = desk.now
    while desk.statuses() == ["leased"]:
        desk.later(settings.sweep_s)
        planner._sweep()
    assert TTL_S < (desk.now - gone).total_seconds() <= TTL_S + 2 * settings.sweep_s


def test_a_poison_trial_runs_at_most_once_more_than_it_may_be_lost(desk: Desk) -> None:
    desk.create(cells=1, limits={"max_lost": 3, "max_retries": 2})
    runs = 0
    while desk.claim():
        runs += 1
        desk.later(TTL_S + 1)
        desk.sweep()
    assert runs == 3 + 1


def test_no_request_of_the_protocol_carries_a_time() -> None:
    requests = [one for one in vars(leases).values() if isinstance(one, type) and issubclass(one, Message)]
    fields = {str(field.annotation) for request in requests for field in request.model_fields.values()}
    assert fields
    assert not any("datetime" in annotation for annotation in fields)
