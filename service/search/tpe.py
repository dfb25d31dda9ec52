"""Tree-structured Parzen estimator over a conditional space, by Optuna's sampler rebuilt from the history at each call.

What all families have in common (usually the rate and the optimizer's numbers) is drawn together with the family from
one joint model of all trials; what only the drawn family has, from a joint model of its own trials.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from contract.base import Scalar
from contract.search import Tpe
from contract.trials import Origin
from service.search import quasi
from service.search.domains import Dimension, Options
from service.search.space import BoundSpace, Branch
from service.search.strategy import Observation, Params, Proposal, SpaceError

optuna.logging.set_verbosity(optuna.logging.WARNING)  # it announces every study, and we build two per proposal

FAMILY = "schedule family"
"""The name of the family in the joint model; the space inside keeps it apart from every parameter."""
ENOUGH = 2
"""Finished trials the joint model needs."""
RETRIES = 8
"""How often a configuration that was tried already is drawn again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TpeSearch:
    """The strategy; all trials train from the study's seed, so that only the configuration differs."""

    space: BoundSpace
    trials: int
    startup: int
    seed: int
    shared: tuple[Dimension, ...] = field(init=False)

    def __post_init__(self) -> None:
        if self.startup > self.trials:
            raise SpaceError("search.startup", f"need startup <= trials = {self.trials}", self.startup)
        first: dict[str, str] = {}
        for branch in self.space.branches:
            if branch.family in first:
                rule = f"tpe models a family once, and {first[branch.family]} is the same: merge their domains"
                raise SpaceError(branch.place, rule, branch.family)
            first[branch.family] = branch.place
        object.__setattr__(self, "shared", _shared(self.space.branches))

    @property
    def planned(self) -> int:
        return self.trials

    @property
    def learns(self) -> bool:
        return True

    def ahead(self, slots: int) -> int:
        return max(1, slots)  # what waits longer in the queue was proposed knowing less

    def propose(self, history: Sequence[Observation], first: int, count: int) -> list[Proposal]:
        known = sorted((item for item in history if not _failed(item)), key=lambda item: item.number)
        proposals = []
        for number in range(first, min(first + count, self.trials)):
            proposal = self._propose(known, number)
            known.append(_pending(proposal))
            proposals.append(proposal)
        return proposals

    def fallback(self, number: int) -> Proposal | None:
        if number >= self.trials:
            return None
        branch, params = quasi.point(self.space, self.seed, number)
        origin: Origin = "startup" if number < self.startup else "quasi-random"
        return self.space.proposal(branch, params, number=number, origin=origin, seed=self.seed)

    def _propose(self, known: Sequence[Observation], number: int) -> Proposal:
        origin: Origin
        if number < self.startup or sum(item.loss is not None for item in known) < ENOUGH:
            origin, (branch, params) = "startup", quasi.point(self.space, self.seed, number)
        else:
            origin, (branch, params) = "tpe", self._suggest(known, number)
        repeats = sum(_same(item, branch, params) for item in known)  # a replicate tells more than a repeat
        seed = (self.seed + repeats) % 2**31
        return self.space.proposal(branch, params, number=number, origin=origin, seed=seed)

    def _suggest(self, known: Sequence[Observation], number: int) -> tuple[Branch, dict[str, Scalar]]:
        rng = np.random.default_rng(np.random.SeedSequence((self.seed, number, quasi.SUGGESTIONS)))
        joint = _Model(self._joint(), [(self._coordinates(item), item) for item in known], rng)
        for _ in range(RETRIES):
            drawn = joint.draw()
            branch = self.space.branches[int(drawn.get(FAMILY, 0))]
            common = {item.name: _outward(item, drawn[item.name]) for item in self.shared}
            params = {**branch.fixed, **common, **self._own(branch, known, rng)}
            if not any(_same(item, branch, params) for item in known):
                break
        return branch, {item.name: params[item.name] for item in branch.dimensions}

    def _own(self, branch: Branch, known: Sequence[Observation], rng: np.random.Generator) -> dict[str, Scalar]:
        names = {item.name for item in self.shared}
        own = [item for item in branch.searched if item.name not in names]
        mine = [item for item in known if item.family == branch.family]
        rows = [({item.name: _inward(item, row.params[item.name]) for item in own}, row) for row in mine]
        drawn = _Model({item.name: _distribution(item) for item in own}, rows, rng).draw()
        return {item.name: _outward(item, drawn[item.name]) for item in own}

    def _joint(self) -> dict[str, BaseDistribution]:
        found = {item.name: _distribution(item) for item in self.shared}
        if len(self.space.branches) > 1:
            found[FAMILY] = CategoricalDistribution(range(len(self.space.branches)))
        return found

    def _coordinates(self, row: Observation) -> dict[str, Scalar]:
        found = {item.name: _inward(item, row.params[item.name]) for item in self.shared}
        if len(self.space.branches) > 1:
            found[FAMILY] = next(branch.index for branch in self.space.branches if branch.family == row.family)
        return found


