"""Measured claims, each a module run as `python -m benchmarks.NAME [--quick]`; here is how a figure is stated."""

from __future__ import annotations

import json
import operator
from collections.abc import Sequence
from dataclasses import dataclass

_COMPARISONS = {"<=": operator.le, ">=": operator.ge, "==": operator.eq}


@dataclass(frozen=True)
class Figure:
    """A measured number against its target, `"<= 150"` or `">= 4"`; a value of None is a miss."""

    name: str
    value: float | None
    target: str
    note: str = ""

    @property
    def met(self) -> bool:
        """Whether the value reaches the target."""
        comparison, bound = self.target.split()
        return self.value is not None and _COMPARISONS[comparison](self.value, float(bound))


def publish(benchmark: str, figures: Sequence[Figure]) -> int:
    """Print a table and, as the last line, one JSON object; the exit code: 0 when every figure is met."""
    for figure in figures:
        shown = "none" if figure.value is None else f"{figure.value:.4g}"
        print(f"{figure.name:<48} {shown:>9}  {figure.target:<8} {'met' if figure.met else 'MISSED':<7} {figure.note}")
    values = {
        figure.name: {
            "value": None if figure.value is None else float(f"{figure.value:.6g}"),
            "target": figure.target,
            "met": figure.met,
        }
        for figure in figures
    }
    print(json.dumps({"benchmark": benchmark, "figures": values}))
    return 0 if all(figure.met for figure in figures) else 1
