"""Read by schemathesis: makes half of the requests real ones, so that calls can follow from them.

Drawn at random, hardly a study has a space that its schedules know, hardly a worker a task that somebody wants, and no
number is that of a study or a trial that is there.
"""

from __future__ import annotations

from typing import Any
from zlib import crc32

import schemathesis
from hypothesis import strategies
from hypothesis.strategies import SearchStrategy
from schemathesis import Case, GenerationMode, HookContext
from schemathesis.core.errors import InvalidSchema
from schemathesis.generation.jsonschema import strategy
from schemathesis.generation.meta import TestPhase

from benchmarks.fuzz import STUDY

DRAWING = vars(strategy)
_repeated = DRAWING["_repeated"]


def _or_none(*given: Any, **named: Any) -> SearchStrategy[Any]:  # Any: whatever schemathesis gives
    """The elements of a list that must hold some of a kind; none where there is none of that kind.

    In a description that refers to itself schemathesis 4.32 gives up the whole endpoint instead.
    """
    try:
        return _repeated(*given, **named)
    except InvalidSchema:
        return strategies.nothing()


DRAWING["_repeated"] = _or_none

FIRST = 8
"""Numbers of studies and trials that are tried: those of the first few, which are there."""


@schemathesis.hook
def before_call(context: HookContext, case: Case, kwargs: dict[str, Any]) -> None:  # Any: options of the transport
    """The request that was drawn, or a real one of its kind; one that was drawn to be refused stays as it is."""
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    drawn = crc32(f"{case.body} {case.path_parameters}".encode())  # so that a run with a seed can be repeated
    if drawn % 2:
        return
    if case.meta.phase.name is not TestPhase.STATEFUL:  # there they come from an answer before
        real = {"study_id", "trial_id"} & case.path_parameters.keys()
        case.path_parameters.update(dict.fromkeys(real, 1 + drawn // 2 % FIRST))
    if case.method.upper() == "POST" and case.path.endswith("/studies"):
        case.body = STUDY
    if case.path.endswith("/leases/claim") and isinstance(case.body, dict):
        case.body = {**case.body, "worker": {**case.body["worker"], "tasks": ["digits/mlp"]}}
