"""A batched model in the making: which slot holds which tensor of the plain one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from torch import Tensor, nn

from worker.engine.lanes.flow import Layer
from worker.engine.lanes.stack import UnsuitedError


class Draft:
    """Collects the slots while the modules are converted, one after the other, in the order in which they run."""

    def __init__(self, converters: Mapping[type[nn.Module], Converter]) -> None:
        self.parameters: list[Tensor] = []
        self.buffers: list[Tensor] = []
        self.taken: list[Tensor] = []
        self._converters = converters
        self._seen: set[nn.Module] = set()

    def layers(self, module: nn.Module) -> tuple[Layer, ...]:
        """The module as layers. Raises UnsuitedError."""
        if type(module) is nn.Sequential:
            return tuple(layer for child in module for layer in self.layers(child))
        # A subclass may compute anything, so the type must be the very one.
        convert = self._converters.get(type(module))
        if convert is None:
            raise UnsuitedError(f"{type(module).__name__} is no layer that this engine knows")
        if module in self._seen and any(True for _ in module.parameters()):
            raise UnsuitedError(f"a {type(module).__name__} is used more than once")
        self._seen.add(module)
        return convert(module, self)

    def parameter(self, given: Tensor, turned: Callable[[Tensor], Tensor] = lambda tensor: tensor) -> int:
        """The slot of this parameter; `turned` brings it into the orientation that the layer computes with."""
        if not given.requires_grad:
            raise UnsuitedError("a parameter is frozen (requires_grad is False)")
        self.taken.append(given)
        self.parameters.append(turned(given.detach()))
        return len(self.parameters) - 1

    def optional(self, given: Tensor | None) -> int | None:
        return None if given is None else self.parameter(given)

    def buffer(self, tensor: Tensor) -> int:
        self.buffers.append(tensor)
        return len(self.buffers) - 1


Converter: TypeAlias = Callable[..., tuple[Layer, ...]]
"""`convert(module, draft)`: the module as layers that run one after the other."""
