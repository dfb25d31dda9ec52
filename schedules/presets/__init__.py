"""The presets: every named schedule of the field as a point of the grammar, in one registry.

The registry feeds the API, the command line, the reference table and the search spaces; there is no other list.
"""

from collections.abc import Mapping

from schedules.presets import curves, cyclic, feedback, grammar, monotone, one_cycle, slow, stable
from schedules.presets.common import LR
from schedules.presets.common import REGISTRY as _REGISTRY
from schedules.presets.model import Parameter, Preset

REGISTRY: Mapping[str, Preset] = dict(sorted(_REGISTRY.items()))

__all__ = [
    "LR",
    "REGISTRY",
    "Parameter",
    "Preset",
    "curves",
    "cyclic",
    "feedback",
    "grammar",
    "monotone",
    "one_cycle",
    "slow",
    "stable",
]
