"""The engine `lanes`: K trials trained as one batched model."""

from worker.engine.lanes.engine import Lanes

__all__ = ["Lanes"]
