"""Gradients that are written out, beside those that autograd records."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from worker.engine import dropout
from worker.engine.dropout import NO_DRAWS, Draws
from worker.engine.lanes.convert import convert
from worker.engine.lanes.criterion import CrossEntropy
from worker.engine.lanes.flow import State, own, shared
from worker.engine.lanes.gradients import Autograd, Chain, chain, gradients

LANES, EXAMPLES = 3, 40
CLOSE = {"rtol": 1e-11, "atol": 1e-14}

CHAINS: dict[str, Callable[[], nn.Module]] = {
    "one hidden layer": lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 7), nn.ReLU(), nn.Linear(7, 5)),
    "no bias": lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 7, bias=False), nn.Tanh(), nn.Linear(7, 5)),
    "dropout": lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 9), nn.SiLU(), nn.Dropout(0.4), nn.Linear(9, 5)),
    "two in a row": lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 6), nn.Tanh(), nn.ReLU(), nn.Linear(6, 5)),
    "softmax regression": lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 5)),
}

OTHERS: dict[str, Callable[[], nn.Module]] = {
    "normalisation": lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 7), nn.BatchNorm1d(7), nn.Linear(7, 5)),
    "what comes in is changed first": lambda: nn.Sequential(nn.Flatten(), nn.ReLU(), nn.Linear(12, 5)),
    "a convolution": lambda: nn.Sequential(nn.Conv2d(1, 2, 2), nn.Flatten(), nn.Linear(12, 5)),
}


def lanes(make: Callable[[], nn.Module]) -> tuple[Autograd, list[Tensor]]:
    """A batched model with label smoothing, and the parameters of three lanes of it."""
    torch.manual_seed(1)
    models = [make().double() for _ in range(LANES)]
    for model in models:
        dropout.install(model)
    stack, weights = convert(models[0])[0], [convert(model)[1].parameters for model in models]
    return Autograd(stack, CrossEntropy(0.1, EXAMPLES)), [torch.stack(slot) for slot in zip(*weights, strict=True)]


@pytest.mark.parametrize("one_batch", [True, False])
@pytest.mark.parametrize("make", CHAINS.values(), ids=list(CHAINS))
def test_a_chain_finds_what_autograd_finds(make: Callable[[], nn.Module], one_batch: bool) -> None:
    recorded, parameters = lanes(make)
    written = chain(recorded.stack, recorded.criterion)
    assert isinstance(written, Chain)
    leaves = [parameter.requires_grad_() for parameter in parameters]
    images = torch.rand(EXAMPLES, 3, 4).double() if one_batch else torch.rand(LANES, EXAMPLES, 3, 4).double()
    targets, inputs = torch.randint(0, 5, images.shape[:-2]), shared(images) if one_batch else own(images)
    for places in ([(3, 8)] * LANES, [(3, 8), (4, 8), (3, 9)]):
        evaluated = State(leaves, [], LANES, training=False, draws=NO_DRAWS)
        torch.testing.assert_close(written.outputs(inputs, evaluated), recorded.outputs(inputs, evaluated), **CLOSE)
        expected, found = (
            one(inputs, targets, State(leaves, [], LANES, training=True, draws=Draws(places)))
            for one in (recorded, written)
        )
        torch.testing.assert_close(found.losses, expected.losses, **CLOSE)
        torch.testing.assert_close(list(found.gradients), list(expected.gradients), **CLOSE)


@pytest.mark.parametrize("make", OTHERS.values(), ids=list(OTHERS))
def test_what_is_no_chain_is_recorded(make: Callable[[], nn.Module]) -> None:
    recorded, _ = lanes(make)
    assert gradients(recorded.stack, recorded.criterion, EXAMPLES) == recorded


def test_products_of_few_examples_are_left_to_autograd() -> None:
    recorded, _ = lanes(CHAINS["one hidden layer"])
    assert gradients(recorded.stack, recorded.criterion, 16) == recorded
