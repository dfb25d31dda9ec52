"""Sends and fetches the files of trials, piece by piece, each checked against its SHA-256."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from hashlib import file_digest, sha256
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import httpx2

from client.errors import ServiceUnavailable
from client.http import API, Transport
from contract.artifacts import DIGEST_HEADER, LEASE_HEADER, ArtifactView, digest_header
from contract.leases import LeaseRef

CHUNK = 1_048_576


def put(http: Transport, lease: LeaseRef, name: str, source: Path | bytes, *, step: int) -> ArtifactView:
    """Read twice: once for the digest, which goes first, and once to send."""
    with BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        headers = {
            LEASE_HEADER: lease.token,
            DIGEST_HEADER: digest_header(digest),
            "Content-Length": str(size),
            "Content-Type": "application/octet-stream",
        }
        path = f"{API}/trials/{lease.trial_id}/artifacts/{name}"
        return http.put(path, ArtifactView, _pieces(file), headers, attempt=lease.attempt, step=step)


def get(http: Transport, wanted: ArtifactView, to: Path, *, lease: LeaseRef | None = None) -> None:
    """Write beside `to`, check, rename. Another file under the name by now, or half of one: ServiceUnavailable.

    With a lease it is asked for by the trial's worker, who may read its own trials only.
    """
    part = to.with_name(f"{to.name}.part")
    digest = sha256()
    try:
        with _asked(http, wanted, lease) as response, part.open("wb") as file:
            for data in response.iter_bytes(CHUNK):
                digest.update(data)
                file.write(data)
        if digest.hexdigest() != wanted.sha256:
            raise ServiceUnavailable(
                f"artifact {wanted.name!r} of trial {wanted.trial_id} came with SHA-256 {digest.hexdigest()}, "
                f"not {wanted.sha256}: it has been replaced, or was cut off"
            )
        part.rename(to)
    finally:
        part.unlink(missing_ok=True)


def _asked(http: Transport, wanted: ArtifactView, lease: LeaseRef | None) -> AbstractContextManager[httpx2.Response]:
    if lease is None:
        return http.stream(f"{API}/trials/{wanted.trial_id}/artifacts/{wanted.name}")
    path = f"{API}/leases/{wanted.trial_id}/artifacts/{wanted.name}"
    return http.stream(path, {LEASE_HEADER: lease.token}, attempt=lease.attempt)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while data := file.read(CHUNK):
        yield data
