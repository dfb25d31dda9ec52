"""How trials are trained: the engine interface, its jobs and events, and the engines."""

from worker.engine.augmentation import Augmentation, Resizing
from worker.engine.averaging import Averaging, Ema, Ensemble, Swa
from worker.engine.engine import Engine, Steering
from worker.engine.events import Checkpointed, Diverged, Dropped, Event, Failed, Finished, Points, Started
from worker.engine.job import Job, OptimizerNumbers
from worker.engine.lanes import Lanes, Tree
from worker.engine.snapshot import Snapshot, UnfitError
from worker.engine.solo import Solo

__all__ = [
    "Augmentation",
    "Averaging",
    "Checkpointed",
    "Diverged",
    "Dropped",
    "Ema",
    "Engine",
    "Ensemble",
    "Event",
    "Failed",
    "Finished",
    "Job",
    "Lanes",
    "OptimizerNumbers",
    "Points",
    "Resizing",
    "Snapshot",
    "Solo",
    "Started",
    "Steering",
    "Swa",
    "Tree",
    "UnfitError",
]
