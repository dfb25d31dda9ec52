"""Tree-structured Parzen estimator (Bergstra et al. 2011; multivariate, Falkner et al. 2018) as array arithmetic.

Trials are split into the best few and the rest; a mixture of truncated normal kernels, one a trial, is laid over each,
and of candidates drawn from the first the one that is likeliest there against the second is taken. The constants are
Optuna's, whose sampler this replaces: it is rebuilt at each proposal, and with 5,000 trials that took a second.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Array: TypeAlias = NDArray[np.float64]

CANDIDATES = 24
BEST = 0.1, 25
"""The share of trials that are the best, and how many of them at most."""
RECENT = 25
"""Trials of full weight; those before weigh less the older they are."""
WIDTH = 0.2
BLOCK = 512
"""Kernels looked at together: what they need stays in the cache, and is too little to be shared out to threads, which
would take the cores from those that train."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """An interval; of whole numbers each has its share of it."""

    low: float
    high: float
    log: bool
    integer: bool

    @property
    def ends(self) -> tuple[float, float]:
        room = 0.5 if self.integer else 0.0
        low, high = self.low - room, self.high + room
        return (math.log(low), math.log(high)) if self.log else (low, high)

    def inward(self, value: float) -> float:
        low, high = self.ends
        return ((math.log(value) if self.log else value) - low) / (high - low)

    def outward(self, unit: float) -> float:
        low, high = self.ends
        value = low + unit * (high - low)
        value = math.exp(value) if self.log else value
        return min(max(round(value) if self.integer else value, self.low), self.high)


@dataclass(frozen=True, slots=True)
class Choices:
    """So many values without an order, known by their positions."""

    count: int

    def inward(self, value: float) -> float:
        return value

    def outward(self, unit: float) -> float:
        return unit


Axis: TypeAlias = Numbers | Choices


def suggest(axes: Sequence[Axis], points: Array, losses: Array, rng: np.random.Generator) -> list[float]:
    """A point of the axes' values; `points` [n, axes] are inward, in the order of trials, `losses` NaN while running.

    What runs counts among the rest: new points keep away from it.
    """
    chosen = np.zeros(losses.size, dtype=bool)
    chosen[_best(losses)] = True
    good, rest = _Mixture(axes, points[chosen]), _Mixture(axes, points[~chosen])
    candidates = good.sample(rng)
    found = candidates[np.argmax(good.log_density(candidates) - rest.log_density(candidates))]
    return [axis.outward(float(unit)) for axis, unit in zip(axes, found, strict=True)]


def _best(losses: Array) -> NDArray[np.intp]:
    """Where the best few are; of equal ones the earlier."""
    done = np.flatnonzero(~np.isnan(losses))
    share, most = BEST
    count = min(math.ceil(share * done.size), most)
    if not count:
        return done
    near = done[
        losses[done] <= np.partition(losses[done], count - 1)[count - 1]
    ]  # sorting all would take ten times as long
    found: NDArray[np.intp] = near[np.argsort(losses[near], kind="stable")[:count]]
    return found


class _Mixture:
    """A kernel a trial, all of one width, and one over everything, so that nothing is ever impossible."""

    def __init__(self, axes: Sequence[Axis], points: Array) -> None:
        trials = len(points)
        self.axes = axes
        self.kernels = trials + 1
        prior = [0.5 if isinstance(axis, Numbers) else -1.0 for axis in axes]
        self.centres = np.vstack([points, np.array([prior])])
        self.weights = np.append(_weights(trials), 1.0)
        self.weights /= self.weights.sum()
        width = WIDTH * max(trials, 1) ** (-1 / (len(axes) + 4))
        self.widths = np.append(np.full(trials, max(width, 1 / min(100, 1 + self.kernels))), 1.0)

    def sample(self, rng: np.random.Generator) -> Array:
        """Candidates [CANDIDATES, axes]."""
        kernels = rng.choice(self.kernels, CANDIDATES, p=self.weights)
        drawn = np.empty((CANDIDATES, len(self.axes)))
        for index, axis in enumerate(self.axes):
            centres, widths = self.centres[kernels, index], self.widths[kernels]
            if isinstance(axis, Choices):
                cumulated = np.cumsum(np.exp(self._log_choices(axis, centres)), axis=1)
                drawn[:, index] = (rng.random((CANDIDATES, 1)) * cumulated[:, -1:] > cumulated).sum(axis=1)
            else:
                low, high = ndtr(-centres / widths), ndtr((1 - centres) / widths)
                inside = centres + widths * ndtri(low + rng.random(CANDIDATES) * (high - low))
                drawn[:, index] = np.clip(inside, 0.0, 1.0)
                if axis.integer:
                    drawn[:, index] = [axis.inward(axis.outward(unit)) for unit in drawn[:, index]]
        return drawn

    def log_density(self, at: Array) -> Array:
        """Of points [n, axes], up to a constant that both mixtures share.

        A kernel's logarithm is a sum over the axes, quadratic in the point: one matrix product gives those of all.
        """
        narrow, constant, square = 1 / self.widths, np.log(self.weights), np.zeros(len(at))
        left, right = [np.ones(len(at)), square], [constant, -0.5 * narrow**2]
        for index, axis in enumerate(self.axes):
            centres, values = self.centres[:, index], at[:, index]
            if isinstance(axis, Choices):
                left.extend(np.eye(axis.count)[values.astype(np.int64)].T)
                right.extend(self._log_choices(axis, centres).T)
            else:
                scaled = centres * narrow
                constant += np.log(narrow / (ndtr(narrow - scaled) - ndtr(-scaled))) - 0.5 * scaled**2
                square += values**2
                left.append(values)
                right.append(scaled * narrow)
        rows, columns = np.column_stack(left), np.vstack(right)
        blocks = [rows @ columns[:, at : at + BLOCK] for at in range(0, self.kernels, BLOCK)]
        return _log_sum(np.column_stack([_log_sum(block) for block in blocks]))

    def _log_choices(self, axis: Choices, centres: Array) -> Array:
        """[centres, choices]: each kernel prefers its own choice, and allows the others."""
        other = 1.0 / (self.kernels + axis.count)
        own = centres[:, None] == np.arange(axis.count)
        logarithms = np.where(own, math.log((self.kernels + 1) * other), math.log(other))
        logarithms[centres < 0] = -math.log(axis.count)
        return logarithms


def _log_sum(found: Array) -> Array:
    """log(sum(exp)) over the last axis, in place."""
    most = found.max(axis=1, keepdims=True)
    np.exp(np.subtract(found, most, out=found), out=found)
    total: Array = np.log(found.sum(axis=1)) + most[:, 0]
    return total


def _weights(trials: int) -> Array:
    if trials < RECENT:
        return np.ones(trials)
    return np.concatenate([np.linspace(1 / trials, 1.0, trials - RECENT), np.ones(RECENT)])
