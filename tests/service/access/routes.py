"""The table of the routes: the right each needs, a request to it, and its answers about own and others' things."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeAlias

from desk import definition, token, worker
from town import Town

from contract.artifacts import digest_header
from schedules import to_dict
from schedules.presets import REGISTRY
from service.access.roles import Right

Make: TypeAlias = Callable[[Town, str], dict[str, Any]]
"""What the request carries, for an object of that project."""


V1 = "/api/v1"


def nothing(town: Town, project: str) -> dict[str, Any]:
    return {}


def study(town: Town, project: str) -> dict[str, Any]:
    return {"study_id": town.studies[project]}


def fresh_study(town: Town, project: str) -> dict[str, Any]:
    return {"study_id": town.study(project)}


def trial(town: Town, project: str) -> dict[str, Any]:
    return {"trial_id": town.trials[project]}


def new_study(town: Town, project: str) -> dict[str, Any]:
    return {"json": definition(project=project).model_dump(mode="json")}


def drawing(town: Town, project: str) -> dict[str, Any]:
    return {
        "json": {
            "schedules": {"one": to_dict(REGISTRY["cosine"].build(lr=0.1))},
            "total_steps": 10,
            "steps_per_epoch": 5,
        }
    }


def claim(town: Town, project: str) -> dict[str, Any]:
    info = worker(f"claims-{token()[:8]}", tasks=("digits/none",))
    return {"json": {"worker": info.model_dump(), "token": token()}}


def heartbeat(town: Town, project: str) -> dict[str, Any]:
    return {"json": {"worker_id": "lessee-00000000", "leases": [town.lease(project)]}}


def report(town: Town, project: str) -> dict[str, Any]:
    one = {"lease": town.lease(project), "total_steps": 20, "steps_per_epoch": 10, "points": []}
    return {"json": {"reports": [one]}}


def complete(town: Town, project: str) -> dict[str, Any]:
    end = {"outcome": "complete", "metrics": {"val_loss": 0.5}, "steps_done": 20, "device_seconds": 1.0}
    return {"json": {"completions": [end | {"engine": "solo", "lease": town.lease(project)}]}}


def fail(town: Town, project: str) -> dict[str, Any]:
    return {"json": {"lease": town.lease(project), "error": "it broke"}}


def release(town: Town, project: str) -> dict[str, Any]:
    return {"json": {"lease": town.lease(project), "reason": "going home"}}


def file(town: Town, project: str) -> dict[str, Any]:
    """A request of the holder of a lease to store a file."""
    lease = town.lease(project)
    headers = {"Switchback-Lease": lease["token"], "Repr-Digest": digest_header(sha256(b"file").hexdigest())}
    place = {"trial_id": lease["trial_id"], "name": "model", "params": {"attempt": lease["attempt"], "step": 1}}
    return place | {"headers": headers, "content": b"file"}


def stored_file(town: Town, project: str) -> dict[str, Any]:
    """A request of the holder of a lease for a file that is there."""
    given = file(town, project)
    path = f"{V1}/trials/{given['trial_id']}/artifacts/model"
    sent = {name: given[name] for name in ("params", "headers", "content")}
    assert town.ask("PUT", path, by=town.token("worker"), **sent).status_code == 200
    return given | {"content": b""}


def token_of_nobody(town: Town, project: str) -> dict[str, Any]:
    return {"json": {"token": "sbk_nobody"}}


def own_origin(town: Town, project: str) -> dict[str, Any]:
    return {"headers": {"Origin": "http://localhost"}}


def new_webhook(town: Town, project: str) -> dict[str, Any]:
    return {"json": {"project": project, "url": "https://hooks.example/in"}}


def webhook(town: Town, project: str) -> dict[str, Any]:
    return {"webhook_id": town.webhook(project)}


@dataclass(frozen=True)
class Route:
    """`own`, `foreign`: the status for those with the right. A foreign lease is as lost as one that never was."""

    right: Right
    make: Make = nothing
    own: int = 200
    foreign: int = 200


ROUTES: dict[tuple[str, str], Route] = {
    ("GET", "/healthz"): Route("public"),
    ("GET", "/readyz"): Route("public"),
    ("GET", "/metrics"): Route("read"),
    ("POST", f"{V1}/studies"): Route("submit", new_study, 201, 404),
    ("GET", f"{V1}/studies"): Route("read"),
    ("GET", f"{V1}/studies/{{study_id}}"): Route("read", study, 200, 404),
    ("POST", f"{V1}/studies/{{study_id}}/stop"): Route("submit", fresh_study, 200, 404),
    ("POST", f"{V1}/studies/{{study_id}}/pause"): Route("submit", fresh_study, 200, 404),
    ("POST", f"{V1}/studies/{{study_id}}/resume"): Route("submit", fresh_study, 200, 404),
    ("GET", f"{V1}/studies/{{study_id}}/leaderboard"): Route("read", study, 200, 404),
    ("GET", f"{V1}/studies/{{study_id}}/trials"): Route("read", study, 200, 404),
    ("GET", f"{V1}/studies/{{study_id}}/best"): Route("read", study, 409, 404),
    ("GET", f"{V1}/studies/{{study_id}}/curves"): Route("read", study, 200, 404),
    ("GET", f"{V1}/studies/{{study_id}}/range-test"): Route("read", study, 409, 404),
    ("POST", f"{V1}/previews"): Route("submit", new_study),
    ("GET", f"{V1}/trials/{{trial_id}}"): Route("read", trial, 200, 404),
    ("GET", f"{V1}/trials/{{trial_id}}/curve"): Route("read", trial, 200, 404),
    ("GET", f"{V1}/trials/{{trial_id}}/schedule.svg"): Route("read", trial, 200, 404),
    ("GET", f"{V1}/trials/{{trial_id}}/artifacts"): Route("read", trial, 200, 404),
    ("GET", f"{V1}/trials/{{trial_id}}/artifacts/{{name}}"): Route("read", stored_file, 200, 404),
    ("PUT", f"{V1}/trials/{{trial_id}}/artifacts/{{name}}"): Route("work", file, 200, 409),
    ("GET", f"{V1}/leases/{{trial_id}}/artifacts/{{name}}"): Route("work", stored_file, 200, 409),
    ("GET", f"{V1}/workers"): Route("read"),
    ("GET", f"{V1}/schedules"): Route("read"),
    ("GET", f"{V1}/schedules/{{name}}"): Route("read", lambda town, project: {"name": "cosine"}),
    ("POST", f"{V1}/drawings"): Route("submit", drawing),
    ("POST", f"{V1}/session"): Route("public", token_of_nobody, 401, 401),
    ("GET", f"{V1}/session"): Route("read"),
    ("DELETE", f"{V1}/session"): Route("public", own_origin, 204, 204),
    ("GET", f"{V1}/audit"): Route("admin"),
    ("POST", f"{V1}/webhooks"): Route("admin", new_webhook, 201, 404),
    ("GET", f"{V1}/webhooks"): Route("admin"),
    ("DELETE", f"{V1}/webhooks/{{webhook_id}}"): Route("admin", webhook, 204, 404),
    ("GET", f"{V1}/webhooks/{{webhook_id}}/deliveries"): Route("admin", webhook, 200, 404),
    ("POST", f"{V1}/leases/claim"): Route("work", claim),
    ("POST", f"{V1}/leases/heartbeat"): Route("work", heartbeat),
    ("POST", f"{V1}/leases/report"): Route("work", report, 200, 409),
    ("POST", f"{V1}/leases/complete"): Route("work", complete, 200, 409),
    ("POST", f"{V1}/leases/fail"): Route("work", fail, 200, 409),
    ("POST", f"{V1}/leases/release"): Route("work", release, 200, 409),
}
