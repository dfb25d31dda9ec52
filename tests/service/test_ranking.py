"""The leaderboard: the walk from the best trial downwards finds what a grouping of all trials would."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any, NamedTuple

import pytest
from desk import Desk, definition
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, insert

from service import ranking, studies
from service.models import Trial

OVER = {"complete", "diverged"}


class Ended(NamedTuple):
    """A trial: a configuration, how it ended, and its objective, if it has one."""

    config: str
    status: str
    objective: float | None


def trial(config: int, status: str, eighths: int | None) -> Ended:
    objective = None if eighths is None and status != "complete" else (eighths or 0) / 8
    return Ended(f"c{config}", status, objective)


# Eighths, so that many are equal, and sums are exact: a mean in the last bit is nobody's promise.
statuses = st.sampled_from(["complete"] * 8 + ["diverged", "pruned", "failed"])
trials = st.lists(
    st.builds(trial, st.integers(0, 25), statuses, st.none() | st.integers(-40, 40)), min_size=0, max_size=120
)


def grouped(ended: list[Ended], *, maximize: bool) -> list[str]:
    """All configurations, from a plain grouping of all trials."""
    groups: dict[str, list[tuple[int, Ended]]] = {}
    for number, one in enumerate(ended):
        if one.status in OVER:
            groups.setdefault(one.config, []).append((number, one))

    def place(config: str) -> Any:
        values = [one.objective or 0.0 for _, one in groups[config] if one.status == "complete"]
        mean = sum(values) / len(values) if values else None
        bad = any(one.status == "diverged" for _, one in groups[config])
        return bad, mean is None, (mean or 0.0) * (-1 if maximize else 1), groups[config][0][0]

    return sorted(groups, key=place)


def study_of(desk: Desk, ended: list[Ended], *, maximize: bool = False) -> int:
    """A study whose trials have ended like this."""
    direction = "maximize" if maximize else "minimize"
    with desk.database.write() as session:
        wanted = definition(cells=1, objective={"metric": "val_loss", "direction": direction})
        study_id = studies.create(session, wanted, now=desk.now)
        if ended:
            session.execute(insert(Trial), list(rows(study_id, ended, desk)))
    return study_id


def rows(study_id: int, ended: list[Ended], desk: Desk) -> Iterator[dict[str, Any]]:
    shared = {"study_id": study_id, "origin": "grid", "family": "constant", "params": {}, "schedule": {}, "seed": 0}
    shared |= {"report_every": 0, "task_key": "t", "fusion_key": "f", "created_at": desk.now, "finished_at": desk.now}
    for number, one in zip(count(1), ended):
        yield shared | {"number": number, **one._asdict()}


def leaders(desk: Desk, study_id: int, limit: int) -> list[str]:
    with desk.database.read() as session:
        return [entry.config for entry in ranking.leaderboard(session, studies.get(session, study_id), limit=limit)]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ended=trials, maximize=st.booleans(), limit=st.integers(1, 30), walks=st.sampled_from([(0,), (0, 8), (2, 9, 40)])
)
def test_the_walk_ranks_as_a_plain_grouping_does(
    desk: Desk, ended: list[Ended], maximize: bool, limit: int, walks: tuple[int, ...]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "WALKS", walks)
        found = leaders(desk, study_of(desk, ended, maximize=maximize), limit)
    assert found == grouped(ended, maximize=maximize)[:limit]


@pytest.mark.parametrize("maximize", [False, True])
def test_a_page_that_is_certain_groups_only_what_the_walk_has_met(desk: Desk, maximize: bool) -> None:
    ended = [Ended(f"c{number // 2}", "complete", (number * 37) % 1_000 / 8) for number in range(1_000)]
    study_id, asked = study_of(desk, ended, maximize=maximize), []
    event.listen(desk.database.reader, "before_cursor_execute", lambda *given: asked.append(given[2]))
    assert leaders(desk, study_id, 1) == grouped(ended, maximize=maximize)[:1]
    ranked = [statement for statement in asked if "GROUP BY" in statement]
    assert len(ranked) == sum("LIMIT" in statement.split("GROUP BY")[0] for statement in ranked)


def test_a_perfect_score_that_many_share_goes_to_the_earliest(desk: Desk) -> None:
    ended = [Ended(f"c{number}", "complete", 1.0) for number in range(500)]
    assert leaders(desk, study_of(desk, ended, maximize=True), 3) == ["c0", "c1", "c2"]


def test_one_that_ever_diverged_ranks_below_all_that_never_did(desk: Desk) -> None:
    ended = [Ended("risky", "complete", 0.0), Ended("risky", "diverged", None), Ended("sound", "complete", 9.0)]
    assert leaders(desk, study_of(desk, ended), 5) == ["sound", "risky"]
