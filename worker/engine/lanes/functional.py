"""Any `nn.Module` as a batched model, by `torch.func`: its own forward, run once over the stacked parameters."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.func import functional_call

from worker.engine.dropout import Dropout, draw
from worker.engine.lanes.flow import Flow, Layout, State
from worker.engine.lanes.stack import UnsuitedError, Weights


@dataclass(frozen=True, slots=True)
class Functional:
    """See `Stack`. What it cannot run raises as torch does: a branch on values, random numbers, an in-place write."""

    module: nn.Module = field(compare=False, repr=False)
    dropouts: tuple[Dropout, ...] = field(compare=False, repr=False)
    printed: str
    names: tuple[str, ...]
    parameters: tuple[torch.Size, ...]
    buffers: tuple[torch.Size, ...]

    def __call__(self, inputs: Flow, state: State) -> Tensor:
        if self.module.training is not state.training:
            self.module.train(state.training)

        def one(parameters: list[Tensor], buffers: list[Tensor], value: Tensor, lane: Tensor) -> Tensor:
            draw(self.dropouts, state.draws, lane)
            outputs = functional_call(self.module, dict(zip(self.names, [*parameters, *buffers], strict=True)), value)
            if not isinstance(outputs, Tensor):
                raise UnsuitedError(f"its outputs are a {type(outputs).__name__}, not a tensor")
            return outputs

        dims = (0, 0, None if inputs.layout is Layout.SHARED else 0, 0)
        lanes = torch.arange(state.lanes, device=inputs.value.device)
        # The only random numbers are masks drawn for all lanes by generators of their own; admission saw no others.
        outputs: Tensor = torch.vmap(one, in_dims=dims, randomness="same")(
            list(state.parameters), list(state.buffers), inputs.value, lanes
        )
        draw(self.dropouts, state.draws)  # so that nothing of vmap's stays behind in the module
        return outputs


def convert(model: nn.Module) -> tuple[Functional, Weights]:
    """`model` as a batched model, and its weights as one lane; frozen parameters are among the buffers."""
    trained = {name: given for name, given in model.named_parameters() if given.requires_grad}
    held: dict[str, Tensor] = {name: given for name, given in model.named_parameters() if not given.requires_grad}
    held |= dict(model.named_buffers())
    weights = Weights(
        tuple(given.detach() for given in trained.values()),
        tuple(given.detach() for given in held.values()),
        tuple(trained.values()),
    )
    stack = Functional(
        model,
        tuple(module for module in model.modules() if isinstance(module, Dropout)),
        repr(model),
        (*trained, *held),
        tuple(tensor.shape for tensor in weights.parameters),
        tuple(tensor.shape for tensor in weights.buffers),
    )
    return stack, weights
