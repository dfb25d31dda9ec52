"""Warmup in front of anything: a length, a start, a ramp made of any profile, and the counting of the first update."""

from __future__ import annotations

import numpy as np

from schedules.piece import Floats, Function
from schedules.profiles import Linear, Profile
from schedules.rules import choice, flag, number, span
from schedules.span import Span
from schedules.tagged import Tagged, part, tagged


@tagged("warmup")
class Warmup(Tagged):
    """Rate / peak = start + (1 - start) f(x) for the first W = `span` updates, f(x) = ramp(1 - x).

    Counting of x: `elapsed` t/W (Transformers, optax, torch; the first update runs at `start`), `next` (t+1)/W
    (schedule-free; the last warmup update runs at the peak), `inside` (t+1)/(W+1) (torchtitan).
    The nine documented conventions are these three with a linear ramp, `elapsed` with start 1/3 (torch LinearLR), and
    the ramps cosine, one_minus_sqrt (Transformers' WSD), saturating, polynomial (init2winit) and exponential.
    What follows counts its own steps from the end of the warmup; with `overlay` it counts from step 0 and the warmup
    hides its beginning (timm's warmup_prefix=False).
    """

    span: Span = span()
    start: float = number(default=0.0, low=0, high=1)
    ramp: Profile = part(Profile, default=Linear())
    counting: str = choice("elapsed", "next", "inside", default="elapsed")
    overlay: bool = flag(default=False)

    def plan(self, length: float) -> Function:
        """f(x) as a function of the step, for a warmup of `length` steps."""
        shift = 0.0 if self.counting == "elapsed" else 1.0
        span = length + 1.0 if self.counting == "inside" else length

        def risen(t: Floats) -> Floats:
            return self.ramp(1.0 - np.minimum((t + shift) / span, 1.0))

        return risen
