"""The whole state of a job in training as plain values: all that a bit-equal continuation needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeAlias

import torch
from torch import Tensor

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


class UnfitError(ValueError):
    """A snapshot from which this job cannot be continued; the message says why."""


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """A job after `step` updates, in main memory.

    `engine` and `version` name what wrote it, and alone can read it; `job` is the fingerprint of the job, `device` the
    kind of device, whose random numbers and rounding are its own.
    """

    engine: str
    version: int
    job: str
    device: str
    step: int
    tensors: Mapping[str, Tensor]
    counters: Mapping[str, Json]

    def check(self, *, engine: str, version: int, job: str, device: torch.device) -> None:
        """Raises UnfitError when somebody else wrote it."""
        pairs: list[tuple[str, object, object]] = [
            ("the engine", self.engine, engine),
            ("the engine's version", self.version, version),
            ("the job", self.job, job),
            ("the device", self.device, device.type),
        ]
        for what, written, here in pairs:
            if written != here:
                raise UnfitError(f"{what} was {written}, and here is {here}")

    def number(self, name: str) -> float:
        """The counter of this name."""
        value = self.counters.get(name)
        if not isinstance(value, int | float):
            raise UnfitError(f"its counter {name} should be a number, got {value!r}")
        return value

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors called `name.*`, by what follows; copies, since a file's tensors may lie anywhere in memory."""
        start = f"{name}."
        return {key.removeprefix(start): value.clone() for key, value in self.tensors.items() if key.startswith(start)}


def kept(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies in main memory, called `name.*`; see `Snapshot.part`."""
    return {f"{name}.{key}": tensor.detach().to("cpu", copy=True) for key, tensor in tensors.items()}


@torch.no_grad()
def put_back(saved: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> None:
    """Copy saved values over the targets of the same names. Raises UnfitError unless names, shapes and types agree."""
    if saved.keys() != targets.keys():
        odd = ", ".join(sorted(saved.keys() ^ targets.keys())[:3])
        raise UnfitError(f"it holds other tensors than the model has: {odd}")
    for name, target in targets.items():
        value = saved[name]
        if (value.shape, value.dtype) != (target.shape, target.dtype):
            was, here = (f"{list(one.shape)} of {one.dtype}" for one in (value, target))
            raise UnfitError(f"{name} was {was}, and here is {here}")
        target.copy_(value)


def fingerprint(tensors: Iterable[Tensor]) -> str:
    """Equal for tensors of the same types, shapes and bits, in every process."""
    digest = sha256()
    for tensor in tensors:
        here = tensor.detach().cpu().contiguous()
        digest.update(repr((here.dtype, tuple(here.shape))).encode())
        digest.update(here.view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
