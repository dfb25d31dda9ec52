"""Snapshots as files: safetensors, what is no tensor as JSON in the header; equal snapshots are equal bytes."""

from __future__ import annotations

import json

from safetensors import SafetensorError
from safetensors.torch import load, save

from worker.engine import Snapshot, UnfitError

KEY = "switchback"
"""The one entry of the header's metadata: a map of several has no order of its own in the library."""

FIELDS = frozenset({"engine", "version", "job", "device", "step", "counters"})


def encode(snapshot: Snapshot) -> bytes:
    """Raises ValueError for a counter that is no finite number."""
    header = {name: getattr(snapshot, name) for name in FIELDS}
    text = json.dumps(header, sort_keys=True, allow_nan=False)
    return save({name: value.contiguous() for name, value in snapshot.tensors.items()}, {KEY: text})


def decode(content: bytes) -> Snapshot:
    """Runs no code of the file. Raises UnfitError when it is not one of ours."""
    try:
        size = int.from_bytes(content[:8], "little")
        header = json.loads(json.loads(content[8 : 8 + size])["__metadata__"][KEY])
        tensors = load(content)
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise UnfitError(f"the file is not a snapshot: {error}") from error
    if not isinstance(header, dict) or header.keys() != FIELDS:
        raise UnfitError(f"the file's header needs exactly {', '.join(sorted(FIELDS))}")
    return Snapshot(tensors=tensors, **header)
