"""How long to wait before asking a service again that is away."""

from __future__ import annotations

import random
from collections.abc import Iterator

FIRST_S = 0.2
LONGEST_S = 10.0


def delays(*, first: float = FIRST_S, longest: float = LONGEST_S) -> Iterator[float]:
    """Seconds, without end: doubling from `first` to `longest`, each jittered down to half so that workers spread."""
    ceiling = first
    while True:
        yield ceiling * random.uniform(0.5, 1.0)  # noqa: S311  # jitter, not a secret
        ceiling = min(2 * ceiling, longest)
