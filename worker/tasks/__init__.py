"""What can be trained: datasets, models and tasks, with the registry that names them."""

from worker.tasks.classification import Classification, Dataset, Model, Signature
from worker.tasks.registry import Registry, TaskError, assemble
from worker.tasks.task import Data, Split, Task, resident

__all__ = [
    "Classification",
    "Data",
    "Dataset",
    "Model",
    "Registry",
    "Signature",
    "Split",
    "Task",
    "TaskError",
    "assemble",
    "resident",
]
