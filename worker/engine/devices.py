"""Which device to train on."""

from __future__ import annotations

import os
import platform

import torch


def choose(name: str | None = None) -> torch.device:
    """The device `name`, or the best there is: cuda, then mps, then cpu. Raises ValueError when it cannot be used."""
    if name is None:
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        first = str(error).partition("\n")[0]
        raise ValueError(f"device: need one that torch can use here, got {name!r} ({first})") from error
    return device


def cores() -> int:
    """How many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def use_threads(count: int) -> None:
    """Compute with so many threads. Raises ValueError when they would fight over the cores."""
    if count > cores():
        raise ValueError(f"threads: need at most the {cores()} cores that this process may use, got {count}")
    torch.set_num_threads(count)


def describe(device: torch.device) -> str:
    """A name for people: the device and what it is."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        return f"cpu ({platform.machine()})"
    return str(device)
