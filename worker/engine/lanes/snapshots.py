"""Snapshots of a job that is trained as a lane: its column and its tally, to go on in a lane of any such array."""

from __future__ import annotations

import torch
from torch import Tensor

from worker.engine.lanes.array import Array, Column
from worker.engine.lanes.row import Member, Tally
from worker.engine.snapshot import Json, Snapshot, UnfitError, kept, put_back

ENGINE, VERSION = "lanes", 1
"""The tree writes the same: what a job shared does not show in its state."""


def snapshot(member: Member, step: int, column: Column, device: torch.device) -> Snapshot:
    """The member after `step` updates; `column` is its row's."""
    values: dict[str, Json] = dict(member.tally.values)
    return Snapshot(
        engine=ENGINE,
        version=VERSION,
        job=member.job.fingerprint,
        device=device.type,
        step=step,
        tensors={**kept("column", _named(column)), "tally": _sums(member.tally)},
        counters={"values": values},
    )


def resumed(member: Member, array: Array) -> Column:
    """The state after the updates of the job's snapshot, of which the member then knows. Raises UnfitError."""
    saved, horizon = member.job.resume, member.horizon
    assert saved is not None
    saved.check(engine=ENGINE, version=VERSION, job=member.job.fingerprint, device=array.device)
    if not 0 < saved.step < horizon.total_steps:
        raise UnfitError(f"it was taken after {saved.step} of {horizon.total_steps} updates")
    column = [tensor.clone() for tensor in array.fresh(member)]
    put_back(saved.part("column"), _named(column))
    sums = _sums(Tally())
    put_back({name: value for name, value in saved.tensors.items() if name == "tally"}, {"tally": sums})
    member.tally = _tally(sums, saved.counters.get("values"))
    member.stop, member.saved = horizon.stop_after(saved.step), saved.step
    return column


def _named(column: Column) -> dict[str, Tensor]:
    return {str(place): tensor for place, tensor in enumerate(column)}


def _sums(tally: Tally) -> Tensor:
    sums = [tally.first, tally.total, tally.count, tally.epoch_total, tally.epoch_count]
    return torch.tensor(sums, dtype=torch.float64)


def _tally(sums: Tensor, values: Json) -> Tally:
    if not isinstance(values, dict):
        raise UnfitError(f"its last values should be numbers by name, got {values!r}")
    first, total, count, epoch_total, epoch_count = sums.tolist()
    return Tally(
        first=first,
        total=total,
        count=int(count),
        epoch_total=epoch_total,
        epoch_count=int(epoch_count),
        values={name: float(value) for name, value in values.items() if isinstance(value, int | float)},
    )
