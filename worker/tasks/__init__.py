"""What can be trained: datasets, models and tasks, with the registry that names them."""

from worker.tasks.classification import Classification, Dataset, Model, Signature
from worker.tasks.language import LanguageModelling
from worker.tasks.registry import Registry, assemble
from worker.tasks.task import Data, Ensembling, Split, StepContext, Stepping, Task, TaskError, resident

__all__ = [
    "Classification",
    "Data",
    "Dataset",
    "Ensembling",
    "LanguageModelling",
    "Model",
    "Registry",
    "Signature",
    "Split",
    "StepContext",
    "Stepping",
    "Task",
    "TaskError",
    "assemble",
    "resident",
]
