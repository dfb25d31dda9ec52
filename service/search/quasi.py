"""Quasi-random points over the conditional space: a pure function of (space, seed, number)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from contract.base import Scalar
from service.search.space import BoundSpace, Branch

BLOCK = 64
POINTS, SUGGESTIONS = 1, 2
"""Apart, so that the streams of random numbers derived from one study's seed are."""


def point(space: BoundSpace, seed: int, number: int) -> tuple[Branch, dict[str, Scalar]]:
    """Families take turns, `number` counting them all; each walks its own scrambled Sobol sequence."""
    turn, index = divmod(number, len(space.branches))
    branch = space.branches[index]
    params = {item.name: item.domain.at(0.0) for item in branch.dimensions}
    if branch.searched:
        block, place = divmod(turn, BLOCK)
        drawn = _block(len(branch.searched), seed, index, block)[place]
        params |= {item.name: item.domain.at(float(u)) for item, u in zip(branch.searched, drawn, strict=True)}
    return branch, params


@lru_cache(maxsize=256)
def _block(dimensions: int, seed: int, family: int, number: int) -> NDArray[np.float64]:
    """Points of a sequence; scrambling it costs a hundred times what a point does, and a claim may wait for one."""
    from scipy.stats import qmc  # half of the time a service needs to start

    rng = np.random.default_rng(np.random.SeedSequence((seed, family, POINTS)))
    sequence = qmc.Sobol(dimensions, scramble=True, rng=rng)
    if number:  # scipy's fast_forward(0) overflows
        sequence.fast_forward(number * BLOCK)
    points: NDArray[np.float64] = sequence.random(BLOCK)
    return points
