"""What can be done to training images, as values."""

from __future__ import annotations

from dataclasses import dataclass

from schedules import Span

START, LATE = Span(0.0), Span(0.8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resizing:
    """Sides grow from `initial` of their length to all of it between `start` and `end`, in multiples of `multiple`."""

    initial: float = 0.5
    start: Span = START
    end: Span = LATE
    multiple: int = 4

    def __post_init__(self) -> None:
        if not 0 < self.initial < 1:
            raise ValueError(f"initial: need more than 0 and less than 1, got {self.initial}")
        if self.multiple < 1:
            raise ValueError(f"multiple: need at least 1 pixel, got {self.multiple}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """In this order. `crop`: shifted by up to so many pixels each way, the border mirrored. `flip`: left to right, one
    in two. `cutout`: a square of this side, centred anywhere, becomes 0. `resizing`: all sides of a step's images.
    """

    crop: int = 0
    flip: bool = False
    cutout: int = 0
    resizing: Resizing | None = None

    def __post_init__(self) -> None:
        for name, pixels in (("crop", self.crop), ("cutout", self.cutout)):
            if pixels < 0:
                raise ValueError(f"{name}: need at least 0 pixels, got {pixels}")