class _Model:
    """Optuna's multivariate TPE over some dimensions, told of trials; what runs pushes new points away from itself."""

    def __init__(
        self,
        distributions: Mapping[str, BaseDistribution],
        rows: Sequence[tuple[Mapping[str, Scalar], Observation]],
        rng: np.random.Generator,
    ) -> None:
        self._distributions = dict(distributions)
        sampler = TPESampler(multivariate=True, n_startup_trials=1, seed=int(rng.integers(2**31)))
        self._study = optuna.create_study(sampler=sampler)
        self._study.add_trials([self._trial(params, row.loss) for params, row in rows] if distributions else [])

    def draw(self) -> dict[str, Scalar]:
        return self._study.ask(self._distributions).params if self._distributions else {}

    def _trial(self, params: Mapping[str, Scalar], loss: float | None) -> FrozenTrial:
        """A diverged trial's loss is infinite: TPE looks at ranks only, and it ranks last by whatever margin."""
        state = TrialState.RUNNING if loss is None else TrialState.COMPLETE
        return create_trial(params=dict(params), distributions=self._distributions, value=loss, state=state)


def bound(search: Tpe, space: BoundSpace, *, seed: int) -> TpeSearch:
    """The strategy of a study; by default two points a family and at least ten start it, but at most half of all."""
    usual = min(max(10, 2 * len(space.branches)), max(1, search.trials // 2))
    return TpeSearch(space=space, trials=search.trials, startup=search.startup or usual, seed=seed)


def _shared(branches: Sequence[Branch]) -> tuple[Dimension, ...]:
    """The dimensions that every family searches over the same domain."""
    return tuple(
        item
        for item in branches[0].searched
        if all(any(item.name == other.name and item.domain == other.domain for other in b.searched) for b in branches)
    )


def _pending(proposal: Proposal) -> Observation:
    return Observation(number=proposal.number, family=proposal.family, params=proposal.params, loss=None, over=False)


def _failed(observation: Observation) -> bool:
    return observation.loss is None and observation.over


def _same(observation: Observation, branch: Branch, params: Params) -> bool:
    return observation.family == branch.family and observation.params == params


def _distribution(dimension: Dimension) -> BaseDistribution:
    domain = dimension.domain
    if isinstance(domain, Options):  # by position: Optuna would take 1 and true for the same choice
        return CategoricalDistribution(range(len(domain.values)))
    if domain.integer:
        return IntDistribution(int(domain.low), int(domain.high), log=domain.log)
    return FloatDistribution(domain.low, domain.high, log=domain.log)


def _inward(dimension: Dimension, value: Scalar) -> Scalar:
    return dimension.domain.position(value) if isinstance(dimension.domain, Options) else value


def _outward(dimension: Dimension, drawn: Scalar) -> Scalar:
    return dimension.domain.values[int(drawn)] if isinstance(dimension.domain, Options) else drawn
