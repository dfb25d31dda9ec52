"""How a study searches: the configuration of each method, as a union told apart by `method`."""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from contract.base import Message

Seeds: TypeAlias = Annotated[int, Field(ge=1, le=1_000)]


class Grid(Message):
    """Every combination of the space exactly once, each trained `seeds` times from different initial weights."""

    method: Literal["grid"]
    seeds: Seeds = 1


class Tpe(Message):
    """Tree-structured Parzen estimator: one model over the family and what all share, one for what only a family has.

    The first `startup` trials are quasi-random; 0 picks a number from the space.
    """

    method: Literal["tpe"]
    trials: Annotated[int, Field(ge=1, le=100_000)]
    startup: Annotated[int, Field(ge=0, le=100_000)] = 0


class RangeTest(Message):
    """LR range test (Smith 2015): the rate rises exponentially from `low` to `high` and the loss curve is read."""

    method: Literal["range_test"]
    low: Annotated[float, Field(gt=0)] = 1e-6
    high: Annotated[float, Field(gt=0)] = 10.0
    seeds: Seeds = 3

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low, high: need low < high, got {self.low}, {self.high}")
        return self


Search: TypeAlias = Annotated[Grid | Tpe | RangeTest, Field(discriminator="method")]
