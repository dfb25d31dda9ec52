"""The optimizers of `torch.optim` that a trial can name, how a schedule sets rate and momentum, and what they keep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from worker.engine import depth
from worker.engine.job import OptimizerNumbers
from worker.engine.snapshot import UnfitError

FACTOR = "layer_factor"
"""Of a parameter group: its rate over that of the last layer."""


def groups(numbers: OptimizerNumbers, model: nn.Module) -> list[dict[str, object]]:
    """The model's parameters, those of one factor together."""
    if numbers.layer_decay == 1:
        return [{"params": list(model.parameters())}]
    together: dict[float, list[Tensor]] = {}
    for parameter, factor in depth.factors(model, numbers.layer_decay).items():
        together.setdefault(factor, []).append(parameter)
    return [{"params": parameters, FACTOR: factor} for factor, parameters in together.items()]


def build(
    numbers: OptimizerNumbers, parameters: Iterable[dict[str, object]], *, lr: float, momentum: float
) -> Optimizer:
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


def state(optimizer: Optimizer) -> dict[str, Tensor]:
    """What it remembers, called `<number of the parameter>.<name>`."""
    found: dict[str, Tensor] = {}
    for number, remembered in optimizer.state_dict()["state"].items():
        for name, value in remembered.items():
            if not isinstance(value, Tensor):
                raise TypeError(f"optimizer: its state must be tensors to be kept, got {type(value).__name__} {name!r}")
            found[f"{number}.{name}"] = value
    return found


def restore(optimizer: Optimizer, saved: Mapping[str, Tensor]) -> None:
    """Continue from a `state`. Raises UnfitError when it is not one of these parameters."""
    here = optimizer.state_dict()["param_groups"]
    parameters = {str(number): one for number, one in enumerate(p for g in optimizer.param_groups for p in g["params"])}
    remembered: dict[int, dict[str, Tensor]] = {}
    for key, value in saved.items():
        number, _, name = key.partition(".")
        if number not in parameters or (value.dim() and value.shape != parameters[number].shape):
            raise UnfitError(f"the optimizer's {key} has the shape {list(value.shape)}, unlike its parameter here")
        remembered.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({"state": remembered, "param_groups": here})


def set_lr(optimizer: Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get(FACTOR, 1.0)


def set_momentum(optimizer: Optimizer, momentum: float) -> None:
    """Sets `momentum`, or for Adam and AdamW beta1."""
    for group in optimizer.param_groups:
        if "betas" in group:
            group["betas"] = (momentum, group["betas"][1])
        else:
            group["momentum"] = momentum
