"""Answers of a service, as bytes on the wire, for the faults that a real one cannot be made to show on demand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import httpx2

from client.studies import StudyClient
from contract.errors import ErrorCode, FieldError, Problem
from contract.studies import CreateStudy, Progress, StudyStatus, StudyView

URL = "http://service.test"
Answer = httpx2.Response | Exception


def problem(
    status: int, code: ErrorCode, detail: str = "", errors: Iterable[FieldError] = (), **headers: str
) -> Answer:
    body = Problem(type=f"urn:{code}", title=code, status=status, code=code, detail=detail, errors=list(errors))
    return httpx2.Response(status, json=body.model_dump(), headers=headers)


def view(status: StudyStatus = "running", *, complete: int = 0, search: dict[str, Any] | None = None) -> StudyView:
    definition = CreateStudy.model_validate(
        {
            "name": "rates",
            "task": {"dataset": "digits", "model": "mlp"},
            "budget": {"epochs": 1},
            "search": search or {"method": "tpe", "trials": 4},
        }
    )
    progress = Progress(
        planned=4, queued=4 - complete, leased=0, complete=complete, pruned=0, diverged=0, failed=0, cancelled=0
    )
    return StudyView(
        id=7,
        version=0,
        project="default",
        status=status,
        reason=None,
        waiting=None,
        created_at="2026-01-01T00:00:00Z",  # type: ignore[arg-type]  # pydantic reads it
        finished_at=None,
        definition=definition,
        progress=progress,
        best=None,
        device_seconds=2.0 * complete,
    )


def shown(study: StudyView) -> Answer:
    return httpx2.Response(200, content=study.model_dump_json())


def transport(*answers: Answer, seen: list[httpx2.Request] | None = None) -> httpx2.MockTransport:
    """Gives the answers in turn, the last one for ever."""
    left = list(answers)

    def answer(request: httpx2.Request) -> httpx2.Response:
        if seen is not None:
            seen.append(request)
        given = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(given, Exception):
            raise given
        return given

    return httpx2.MockTransport(answer)


def client(*answers: Answer, seen: list[httpx2.Request] | None = None) -> StudyClient:
    return StudyClient(URL, transport=transport(*answers, seen=seen))
