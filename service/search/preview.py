"""The first trials a study would run: what its strategy proposes before anything is known."""

from __future__ import annotations

from contract.pages import Preview, Proposal
from contract.studies import CreateStudy
from service.search import strategy_for


def preview(definition: CreateStudy, limit: int) -> Preview:
    """At most `limit` trials, none of them stored or run; `SpaceError` when the space does not fit the search."""
    strategy = strategy_for(definition)
    return Preview(
        planned=strategy.planned,
        proposals=[
            Proposal(
                number=one.number,
                origin=one.origin,
                family=one.family,
                params=dict(one.params),
                schedule=one.schedule,
                seed=one.seed,
            )
            for one in strategy.propose([], 0, limit)
        ],
    )
