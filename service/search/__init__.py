"""Search methods: pure strategies that propose trials from a study's definition and its history."""

from __future__ import annotations

from functools import lru_cache

from contract.search import Grid, RangeTest, Tpe
from contract.studies import CreateStudy
from service.search import range_test, tpe
from service.search.grid import GridSearch
from service.search.space import bind
from service.search.strategy import Strategy


def strategy_for(definition: CreateStudy) -> Strategy:
    """The strategy of a study; `SpaceError` when its space does not fit."""
    return _build(definition.model_dump_json())


@lru_cache(maxsize=256)
def _build(text: str) -> Strategy:
    """Remembered: binding tries every value of the space, and a running study asks for its strategy all the time."""
    study = CreateStudy.model_validate_json(text)
    match study.search:
        case Grid(seeds=seeds):
            return GridSearch(space=bind(study.space, study.task, study.budget), seeds=seeds, seed=study.seed)
        case Tpe() as search:
            return tpe.bound(search, bind(study.space, study.task, study.budget), seed=study.seed)
        case RangeTest() as search:
            return range_test.bound(search, study)
