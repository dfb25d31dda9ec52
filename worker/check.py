"""Whether a task of one's own can be trained, and in words what is wrong with it when it cannot."""

from __future__ import annotations

import math
import re
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor

from schedules.presets import REGISTRY
from worker.engine import Diverged, Event, Failed, Finished, Job, Points, Solo, Steering
from worker.engine.lanes.admission import Admission
from worker.engine.lanes.stack import UnsuitedError
from worker.tasks import Data, Ensembling, Split, StepContext, Stepping, Task

CPU = torch.device("cpu")
STEPS, BATCH, SEED, ROWS = 2, 8, 0, 64
SAME = 1e-4
"""Relative; a sum taken in another order differs in float32 by less."""


class Excerpt:
    """A task with so many rows of its parts, evenly spaced: the check of a large one must not take long."""

    def __init__(self, task: Task, rows: int) -> None:
        self.key, self.model, self.loss, self.metrics = task.key, task.model, task.loss, task.metrics
        if isinstance(task, Stepping):
            self.step = task.step
        given = task.data()
        self._data = Data(*(_spaced(part, rows) for part in (given.train, given.validation, given.test)))

    def data(self) -> Data:
        return self._data


def _spaced(part: Split, rows: int) -> Split:
    step = max(1, len(part) // rows)
    return Split(part.inputs[::step][:rows], part.targets[::step][:rows])


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, and what is wrong; None: nothing."""

    looked_at: str
    wrong: str | None


class Fault(ValueError):
    """What is wrong, for the reader."""


Look: TypeAlias = tuple[str, Callable[[], None]]


def check(task: Task) -> Iterator[Finding]:
    """The findings one by one, each check resting on those before it: it ends with the first fault."""
    held: list[Split] = []
    look: list[Look] = [
        ("data() gives three parts, the same ones each time", lambda: held.append(_first_batch(task))),
        ("model() gives one finite output per example, the same for a seed", lambda: _model(task, held[0])),
        ("loss() is one finite mean whose gradient reaches the parameters", lambda: _loss(task, held[0])),
        ("metrics() are finite sums over the examples, loss among them", lambda: _metrics(task, held[0])),
        *_of_what_it_has(task, held),
        (f"{STEPS} steps train, twice the same with the same seed", lambda: _training(task)),
    ]
    for looked_at, action in look:
        try:
            action()
        except Fault as fault:
            yield Finding(looked_at, str(fault))
            return
        except Exception as error:  # noqa: BLE001  # the task is the user's code: whatever it raises is the finding
            yield Finding(looked_at, f"it raised {type(error).__name__}: {error}{_place(error)}")
            return
        yield Finding(looked_at, None)
    yield Finding(_engine(task), None)


def _place(error: Exception) -> str:
    """Where in the user's own file: the last line on the way to the error that is in no library, nor here."""
    others = (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), str(Path(__file__).parent))
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(others)]
    return f" ({Path(own[-1].filename).name}, line {own[-1].lineno}: {own[-1].line})" if own else ""


def _of_what_it_has(task: Task, held: list[Split]) -> Iterator[Look]:
    """What only some tasks have."""
    if isinstance(task, Stepping):
        yield "step() makes one update with the optimizer it is given", lambda: _step(task, held[0])
    if isinstance(task, Ensembling):
        yield "combined() makes one model's outputs of several models'", lambda: _combined(task, held[0])


def _need(holds: bool, words: str) -> None:
    if not holds:
        raise Fault(words)


