"""Quasi-random points over the conditional space: a pure function of (space, seed, number)."""

from __future__ import annotations

import numpy as np

from contract.base import Scalar
from service.search.space import BoundSpace, Branch

POINTS, SUGGESTIONS = 1, 2
"""Apart, so that the streams of random numbers derived from one study's seed are."""


def point(space: BoundSpace, seed: int, number: int) -> tuple[Branch, dict[str, Scalar]]:
    """Families take turns, `number` counting them all; each walks its own scrambled Sobol sequence."""
    turn, index = divmod(number, len(space.branches))
    branch = space.branches[index]
    params = {item.name: item.domain.at(0.0) for item in branch.dimensions}
    if branch.searched:
        from scipy.stats import qmc  # half of the time a service needs to start

        rng = np.random.default_rng(np.random.SeedSequence((seed, index, POINTS)))
        sequence = qmc.Sobol(len(branch.searched), scramble=True, rng=rng)
        if turn:  # scipy's fast_forward(0) overflows
            sequence.fast_forward(turn)
        drawn = sequence.random(1)[0]
        params |= {item.name: item.domain.at(float(u)) for item, u in zip(branch.searched, drawn, strict=True)}
    return branch, params
