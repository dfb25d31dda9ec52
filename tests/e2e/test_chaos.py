"""Fifteen kills of a service at work, with every other fault between them: nothing acknowledged is lost."""

from __future__ import annotations

import pytest

from benchmarks.chaos.storm import Plan, run

pytestmark = pytest.mark.timeout(240)


def test_fifteen_kills_lose_nothing_double_nothing_and_let_no_zombie_write() -> None:
    outcome = run(Plan(kills=15, workers=6, calm_s=0.25))
    assert outcome.violations == [], outcome.errors
    assert (outcome.done["service killed"], outcome.said("ok", zombie=True)) == (15, 0)
    assert outcome.said("stale", zombie=True) >= 50
