"""Which jobs may be lanes: those whose batched model has been seen to equal the plain one in float64."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from itertools import product
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from worker.engine import dropout
from worker.engine.dropout import Draws, Dropout
from worker.engine.job import Job
from worker.engine.lanes import convert, functional
from worker.engine.lanes.criterion import criterion
from worker.engine.lanes.flow import State, own, shared
from worker.engine.lanes.gradients import Autograd, Gradients, written
from worker.engine.lanes.row import Member, prepare
from worker.engine.lanes.stack import Stack, UnsuitedError, Weights
from worker.engine.randomness import RandomStream
from worker.tasks import Split, Stepping, Task, resident

logger = logging.getLogger(__name__)

TOLERANCE = 1e-9
"""Largest difference, relative to the largest value, that float64 leaves between two orders of summing."""

NOTHING = 1e-3
"""Values so far below the largest of all are what is left of sums that cancel, like the gradient of a shift before a
normalisation; they are compared on that scale.
"""

CPU = torch.device("cpu")
EXAMPLES = 4
SMOOTHING = 0.1

Way: TypeAlias = Callable[[nn.Module], tuple[Stack, Weights]]
WAYS: dict[str, Way] = {"layers": convert.convert, "torch.func": functional.convert}
"""From a plain model to a batched one, the faster first."""


class Admission:
    """Remembers by task what it has found out."""

    def __init__(self, device: torch.device, dtype: torch.dtype | None, ways: Sequence[str] = tuple(WAYS)) -> None:
        self._device, self._dtype, self._ways = device, dtype, ways
        self._found: dict[Task, str | UnsuitedError] = {}

    def admit(self, job: Job) -> Member:
        """The job, prepared. Raises UnsuitedError with the reason, or what the job would raise under solo."""
        if job.resume is not None and job.resume.engine == "solo":
            raise UnsuitedError("solo wrote its checkpoint")
        way = WAYS[self.way(job.task)]
        return prepare(job, resident(job.task, self._device, self._dtype), way)

    def way(self, task: Task) -> str:
        """The name of the way in `WAYS` by which its model is batched; raises UnsuitedError with why there is none."""
        if isinstance(task, Stepping):
            raise UnsuitedError("the task makes its updates itself (step)")
        if task not in self._found:
            self._found[task] = self._tried(task)
        found = self._found[task]
        if isinstance(found, UnsuitedError):
            raise UnsuitedError(*found.args)
        return found

    def _tried(self, task: Task) -> str | UnsuitedError:
        """The first way that gives what the plain model gives, or why there is none."""
        reasons: dict[str, str] = {}
        for name in self._ways:
            try:
                _check(task, WAYS[name])
            except UnsuitedError as reason:
                reasons[name] = str(reason)
            else:
                logger.info("%s is batched by %s%s", task.key, name, _told(reasons, "; not by "))
                return name
        return UnsuitedError(_told(reasons, ""))


def _told(reasons: dict[str, str], before: str) -> str:
    return before + "; ".join(f"{name}: {reason}" for name, reason in reasons.items()) if reasons else ""


class _Case(NamedTuple):
    """What two lanes are shown: batches, and the places that their masks are drawn for."""

    batches: tuple[Split, Split]
    places: tuple[tuple[int, int], tuple[int, int]]
    training: bool


def _check(task: Task, way: Way) -> None:
    """Raises UnsuitedError when the batched model of `task` cannot be made, run, or differs from the plain one."""
    models = [_model(task, seed) for seed in (1, 2)]
    stack = way(models[0])[0]
    if way(models[1])[0] != stack:
        raise UnsuitedError("the model has another shape each time it is made")
    cases = list(_cases(resident(task, CPU, torch.float64).train))
    measure = criterion(task, SMOOTHING, cases[0].batches[0].targets)
    forms = [form for form in (Autograd(stack, measure), written(stack, measure)) if form is not None]
    for case, form in product(cases, forms):
        copies = [deepcopy(model).train(case.training) for model in models]
        lanes = zip(copies, case.batches, case.places, strict=True)
        plain = [_plain(task, model, batch, place, way) for model, batch, place in lanes]
        try:
            batched = _batched(form, [way(model)[1] for model in models], case)
        except Exception as error:  # whatever torch trips over: the plain model has just run
            raise UnsuitedError(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}") from error
        _compare(plain, batched, training=case.training)


def _model(task: Task, seed: int) -> nn.Module:
    with RandomStream(seed, CPU).active():
        model = task.model().double().train()
    dropout.install(model)
    return model


def _cases(train: Split) -> Iterator[_Case]:
    """Lanes at the same place of one seed, which share batch and masks, and others."""
    size = min(EXAMPLES, len(train) // 2)
    one, other = (Split(train.inputs[at : at + size], train.targets[at : at + size]) for at in (0, size))
    for training in (True, False):
        yield _Case((one, one), ((7, 3), (7, 3)), training)
        yield _Case((one, other), ((7, 3), (8, 5)), training)


def _compare(plain: list[list[Tensor]], batched: list[Tensor], *, training: bool) -> None:
    expected = [torch.stack(one).double() for one in zip(*plain, strict=True)]
    sizes = [float(one.abs().max()) for one in expected]
    least = NOTHING * max(sizes)
    for number, (one, size, other) in enumerate(zip(expected, sizes, batched, strict=True)):
        gap = float((one - other).abs().max()) / max(size, least, 1e-30)
        if not gap <= TOLERANCE:
            what = f"buffers and gradients, number {number - 1}," if number else "losses" if training else "outputs"
            raise UnsuitedError(f"the batched model's {what} differ from the plain one's by {gap:.1e}")


def _plain(task: Task, model: nn.Module, batch: Split, place: tuple[int, int], way: Way) -> list[Tensor]:
    """Of a model in training, loss, buffers and gradients, in the order of the slots; else outputs and buffers."""
    dropout.draw([module for module in model.modules() if isinstance(module, Dropout)], Draws([place]))
    before = torch.get_rng_state()
    with torch.set_grad_enabled(model.training):
        outputs = model(batch.inputs)
        loss = task.loss(outputs, batch.targets, label_smoothing=SMOOTHING)
    if not torch.equal(before, torch.get_rng_state()):
        raise UnsuitedError("its forward or loss draws random numbers of its own, which no other engine draws alike")
    if not model.training:
        return [outputs, *way(model)[1].buffers]
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    for parameter in model.parameters():
        if parameter.requires_grad and parameter.grad is None:
            raise UnsuitedError("a parameter has no gradient, which torch.optim would leave alone")
        if parameter.grad is not None:
            parameter.data = parameter.grad
    weights = way(model)[1]
    return [loss.detach(), *weights.buffers, *weights.parameters]


def _batched(form: Gradients, weights: list[Weights], case: _Case) -> list[Tensor]:
    """The same of all models at once, each [2, ...]."""
    parameters = [
        torch.stack(lanes).requires_grad_() for lanes in zip(*(one.parameters for one in weights), strict=True)
    ]
    buffers = [torch.stack(lanes) for lanes in zip(*(one.buffers for one in weights), strict=True)]
    one, other = case.batches
    alike = one is other
    inputs = shared(one.inputs) if alike else own(torch.stack([one.inputs, other.inputs]))
    state = State(parameters, buffers, len(weights), case.training, Draws(case.places))
    if not case.training:
        with torch.no_grad():
            return [form.outputs(inputs, state), *buffers]
    losses, gradients = form(inputs, one.targets if alike else torch.stack([one.targets, other.targets]), state)
    return [losses / form.criterion.terms, *buffers, *gradients]
