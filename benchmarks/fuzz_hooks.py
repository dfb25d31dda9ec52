"""Read by schemathesis: makes half of the requests that create something real ones, so that calls can follow from them.

Drawn at random, hardly a study has a space that its schedules know, and hardly a worker a task that somebody wants.
"""

from __future__ import annotations

import json
from typing import Any
from zlib import crc32

import schemathesis
from schemathesis import HookContext

STUDY = {
    "name": "fuzz",
    "task": {"dataset": "digits", "model": "mlp"},
    "budget": {"epochs": 3},
    "space": {"schedules": ["cosine", "one_cycle"], "lr": {"low": 0.01, "high": 1.0, "log": True, "points": 3}},
    "search": {"method": "grid", "seeds": 2},
}


@schemathesis.hook
def map_body(context: HookContext, body: Any) -> Any:  # Any: JSON, as schemathesis draws it
    """The body that was drawn, or a real one of its kind; which of the two, the drawn one decides."""
    operation = context.operation
    if operation is None or crc32(json.dumps(body, sort_keys=True, default=str).encode()) % 2:
        return body
    if operation.method.upper() == "POST" and operation.path.endswith("/studies"):
        return STUDY
    if operation.path.endswith("/leases/claim") and isinstance(body, dict) and isinstance(body.get("worker"), dict):
        return {**body, "worker": {**body["worker"], "tasks": ["digits/mlp"]}}
    return body