def _first_batch(task: Task) -> Split:
    data = task.data()
    _need(isinstance(data, Data), f"data(): need a worker.tasks.Data(train, validation, test), got {_kind(data)}")
    shape = list(data.train.inputs.shape[1:])
    for name, part in (("train", data.train), ("validation", data.validation), ("test", data.test)):
        _need(isinstance(part, Split), f"data(): need a worker.tasks.Split as {name}, got {_kind(part)}")
        _need(len(part) >= 2, f"data(): need at least two examples in {name}, got {len(part)}")
        got = list(part.inputs.shape[1:])
        _need(got == shape, f"data(): need examples of one shape: {shape} in train, but {got} in {name}")
        _need(bool(part.inputs.isfinite().all()), f"data(): the inputs of {name} hold NaN or infinity")
    again = task.data()
    _need(
        torch.equal(again.train.inputs, data.train.inputs) and torch.equal(again.train.targets, data.train.targets),
        "data(): a second call gives other training data; a split has to be fixed, by a seed of its own",
    )
    size = min(BATCH, len(data.train) // 2 * 2)
    return Split(data.train.inputs[:size], data.train.targets[:size])


def _evaluated(task: Task, batch: Split) -> Tensor:
    torch.manual_seed(SEED)
    model = task.model()
    _need(isinstance(model, torch.nn.Module), f"model(): need a torch.nn.Module, got {_kind(model)}")
    with torch.no_grad():
        outputs = model.eval()(batch.inputs)
    if not isinstance(outputs, Tensor):
        raise Fault(f"model(): its forward must return one tensor, got {_kind(outputs)}")
    return outputs


def _model(task: Task, batch: Split) -> None:
    outputs = _evaluated(task, batch)
    _need(
        outputs.dim() > 0 and len(outputs) == len(batch),
        f"model(): need one row of output per example, got shape {list(outputs.shape)} for {len(batch)} examples",
    )
    _need(bool(outputs.isfinite().all()), "model(): the untrained model gives NaN or infinity")
    _need(
        torch.equal(outputs, _evaluated(task, batch)),
        "model(): not the same after torch.manual_seed(0) twice; draw weights from torch's global generator only",
    )
    alone = _evaluated(task, Split(batch.inputs[:2], batch.targets[:2]))
    _need(
        torch.allclose(alone, outputs[:2], rtol=1e-3, atol=1e-4),
        "model(): in eval() an example's output depends on the others in its batch",
    )


def _loss(task: Task, batch: Split) -> None:
    torch.manual_seed(SEED)
    model = task.model().train()
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    _need(bool(learning), "model(): there is no parameter to train")
    loss = task.loss(model(batch.inputs), batch.targets, label_smoothing=0.0)
    _need(isinstance(loss, Tensor) and loss.dim() == 0, f"loss(): need a tensor without dimensions, got {_kind(loss)}")
    _need(bool(loss.isfinite()), f"loss(): need a finite number at the first step, got {loss.item()}")
    _need(loss.requires_grad, "loss(): no gradient: it was detached, or made a number, on the way")
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    reached = [parameter for parameter in learning if parameter.grad is not None]
    _need(bool(reached), "loss(): its gradient reaches no parameter")
    _need(
        all(bool(parameter.grad.isfinite().all()) for parameter in reached if parameter.grad is not None),
        "loss(): a gradient of the first step is NaN or infinite",
    )
    _mean(task, batch)


def _mean(task: Task, batch: Split) -> None:
    outputs = _evaluated(task, batch)
    whole, first, second = (
        float(task.loss(outputs[part], batch.targets[part], label_smoothing=0.0)) for part in _halves(batch)
    )
    is_sum, is_mean = (
        math.isclose(whole, whole_of, rel_tol=SAME) for whole_of in (first + second, (first + second) / 2)
    )
    _need(is_mean or not is_sum, f"loss(): need the mean over the batch, got the sum over {len(batch)} examples")


def _halves(batch: Split) -> tuple[slice, slice, slice]:
    """All of the batch, its first half, its second half."""
    half = len(batch) // 2
    return slice(None), slice(half), slice(half, None)


def _metrics(task: Task, batch: Split) -> None:
    outputs = _evaluated(task, batch)
    whole = _measured(task, outputs, batch.targets)
    _need("loss" in whole, f"metrics(): need 'loss' among them, got {', '.join(whole) or 'none'}")
    for name in whole:
        _need(
            re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,58}", name) is not None,
            f"metrics(): need names of letters, digits and _ . + - only, got {name!r}",
        )
    first, second = (_measured(task, outputs[part], batch.targets[part]) for part in _halves(batch)[1:])
    for name, value in whole.items():
        _need(math.isfinite(value), f"metrics(): {name} must be finite, got {value}")
        parts = first.get(name, math.nan) + second.get(name, math.nan)
        if not math.isclose(parts, value, rel_tol=SAME, abs_tol=SAME):
            mean = "; it is a mean: use reduction='sum'" if math.isclose(parts / 2, value, rel_tol=0.2) else ""
            raise Fault(
                f"metrics(): {name} must be a sum over the examples: {len(batch)} of them give {value:.6g}, "
                f"their two halves {parts:.6g} together{mean}"
            )


