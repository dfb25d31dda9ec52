"""Artifacts: files a trial leaves behind, sent and fetched as raw streams.

`PUT /api/v1/trials/{trial_id}/artifacts/{name}?attempt=N&step=S` carries the file as its body, the lease's token in
`Switchback-Lease` and the body's SHA-256 in `Repr-Digest` (RFC 9530). One file is kept of each name: the newest of the
last attempt that sent one.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import datetime
from typing import Annotated, TypeAlias

from pydantic import Field

from contract.base import View

CHECKPOINT = "checkpoint"
"""The artifact that the trial's next attempt resumes from; it is dropped once the trial has ended."""

LEASE_HEADER = "Switchback-Lease"
DIGEST_HEADER = "Repr-Digest"

ArtifactName: TypeAlias = Annotated[str, Field(pattern=r"^[a-z0-9_-][a-z0-9._-]{0,63}$")]
"""Never a path: no slash, no leading dot."""

_DIGEST = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/]{43}=):\s*(?:,|$)")


class ArtifactView(View):
    """A stored file: what attempt `attempt` sent as of `step` updates; `sha256` is hexadecimal, `size` in bytes."""

    name: str
    trial_id: int
    attempt: int
    step: int
    size: int
    sha256: str
    created_at: datetime


def digest_header(sha256: str) -> str:
    """The value of `Repr-Digest` for a hexadecimal SHA-256."""
    return f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode()}:"


def read_digest(header: str) -> str | None:
    """The hexadecimal SHA-256 that a `Repr-Digest` names; None where it names none."""
    found = _DIGEST.search(header)
    if found is None:
        return None
    try:
        return base64.b64decode(found[1], validate=True).hex()
    except binascii.Error:
        return None
