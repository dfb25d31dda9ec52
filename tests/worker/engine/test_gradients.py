"""Gradients that are written out, beside those that autograd records."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from worker.engine import dropout
from worker.engine.dropout import NO_DRAWS, Draws
from worker.engine.lanes.chain import Chain, chain
from worker.engine.lanes.convert import convert
from worker.engine.lanes.criterion import CrossEntropy
from worker.engine.lanes.flow import State, own, shared
from worker.engine.lanes.gradients import Autograd, gradients
from worker.engine.lanes.sequence import Sequence, sequence
from worker.tasks import transformers
from worker.tasks.classification import Signature

CPU = torch.device("cpu")
LANES, EXAMPLES = 3, 40
IMAGES, TEXT = Signature((1, 8, 8), 10), Signature((12,), 31, "tokens")
CLOSE = {"rtol": 1e-11, "atol": 1e-14}

CHAINS: dict[str, Callable[[], nn.Module]] = {
    "one hidden layer": lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 7), nn.ReLU(), nn.Linear(7, 5)),
    "no bias": lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 7, bias=False), nn.Tanh(), nn.Linear(7, 5)),
    "dropout": lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 9), nn.SiLU(), nn.Dropout(0.4), nn.Linear(9, 5)),
    "two in a row": lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 6), nn.Tanh(), nn.ReLU(), nn.Linear(6, 5)),
    "GELU": lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 9), nn.GELU(), nn.Linear(9, 5)),
    "softmax regression": lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 5)),
}

OTHERS: dict[str, Callable[[], nn.Module]] = {
    "normalisation": lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 7), nn.BatchNorm1d(7), nn.Linear(7, 5)),
    "what comes in is changed first": lambda: nn.Sequential(nn.Flatten(), nn.ReLU(), nn.Linear(12, 5)),
    "dropout over tokens": lambda: nn.Sequential(nn.Embedding(12, 8), nn.Dropout(0.1), nn.Linear(8, 5)),
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


SEQUENCES: dict[str, tuple[Callable[[], nn.Module], Signature]] = {
    "vision transformer": (lambda: transformers.vit_small(IMAGES), IMAGES),
    "decoder": (lambda: transformers.Decoder(TEXT), TEXT),
}


@pytest.mark.parametrize("one_batch", [True, False])
@pytest.mark.parametrize(("make", "signature"), SEQUENCES.values(), ids=list(SEQUENCES))
def test_a_sequence_finds_what_autograd_finds(
    make: Callable[[], nn.Module], signature: Signature, one_batch: bool
) -> None:
    recorded, parameters = lanes(make)
    written = sequence(recorded.stack, recorded.criterion)
    assert isinstance(written, Sequence)
    # Away from what they begin as: scales of one and shifts of nothing hide what is left out.
    leaves = [(parameter + 0.1 * torch.randn_like(parameter)).requires_grad_() for parameter in parameters]
    front = (EXAMPLES,) if one_batch else (LANES, EXAMPLES)
    shape = (*front, *signature.shape)
    text = signature.kind == "tokens"
    values = torch.randint(0, signature.classes, shape) if text else torch.rand(shape).double()
    targets = torch.randint(0, signature.classes, shape if text else front)
    inputs = shared(values) if one_batch else own(values)
    evaluated, state = (State(leaves, [], LANES, training=training, draws=NO_DRAWS) for training in (False, True))
    torch.testing.assert_close(written.outputs(inputs, evaluated), recorded.outputs(inputs, evaluated), **CLOSE)
    expected, found = (one(inputs, targets, state) for one in (recorded, written))
    torch.testing.assert_close(found.losses, expected.losses, **CLOSE)
    torch.testing.assert_close(list(found.gradients), list(expected.gradients), **CLOSE)


def test_a_lane_of_a_sequence_has_the_bits_that_it_has_alone() -> None:
    recorded, parameters = lanes(SEQUENCES["vision transformer"][0])
    written = sequence(recorded.stack, recorded.criterion)
    assert written is not None
    inputs, targets = shared(torch.rand(EXAMPLES, *IMAGES.shape)), torch.randint(0, IMAGES.classes, (EXAMPLES,))
    leaves = [parameter.float() for parameter in parameters]
    together = written(inputs, targets, State(leaves, [], LANES, training=True, draws=NO_DRAWS))
    for lane in range(LANES):
        one = State([leaf[lane : lane + 1] for leaf in leaves], [], 1, training=True, draws=NO_DRAWS)
        alone = written(inputs, targets, one)
        for gradient, other in zip(alone.gradients, together.gradients, strict=True):
            assert torch.equal(gradient[0], other[lane])


def test_a_sequence_is_written_out_on_a_cpu_only() -> None:
    recorded, _ = lanes(SEQUENCES["vision transformer"][0])
    assert gradients(recorded.stack, recorded.criterion, EXAMPLES, torch.device("cuda")) == recorded
    assert isinstance(gradients(recorded.stack, recorded.criterion, EXAMPLES, CPU), Sequence)


@pytest.mark.parametrize("make", OTHERS.values(), ids=list(OTHERS))
def test_what_is_no_chain_is_recorded(make: Callable[[], nn.Module]) -> None:
    recorded, _ = lanes(make)
    assert gradients(recorded.stack, recorded.criterion, EXAMPLES, CPU) == recorded


def test_products_of_few_examples_are_left_to_autograd() -> None:
    recorded, _ = lanes(CHAINS["one hidden layer"])
    assert gradients(recorded.stack, recorded.criterion, 16, CPU) == recorded
