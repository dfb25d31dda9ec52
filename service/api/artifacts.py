"""Artifacts: raw streams in and out."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, Header, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse

from contract.artifacts import DIGEST_HEADER, LEASE_HEADER, ArtifactName, ArtifactView, digest_header, read_digest
from contract.errors import FieldError, Problem
from contract.leases import LeaseRef, Token
from contract.pages import Page
from service import artifacts
from service.access.gate import READ, WORK, GatedRoute
from service.api.context import Context, Ctx, Id
from service.artifact_store import CHUNK
from service.errors import InvalidRequest, LeaseLost, NotFound, QuotaExceeded, TooLarge
from service.models import Artifact

router = APIRouter(tags=["artifacts"], route_class=GatedRoute)

RAW = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
FILE: dict[int | str, dict[str, Any]] = {200: {"content": RAW, "description": "The file"}}
Name: TypeAlias = Annotated[ArtifactName, Path()]
Attempt: TypeAlias = Annotated[int, Query(ge=1, lt=2**31)]
Step: TypeAlias = Annotated[int, Query(ge=0, le=10**12)]
LeaseToken: TypeAlias = Annotated[Token, Header(alias=LEASE_HEADER)]
Digest: TypeAlias = Annotated[str, Header(alias=DIGEST_HEADER, max_length=1_000, examples=[digest_header("00" * 32)])]


@router.put(
    "/trials/{trial_id}/artifacts/{name}",
    dependencies=[WORK],
    openapi_extra={"requestBody": {"required": True, "content": RAW}},
    responses={status: {"model": Problem, "description": "Problem details (RFC 9457)"} for status in (411, 413)},
)
async def put_artifact(
    trial_id: Id,
    name: Name,
    request: Request,
    ctx: Ctx,
    *,
    attempt: Attempt,
    step: Step,
    token: LeaseToken,
    digest: Digest,
) -> ArtifactView:
    """Store a file of a trial one holds the lease of; it replaces what the trial had under this name.

    Sent again, it is stored again, and the answer is the same but for its time.
    """
    ref = LeaseRef(trial_id=trial_id, attempt=attempt, token=token)
    size, sha256 = _declared(request), _sha256(digest)
    await run_in_threadpool(_admit, ctx, ref, name, size)
    upload = await run_in_threadpool(artifacts.Upload, ctx.store, size=size, digest=sha256)
    try:
        await _receive(request, upload)
        await run_in_threadpool(upload.finish)
    except Exception:
        await run_in_threadpool(upload.discard)
        raise
    return await run_in_threadpool(_store, ctx, ref, name, upload, step)


@router.get("/trials/{trial_id}/artifacts", dependencies=[READ])
def list_artifacts(trial_id: Id, ctx: Ctx) -> Page[ArtifactView]:
    """What a trial has, by name."""
    with ctx.database.read() as session:
        return Page(items=artifacts.listing(session, trial_id), next=None)


@router.get(
    "/trials/{trial_id}/artifacts/{name}",
    dependencies=[READ],
    response_class=StreamingResponse,
    responses=FILE | {304: {"description": "The reader has it already"}},
)
def get_artifact(
    trial_id: Id, name: Name, ctx: Ctx, known: Annotated[str, Header(alias="If-None-Match", max_length=1_000)] = ""
) -> Response:
    """Fetch a file as it was sent."""
    return _file(ctx, trial_id, name, known)


@router.get(
    "/leases/{trial_id}/artifacts/{name}", dependencies=[WORK], response_class=StreamingResponse, responses=FILE
)
def get_leased_artifact(trial_id: Id, name: Name, ctx: Ctx, attempt: Attempt, token: LeaseToken) -> Response:
    """Fetch a file of a trial one holds the lease of, such as the checkpoint to resume from."""
    with ctx.database.read() as session:
        artifacts.check_lease(session, LeaseRef(trial_id=trial_id, attempt=attempt, token=token))
    return _file(ctx, trial_id, name)


def _file(ctx: Context, trial_id: int, name: str, known: str = "") -> Response:
    for _ in range(3):  # it may be superseded, and its file removed, between the row and the read
        with ctx.database.read() as session:
            row = artifacts.find(session, trial_id, name)
        headers = _headers(row)
        if headers["ETag"] in {item.strip().removeprefix("W/") for item in known.split(",")}:
            return Response(status_code=304, headers={"ETag": headers["ETag"]})
        with suppress(FileNotFoundError):
            return StreamingResponse(ctx.store.read(row.key), headers=headers, media_type="application/octet-stream")
    raise NotFound(f"the file of artifact {name!r} of trial {trial_id} is not where the service keeps its artifacts")


def _headers(found: Artifact) -> dict[str, str]:
    return {
        "Content-Length": str(found.size),
        "Content-Disposition": f'attachment; filename="trial-{found.trial_id}-{found.name}"',
        "X-Content-Type-Options": "nosniff",
        "ETag": f'"{found.sha256}"',
        DIGEST_HEADER: digest_header(found.sha256),
    }


def _sha256(header: str) -> str:
    found = read_digest(header)
    if found is None:
        broken = FieldError(field=DIGEST_HEADER, rule="must be sha-256=:BASE64: (RFC 9530)", value=header[:200])
        raise InvalidRequest(f"{broken.field}: {broken.rule}, got {header[:200]!r}", [broken])
    return found


async def _receive(request: Request, upload: artifacts.Upload) -> None:
    """Hash and write in chunks of 1 MiB off the event loop."""
    buffer = bytearray()
    try:
        async for data in request.stream():
            buffer += data
            if len(buffer) >= CHUNK:
                await run_in_threadpool(upload.write, bytes(buffer))
                buffer.clear()
    except ClientDisconnect as error:
        raise InvalidRequest("the body ended before its Content-Length") from error
    await run_in_threadpool(upload.write, bytes(buffer))


def _declared(request: Request) -> int:
    length = request.headers.get("content-length", "")
    if not (length.isascii() and length.isdigit()):
        raise HTTPException(411, "say the size of the body in Content-Length; it cannot be sent in chunks")
    return int(length)


def _admit(ctx: Context, ref: LeaseRef, name: str, size: int) -> None:
    with ctx.database.read() as session:
        artifacts.admit(session, ref, name, size=size, settings=ctx.settings)


def _store(ctx: Context, ref: LeaseRef, name: str, upload: artifacts.Upload, step: int) -> ArtifactView:
    """The row, in the transaction of the fence.

    A refusal proves that there is none, and the file goes. Any other error may have come after the commit: the file
    stays, and the sweep removes it if there is no row after all.
    """
    try:
        with ctx.database.write() as session:
            artifacts.admit(session, ref, name, size=upload.size, settings=ctx.settings)
            now = ctx.database.now(session)
            expires = now + timedelta(seconds=ctx.settings.lease_ttl_s)
            stored, superseded = artifacts.record(session, ref, name, upload, step=step, now=now, expires=expires)
    except (LeaseLost, TooLarge, QuotaExceeded):
        upload.discard()
        raise
    if superseded is not None:
        ctx.store.delete(superseded)
    return stored