def _measured(task: Task, outputs: Tensor, targets: Tensor) -> dict[str, float]:
    found = task.metrics(outputs, targets)
    _need(isinstance(found, dict), f"metrics(): need a dict of tensors by name, got {_kind(found)}")
    for name, value in found.items():
        _need(
            isinstance(value, Tensor) and value.dim() == 0,
            f"metrics(): {name} must be a tensor without dimensions, got {_kind(value)}",
        )
    return {name: float(value) for name, value in found.items()}


def _kind(value: object) -> str:
    return f"shape {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


def _step(task: Stepping, batch: Split) -> None:
    assert isinstance(task, Task)
    moved: dict[float, bool] = {}
    for lr in (0.0, 0.1):
        torch.manual_seed(SEED)
        model = task.model().train()
        before = torch.nn.utils.parameters_to_vector(model.parameters()).detach().clone()
        context = StepContext(step=0, total_steps=STEPS, steps_per_epoch=STEPS, lr=lr, label_smoothing=0.0)
        loss = task.step(model, torch.optim.SGD(model.parameters(), lr), batch, context)
        _need(
            isinstance(loss, Tensor) and loss.dim() == 0 and bool(loss.isfinite()),
            f"step(): need the loss back, a finite tensor without dimensions, got {_kind(loss)}",
        )
        moved[lr] = not torch.equal(before, torch.nn.utils.parameters_to_vector(model.parameters()))
    _need(moved[0.1], "step(): the parameters are as before; it must call optimizer.step()")
    _need(
        not moved[0.0],
        "step(): at a rate of 0 the parameters change; only the optimizer given, driven by the schedule, may do that",
    )


def _combined(task: Ensembling, batch: Split) -> None:
    assert isinstance(task, Task)
    outputs = _evaluated(task, batch)
    both = task.combined(torch.stack([outputs, outputs]))
    one, two = _measured(task, outputs, batch.targets), _measured(task, both, batch.targets)
    for name, value in one.items():
        _need(
            math.isclose(two[name], value, rel_tol=SAME, abs_tol=SAME),
            f"combined(): two equal models must score as one of them: {name} is {value:.6g}, of both {two[name]:.6g}",
        )


def _engine(task: Task) -> str:
    """What a worker makes of it, which is no fault either way."""
    try:
        return f"many trials train at once, as lanes (batched by {Admission(CPU, None).way(Excerpt(task, ROWS))})"
    except UnsuitedError as reason:
        return f"trials train one at a time, by solo: {reason}"
    except Exception as error:  # noqa: BLE001  # float64, in which they are compared, may be too much for the user's code
        return f"trials train one at a time, by solo: compared in float64 it raised {type(error).__name__}: {error}"


def _training(task: Task) -> None:
    excerpt = Excerpt(task, ROWS)
    first, second = (_train(excerpt) for _ in range(2))
    _need(
        first == second,
        "training: two runs with one seed differ; draw random numbers from torch's global generator only",
    )


def _train(task: Excerpt) -> list[dict[str, float]]:
    """What the reference engine reports of two steps."""
    job = Job(
        id=0,
        task=task,
        schedule=REGISTRY["constant"].build(lr=1e-3),
        batch_size=min(BATCH, len(task.data().train)),
        steps=STEPS,
        report_every=1,
    )
    events: list[Event] = list(Solo(CPU).run([job], Steering()))
    last = events[-1]
    if isinstance(last, Failed):
        raise Fault(f"training: {last.error}")
    if isinstance(last, Diverged):
        raise Fault(f"training: at a rate of 0.001, {last.reason}")
    values = [event.values for event in events if isinstance(event, Points)]
    assert isinstance(last, Finished), last
    return [dict(value) for value in values] + [dict(last.metrics)]
