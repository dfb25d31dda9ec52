"""What a study searches over: schedule families with their parameters, the rate, and the optimizer's numbers."""

from __future__ import annotations

import math
from typing import Annotated, Self, TypeAlias

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator

from contract.base import Message, Name, Scalar


class Choice(Message):
    """One of the listed values."""

    choice: Annotated[list[Scalar], Field(min_length=1, max_length=10_000)]

    @model_validator(mode="after")
    def _no_value_twice(self) -> Self:
        seen: set[tuple[type, Scalar]] = set()
        for value in self.choice:
            if (type(value), value) in seen:
                raise ValueError(f"choice: values must differ, got {value!r} twice")
            seen.add((type(value), value))
        return self


class Range(Message):
    """A number between `low` and `high`, uniform or log-uniform; a grid needs `points`, evenly spaced, both ends in."""

    low: int | float
    high: int | float
    log: bool = False
    points: Annotated[int, Field(ge=2, le=100_000)] | None = None

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            raise ValueError(f"low, high: must be finite, got {self.low}, {self.high}")
        if self.low >= self.high:
            raise ValueError(f"low, high: need low < high, got {self.low}, {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"low: a log range must not touch zero, need low > 0, got {self.low}")
        return self


def _form(value: object) -> str:
    """Which form a domain is written in, so that an error speaks of that form only."""
    if isinstance(value, Choice) or (isinstance(value, dict) and "choice" in value):
        return "choice"
    return "range" if isinstance(value, (Range, dict)) else "value"


Domain: TypeAlias = Annotated[
    Annotated[Scalar, Tag("value")] | Annotated[Choice, Tag("choice")] | Annotated[Range, Tag("range")],
    Discriminator(_form),
]
"""A fixed value, a choice or a range."""


class Family(Message):
    """A schedule family and the domains of its parameters; parameters that are not named keep the preset's default."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Domain] = Field(init=False)

    family: Name

    @property
    def parameters(self) -> dict[str, Domain]:
        """The domains given for this family, by parameter name (`lr` among them where it overrides the common one)."""
        return dict(self.__pydantic_extra__)


NamedFamily: TypeAlias = Annotated[
    Annotated[Name, Tag("name")] | Annotated[Family, Tag("family")],
    Discriminator(lambda value: "name" if isinstance(value, str) else "family"),
]
"""A family by bare name, all its parameters at their defaults, or with domains of its own."""


class Space(Message):
    """Families x their parameters x peak learning rate x optimizer numbers.

    `momentum` is SGD's and RMSprop's momentum and Adam's beta1. A domain left out keeps the task's own value.
    """

    schedules: list[NamedFamily] = Field(default_factory=list, max_length=200)
    lr: Domain | None = None
    momentum: Domain | None = None
    weight_decay: Domain | None = None

    @property
    def families(self) -> list[Family]:
        """The families, those given by bare name included."""
        return [item if isinstance(item, Family) else Family(family=item) for item in self.schedules]
