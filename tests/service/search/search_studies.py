"""Study definitions the search tests share, and trials with made-up results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf, log10
from typing import Any

from contract.studies import CreateStudy
from service.search.strategy import Observation, Proposal, Strategy

LOG_LR = {"low": 1e-4, "high": 10.0, "log": True, "points": 5}
SPACE: dict[str, Any] = {  # JSON
    "schedules": [
        "constant",
        {"family": "cosine", "warmup": {"choice": [0, "5%", "10 steps"]}},
        {"family": "rex", "d": {"low": 0.0, "high": 0.9, "points": 4}},
        {"family": "linear", "lr": {"low": 0.01, "high": 1.0, "points": 3}},
    ],
    "lr": LOG_LR,
    "weight_decay": {"choice": [0.0, 0.0001]},
}
"""Conditional: the families differ in their parameters, and one in the domain of its rate."""


def study(search: dict[str, Any], space: dict[str, Any] | None = None, **more: Any) -> CreateStudy:
    """A request as a client would send it; `more` replaces its other fields."""
    request: dict[str, Any] = {
        "name": "search",
        "task": {"dataset": "digits", "model": "mlp"},
        "budget": {"steps": 200},
        "search": search,
        "space": {} if space is None else space,
    }
    return CreateStudy.model_validate(request | more)


def loss_of(proposal: Proposal) -> float:
    """Known: rex with d near 0.7 and a rate near 0.1 is best; each family has its best rate, and 10x that diverges."""
    params = proposal.params
    offset, best = {"constant": (0.6, -1.8), "cosine": (0.1, -1.0), "linear": (0.2, -0.8)}.get(
        proposal.family, (0.0, -1.0)
    )
    away = log10(float(params["lr"])) - best
    decay = 0.01 if params.get("weight_decay") else 0.0
    return inf if away > 1 else offset + 0.4 * away**2 + (float(params.get("d", 0.7)) - 0.7) ** 2 + decay


def observed(proposal: Proposal, loss: float | None, *, over: bool = True) -> Observation:
    return Observation(
        number=proposal.number, family=proposal.family, params=dict(proposal.params), loss=loss, over=over
    )


def results(strategy: Strategy, trials: int, objective: Callable[[Proposal], float] = loss_of) -> list[Observation]:
    """The history of a study whose trials ran one after the other."""
    history: list[Observation] = []
    for number in range(trials):
        history += [observed(proposal, objective(proposal)) for proposal in strategy.propose(history, number, 1)]
    return history


def pending(proposals: Sequence[Proposal]) -> list[Observation]:
    return [observed(proposal, None, over=False) for proposal in proposals]
