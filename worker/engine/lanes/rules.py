"""The optimizers of `torch.optim` for K lanes at once: in place, each lane with its own rate, momentum and decay.

Parameters and gradients are [K, P]: a row is all of a lane's parameters. A step reads a column of numbers, [K, 1] each,
from tables made before training in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from schedules import updates
from schedules.updates import OptimizerNumbers
from worker.engine.plan import Plan

Numbers: TypeAlias = Sequence[Tensor]
Decay: TypeAlias = Tensor | None
Update: TypeAlias = Callable[[Tensor, Tensor, Sequence[Tensor], Numbers, Decay], None]
"""`update(parameters, gradients, moments, numbers, decay)`: changes the first three in place. `numbers` and `decay` are
a row of the table; no decay: no lane's weights decay, which saves a pass over all of them.
"""


class Rule(NamedTuple):
    """How many moments [K, P] an optimizer keeps, and its update; `layerwise`: the last of them is the factor by which
    the rate of each parameter is that of the last layer.
    """

    moments: int
    update: Update
    layerwise: bool = False


def momenta(numbers: OptimizerNumbers, plan: Plan) -> NDArray[np.float64]:
    """Momentum (beta1) of each step, [T]."""
    return updates.momenta(numbers, plan.total_steps, plan.momentum)


def table(numbers: OptimizerNumbers, plan: Plan) -> NDArray[np.float64]:
    """The numbers that a step of one lane reads, [T, n]."""
    return updates.table(numbers, plan.lr, plan.momentum)


def rule(numbers: OptimizerNumbers) -> Rule:
    plain = _plain(numbers)
    return plain if numbers.layer_decay == 1 else Rule(plain.moments + 1, _layerwise(plain, numbers), layerwise=True)


def _layerwise(plain: Rule, given: OptimizerNumbers) -> Update:
    def update(
        parameters: Tensor, gradients: Tensor, moments: Sequence[Tensor], numbers: Numbers, decay: Decay
    ) -> None:
        *own, factors = moments
        rate, *others = numbers
        if decay is not None and given.name == "adamw":  # it is 1 - rate * decay
            decay = (factors * (decay - 1)).add_(1)
        plain.update(parameters, gradients, own, (factors * rate, *others), decay)

    return update


def _plain(numbers: OptimizerNumbers) -> Rule:
    match numbers.name:
        case "sgd":
            return Rule(1, _nesterov if numbers.nesterov else _sgd)
        case "adam" | "adamw":
            return Rule(2, _adam(numbers))
        case "rmsprop":
            return Rule(2, _rmsprop(numbers))


def _sgd(parameters: Tensor, gradients: Tensor, moments: Sequence[Tensor], numbers: Numbers, decay: Decay) -> None:
    rate, momentum = numbers
    (velocity,) = moments
    if decay is not None:
        gradients.addcmul_(parameters, decay)
    torch.addcmul(gradients, velocity, momentum, out=velocity)
    parameters.addcmul_(velocity, rate)


def _nesterov(parameters: Tensor, gradients: Tensor, moments: Sequence[Tensor], numbers: Numbers, decay: Decay) -> None:
    rate, momentum = numbers
    (velocity,) = moments
    if decay is not None:
        gradients.addcmul_(parameters, decay)
    torch.addcmul(gradients, velocity, momentum, out=velocity)
    parameters.addcmul_(gradients.addcmul_(velocity, momentum), rate)


def _adam(given: OptimizerNumbers) -> Update:
    beta2, eps, decoupled = given.beta2, given.eps, given.name == "adamw"

    def update(
        parameters: Tensor, gradients: Tensor, moments: Sequence[Tensor], numbers: Numbers, decay: Decay
    ) -> None:
        rate, weight, scale = numbers
        first, second = moments
        if decay is not None:
            if decoupled:
                parameters.mul_(decay)
            else:
                gradients.addcmul_(parameters, decay)
        first.lerp_(gradients, weight)
        second.mul_(beta2).addcmul_(gradients, gradients, value=1 - beta2)
        torch.sqrt(second, out=gradients)
        gradients.mul_(scale).add_(eps)
        parameters.addcmul_(torch.div(first, gradients, out=gradients), rate)

    return update


def _rmsprop(given: OptimizerNumbers) -> Update:
    alpha, eps = given.alpha, given.eps

    def update(
        parameters: Tensor, gradients: Tensor, moments: Sequence[Tensor], numbers: Numbers, decay: Decay
    ) -> None:
        rate, momentum = numbers
        square, velocity = moments
        if decay is not None:
            gradients.addcmul_(parameters, decay)
        square.mul_(alpha).addcmul_(gradients, gradients, value=1 - alpha)
        gradients.div_(square.sqrt().add_(eps))
        torch.addcmul(gradients, velocity, momentum, out=velocity)
        parameters.addcmul_(velocity, rate)

    return update
