"""What is trained: dataset, model, optimizer, batch size and loss options, all by registered name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, field_validator, model_validator

from contract.base import Message, Name, Scalar, Text
from schedules import Span

Decay: TypeAlias = Annotated[float, Field(ge=0, le=10)]
Fraction: TypeAlias = Annotated[float, Field(ge=0, lt=1)]
Epsilon: TypeAlias = Annotated[float, Field(gt=0, le=1)]
LayerDecay: TypeAlias = Annotated[float, Field(gt=0, le=1)]
"""The rate of every layer is this many times that of the one above it; 1: one rate for all."""


class Sgd(Message):
    """`torch.optim.SGD`."""

    name: Literal["sgd"] = "sgd"
    momentum: Fraction = 0.9
    nesterov: bool = False
    weight_decay: Decay = 0.0
    layer_decay: LayerDecay = 1.0


class Adam(Message):
    """`torch.optim.Adam`; `momentum` is beta1."""

    name: Literal["adam"]
    momentum: Fraction = 0.9
    beta2: Fraction = 0.999
    eps: Epsilon = 1e-8
    weight_decay: Decay = 0.0
    layer_decay: LayerDecay = 1.0


class AdamW(Message):
    """`torch.optim.AdamW`; `momentum` is beta1."""

    name: Literal["adamw"]
    momentum: Fraction = 0.9
    beta2: Fraction = 0.999
    eps: Epsilon = 1e-8
    weight_decay: Decay = 0.01
    layer_decay: LayerDecay = 1.0


class RmsProp(Message):
    """`torch.optim.RMSprop`; `alpha` is the smoothing constant of the squared gradient."""

    name: Literal["rmsprop"]
    momentum: Fraction = 0.0
    alpha: Fraction = 0.99
    eps: Epsilon = 1e-8
    weight_decay: Decay = 0.0
    layer_decay: LayerDecay = 1.0


Optimizer: TypeAlias = Annotated[Sgd | Adam | AdamW | RmsProp, Field(discriminator="name")]


def _span(value: float | str) -> float | str:
    Span.parse(value)
    return value


SpanValue: TypeAlias = Annotated[float | Annotated[Text, Field(max_length=32)], AfterValidator(_span)]
"""A fraction of the horizon, or a text such as "5%", "500 steps" or "5 epochs"."""


class Swa(Message):
    """Stochastic weight averaging: the mean of the weights after each multiple of `every` that lies behind `start`."""

    kind: Literal["swa"]
    start: SpanValue = "75%"
    every: SpanValue = "1 epochs"


class Ema(Message):
    """The exponential moving average of the weights after every update, corrected for its beginning."""

    kind: Literal["ema"]
    decay: Fraction = 0.999


class Ensemble(Message):
    """A snapshot ensemble: the mean prediction of the models at the ends of the schedule's last `members` cycles."""

    kind: Literal["ensemble"]
    members: Annotated[int, Field(ge=1, le=32)] = 5


Averaging: TypeAlias = Annotated[Swa | Ema | Ensemble, Field(discriminator="kind")]


class Resizing(Message):
    """Images grow as training goes on: from `initial` of their sides to all of them between `start` and `end`.

    Sides are multiples of `multiple` pixels until they are whole. Updates on small images are cheaper.
    """

    initial: Annotated[float, Field(gt=0, lt=1)] = 0.5
    start: SpanValue = "0%"
    end: SpanValue = "80%"
    multiple: Annotated[int, Field(ge=1, le=256)] = 4

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        start, end = Span.parse(self.start), Span.parse(self.end)
        if start.unit == end.unit and start.value > end.value:
            raise ValueError(f"end: need no less than start, got {self.end} after {self.start}")
        return self


class Augmentation(Message):
    """What is done to training images, anew in each epoch: `crop`: shifted by up to so many pixels each way, the border
    mirrored; `flip`: left to right, one in two; `cutout`: a square with sides of so many pixels is made 0; `resizing`.

    Trials of one seed see the same images. Validation and test see them as they are.
    """

    crop: Annotated[int, Field(ge=0, le=256)] = 0
    flip: bool = False
    cutout: Annotated[int, Field(ge=0, le=1_024)] = 0
    resizing: Resizing | None = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not (self.crop or self.flip or self.cutout or self.resizing):
            raise ValueError("need at least one of crop, flip, cutout and resizing; leave it out for none")
        return self


class Task(Message):
    """A training problem. `dataset` and `model` are names a worker has registered, never code.

    `averaging` is evaluated at the end of each trial, at no second training: `val_loss_swa`, `test_accuracy_ema`,
    `val_loss_ensemble` and so on; the study's objective may be one of them. Each kind at most once.
    `dropout_masks`: trials of one seed share them, as they share batches, or each trial draws its own.
    `precision`: bf16 computes products and convolutions with 8 bits of precision (torch.autocast); weights, losses,
    metrics and updates are float32 either way.
    """

    dataset: Name
    model: Name
    optimizer: Optimizer = Sgd()
    batch_size: Annotated[int, Field(ge=1, le=1_048_576)] = 64
    label_smoothing: Fraction = 0.0
    dropout_masks: Literal["shared", "own"] = "shared"
    averaging: Annotated[list[Averaging], Field(max_length=3)] = Field(default_factory=list)
    augmentation: Augmentation | None = None
    precision: Literal["float32", "bf16"] = "float32"

    @field_validator("averaging")
    @classmethod
    def _once(cls, value: list[Averaging]) -> list[Averaging]:
        kinds = [average.kind for average in value]
        if len(set(kinds)) < len(kinds):
            raise ValueError(f"each kind at most once, got {', '.join(kinds)}")
        return value

    @property
    def key(self) -> str:
        """What a worker advertises when it can train this: `dataset/model`."""
        return f"{self.dataset}/{self.model}"


SEARCHED = ("momentum", "weight_decay")
"""Fields of an optimizer that a space may search."""


def task_with(task: Task, params: Mapping[str, Scalar]) -> Task:
    """The task with the searched optimizer numbers in the place of its own; the rest of `params` is the schedule's."""
    changes = {name: params[name] for name in SEARCHED if name in params}
    if not changes:
        return task
    optimizer: Optimizer = type(task.optimizer).model_validate({**task.optimizer.model_dump(), **changes})
    return task.model_copy(update={"optimizer": optimizer})


class Budget(Message):
    """The horizon of a trial: so many epochs, or so many optimizer steps; exactly one of the two."""

    epochs: Annotated[int, Field(ge=1, le=100_000)] | None = None
    steps: Annotated[int, Field(ge=1, le=100_000_000)] | None = None

    def model_post_init(self, context: object) -> None:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError(f"give exactly one of epochs and steps, got epochs={self.epochs}, steps={self.steps}")
