"""A trial's own stream of torch's global random numbers, kept apart from everybody else's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor


class RandomStream:
    """Inside `with stream.active():` torch's global generators continue this stream; outside they are as they were."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self._device = device
        self._seed = seed
        self._states: list[Tensor] | None = None

    @property
    def states(self) -> dict[str, Tensor]:
        """Where it stands, once it has been active: by number, that of the CPU first."""
        assert self._states is not None
        return {str(number): state for number, state in enumerate(self._states)}

    @states.setter
    def states(self, states: Mapping[str, Tensor]) -> None:
        self._states = [states[str(number)] for number in range(len(states))]

    @contextmanager
    def active(self) -> Iterator[None]:
        before = _read(self._device)
        if self._states is None:
            _seed(self._device, self._seed)
        else:
            _write(self._device, self._states)
        try:
            yield
        finally:
            self._states = _read(self._device)
            _write(self._device, before)


def _seed(device: torch.device, seed: int) -> None:
    """Generator by generator: torch.manual_seed keeps a traceback for every CUDA device that is not in use yet."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def _read(device: torch.device) -> list[Tensor]:
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    elif device.type == "mps":
        states.append(torch.mps.get_rng_state())
    return states


def _write(device: torch.device, states: list[Tensor]) -> None:
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)
    elif device.type == "mps":
        torch.mps.set_rng_state(states[1])
