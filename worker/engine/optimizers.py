"""The optimizers of `torch.optim` that a trial can name, and how a schedule sets their rate and momentum."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from worker.engine.job import OptimizerNumbers


def build(numbers: OptimizerNumbers, parameters: Iterable[nn.Parameter], *, lr: float, momentum: float) -> Optimizer:
    """`lr` and `momentum` are those of the first update. Raises ValueError for numbers torch refuses."""
    decay = numbers.weight_decay
    betas = (momentum, numbers.beta2)
    match numbers.name:
        case "sgd":
            return SGD(parameters, lr, momentum=momentum, weight_decay=decay, nesterov=numbers.nesterov)
        case "adam":
            return Adam(parameters, lr, betas=betas, eps=numbers.eps, weight_decay=decay)
        case "adamw":
            return AdamW(parameters, lr, betas=betas, eps=numbers.eps, weight_decay=decay)
        case "rmsprop":
            return RMSprop(parameters, lr, alpha=numbers.alpha, eps=numbers.eps, weight_decay=decay, momentum=momentum)


def set_lr(optimizer: Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr


def set_momentum(optimizer: Optimizer, momentum: float) -> None:
    """Sets `momentum`, or for Adam and AdamW beta1."""
    for group in optimizer.param_groups:
        if "betas" in group:
            group["betas"] = (momentum, group["betas"][1])
        else:
            group["momentum"] = momentum
