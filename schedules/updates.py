"""The numbers that each update of a training reads, [T, n]: rate, momentum and weight decay as its optimizer uses them.

One table serves the engine that trains by it and whoever asks which trials have a beginning in common.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerNumbers:
    """An optimizer of `torch.optim` and its numbers; `momentum` is beta1 for Adam and AdamW.

    `layer_decay`: the rate of every layer is this many times that of the one above it.
    """

    name: Literal["sgd", "adam", "adamw", "rmsprop"] = "sgd"
    momentum: float = 0.9
    weight_decay: float = 0.0
    nesterov: bool = False
    beta2: float = 0.999
    alpha: float = 0.99
    eps: float = 1e-8
    layer_decay: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.layer_decay <= 1:
            raise ValueError(f"layer_decay: need more than 0 and at most 1, got {self.layer_decay}")


def kind(numbers: OptimizerNumbers) -> tuple[object, ...]:
    """What the table does not tell of an optimizer."""
    return numbers.name, numbers.nesterov, numbers.beta2, numbers.alpha, numbers.eps, numbers.layer_decay


def momenta(numbers: OptimizerNumbers, steps: int, momentum: Floats | None) -> Floats:
    """Momentum (beta1) of each step, [T]; `momentum` is what the schedule says, None when it leaves it alone."""
    return np.full(steps, float(numbers.momentum)) if momentum is None else momentum


def table(numbers: OptimizerNumbers, lr: Floats, momentum: Floats | None) -> Floats:
    """Of SGD and RMSprop [-lr, momentum, decay]; of Adam [-lr / (1 - beta1^t), 1 - beta1, 1 / sqrt(1 - beta2^t), decay]
    with t = step + 1, where AdamW's decay is the factor 1 - lr decay.
    """
    momentum = momenta(numbers, len(lr), momentum)
    decay = np.full(len(lr), float(numbers.weight_decay))
    if numbers.name in {"sgd", "rmsprop"}:
        return np.stack([-lr, momentum, decay], axis=1)
    done = np.arange(1, len(lr) + 1)
    rate = -lr / (1 - momentum**done)
    scale = np.sqrt(1 - float(numbers.beta2) ** done)
    if numbers.name == "adamw":
        decay = 1 - lr * numbers.weight_decay
    return np.stack([rate, 1 - momentum, 1 / scale, decay], axis=1)
