"""A study's trials as they are known, with what an estimator derives from each: kept, and extended as trials come.

Encoding thousands of trials anew for each proposal takes longer than the proposal.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from service.search.strategy import Observation, Params


class History(Sequence[Observation]):
    """Observations in the order of their numbers, the latest of each trial.

    Arrays hold a value for each of them, in that order. What a trial runs never changes; its loss does.
    """

    def __init__(self, observations: Iterable[Observation] = ()) -> None:
        self._forget()
        self.note(observations)

    def _forget(self) -> None:
        self._rows: list[Observation] = []
        self._places: dict[int, int] = {}
        self._losses, self._failed = array("d"), bytearray()
        self._tried: Counter[Hashable] = Counter()
        self._columns: dict[Hashable, array[float]] = {}

    @overload
    def __getitem__(self, index: int) -> Observation: ...
    @overload
    def __getitem__(self, index: slice) -> list[Observation]: ...
    def __getitem__(self, index: int | slice) -> Observation | list[Observation]:
        return self._rows[index]

    def __len__(self) -> int:
        return len(self._rows)

    def copy(self) -> History:
        """Another that goes its own way from here."""
        other = History()
        other._rows, other._places, other._tried = self._rows.copy(), self._places.copy(), self._tried.copy()
        other._losses, other._failed = self._losses[:], self._failed[:]
        other._columns = {key: column[:] for key, column in self._columns.items()}
        return other

    def note(self, observations: Iterable[Observation]) -> None:
        """Trials that are new, and what is new of those that are known."""
        told = sorted(observations, key=_number)
        fresh = (item.number for item in told if item.number not in self._places)
        if self._rows and next(fresh, self._rows[-1].number) < self._rows[-1].number:
            told = list({item.number: item for item in (*self._rows, *told)}.values())
            self._forget()
            told.sort(key=_number)
        for item in told:
            self._note(item)

    def _note(self, item: Observation) -> None:
        loss, failed = np.nan if item.loss is None else item.loss, item.loss is None and item.over
        place = self._places.setdefault(item.number, len(self._rows))
        if place == len(self._rows):
            self._rows.append(item)
            self._losses.append(loss)
            self._failed.append(failed)
        else:
            self._tried[_what(self._rows[place])] -= not self._failed[place]
            self._rows[place], self._losses[place], self._failed[place] = item, loss, failed
        self._tried[_what(item)] += not failed

    @property
    def counts(self) -> NDArray[np.bool_]:
        """Which trials teach something: not those that failed or were cancelled."""
        return ~np.array(self._failed, dtype=np.bool_)

    @property
    def losses(self) -> NDArray[np.float64]:
        """NaN where there is none yet, infinite where the trial diverged."""
        return np.array(self._losses)

    def column(self, key: Hashable, derived: Callable[[Observation], float]) -> NDArray[np.float64]:
        """What is derived from each; remembered under a key that stands for the derivation."""
        column = self._columns.setdefault(key, array("d"))
        column.extend(map(derived, self._rows[len(column) :]))
        return np.array(column)

    def tried(self, family: str, params: Params) -> int:
        """How many trials that teach something ran, or run, just this."""
        return self._tried[family, frozenset(params.items())]


def _number(item: Observation) -> int:
    return item.number


def _what(item: Observation) -> Hashable:
    return item.family, frozenset(item.params.items())
