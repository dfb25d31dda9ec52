"""The engines `lanes` and `tree`: K trials trained as one batched model, and what they share computed once."""

from worker.engine.lanes.engine import Lanes, Tree

__all__ = ["Lanes", "Tree"]
