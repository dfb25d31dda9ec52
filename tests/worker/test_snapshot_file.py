"""Snapshots through bytes."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from worker.engine import Snapshot, UnfitError
from worker.snapshot_file import decode, encode

KINDS = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.uint8, torch.bool)
SNAPSHOT = Snapshot(
    engine="solo",
    version=3,
    job="ab" * 32,
    device="cpu",
    step=10**9,
    tensors={
        **{f"a.{kind}": torch.arange(6).reshape(2, 3).to(kind) for kind in KINDS},
        "scalar": torch.tensor(torch.pi, dtype=torch.float64),
        "empty": torch.zeros(0, 4),
        "turned": torch.arange(6.0).reshape(2, 3).t(),
        "odd": torch.tensor([float("nan"), float("inf"), -0.0]),
    },
    counters={"sum": 0.1 + 0.2, "tiny": 5e-324, "rates": {"changes": [[0, 0.1], [16, 1e-300]], "best": None}},
)


def bits(value: torch.Tensor) -> torch.Tensor:
    return value.contiguous().reshape(-1).view(torch.uint8)


def test_everything_comes_back_bit_for_bit() -> None:
    found = decode(encode(SNAPSHOT))
    assert found.counters == SNAPSHOT.counters
    assert (found.engine, found.version, found.job, found.device, found.step) == ("solo", 3, "ab" * 32, "cpu", 10**9)
    assert found.tensors.keys() == SNAPSHOT.tensors.keys()
    for name, value in SNAPSHOT.tensors.items():
        assert (found.tensors[name].dtype, found.tensors[name].shape) == (value.dtype, value.shape)
        assert torch.equal(bits(found.tensors[name]), bits(value))


def test_equal_snapshots_are_equal_files_whatever_order_they_were_made_in() -> None:
    turned = replace(
        SNAPSHOT,
        tensors=dict(reversed(SNAPSHOT.tensors.items())),
        counters=dict(reversed(SNAPSHOT.counters.items())),
    )
    assert encode(turned) == encode(SNAPSHOT)


def test_a_counter_that_is_no_number_is_not_written() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode(replace(SNAPSHOT, counters={"sum": float("nan")}))


WHOLE = encode(SNAPSHOT)
HEADER = int.from_bytes(WHOLE[:8], "little")


def headed(metadata: object) -> bytes:
    """A safetensors file without tensors and with this metadata."""
    text = json.dumps({"__metadata__": metadata}).encode()
    return len(text).to_bytes(8, "little") + text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x04\x95",
        WHOLE[:4],
        WHOLE[: HEADER // 2],
        WHOLE[:-1],
        WHOLE + b"\0",
        headed({"switchback": "{"}),
        headed({"other": "{}"}),
        headed({"switchback": "[]"}),
        headed({"switchback": '{"engine": "solo"}'}),
    ],
)
def test_what_is_no_whole_snapshot_is_refused(content: bytes) -> None:
    with pytest.raises(UnfitError, match="the file"):
        decode(content)
