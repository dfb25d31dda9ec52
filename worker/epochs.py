"""How long an epoch of a task is, for commands that want to know it before anything is trained."""

from __future__ import annotations


def steps_per_epoch(task: str, batch_size: int) -> int | None:
    """Updates in an epoch of the task `dataset/model`; None when it is not available here, or no batch fits."""
    from worker.tasks import TaskError, assemble

    try:
        examples = len(assemble().task(task).data().train)
    except TaskError:
        return None
    return examples // batch_size or None
