"""Updates that are recorded and replayed: the same to the bit, and launched one by one where they cannot be.

A recording runs the update again here, when it is replayed and not before; on a GPU it is a CUDA graph.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from lane_jobs import CPU, Curve, curves, job, lanes, train
from torch import Tensor

from schedules.presets import REGISTRY
from worker.engine import Augmentation, Job, Lanes, Tree, choice
from worker.engine.lanes.recording import WARM, Record, Replay

TOLD = "updates are not recorded: "


class Recorder:
    """See `Record`; counts."""

    def __init__(self) -> None:
        self.recorded = self.replayed = 0

    def __call__(self, work: Callable[[], Tensor]) -> Replay:
        self.recorded += 1
        # Where the last losses were, as a graph has them: who keeps them without a copy sees them change.
        losses = torch.zeros(0)

        def replay() -> Tensor:
            nonlocal losses
            self.replayed += 1
            made = work()
            losses = losses.copy_(made) if losses.shape == made.shape else made.clone()
            return losses

        return replay


def recorded(*jobs: Job, record: Record, maker: type[Lanes] = Lanes) -> dict[int, Curve]:
    return curves(train(maker(CPU, lanes=4, record=record), *jobs))


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_a_recording_changes_no_bit(model: str) -> None:
    given = [job(lane, model=model, steps=16, report_every=4, augmentation=Augmentation(crop=1)) for lane in range(4)]
    recorder = Recorder()
    assert recorded(*given, record=recorder) == lanes(*given, lanes=4)
    assert (recorder.recorded, recorder.replayed) == (1, 16 - WARM)


def test_lanes_that_are_refilled_keep_their_recording_and_another_number_of_them_has_its_own() -> None:
    given = [job(lane, steps=steps, report_every=4) for lane, steps in enumerate([12, 12, 24, 24, 24, 24])]
    recorder = Recorder()
    assert recorded(*given, record=recorder) == lanes(*given, lanes=4)
    # Four lanes in one place of the data, the same four in two places, two lanes.
    assert recorder.recorded == 3


def test_branches_of_a_tree_go_on_in_the_recording_of_their_number() -> None:
    given = [replace(job(), id=part, schedule=REGISTRY["wsd"].build(lr=0.05, decay=part / 10)) for part in (1, 3, 5)]
    assert recorded(*given, record=Recorder(), maker=Tree) == curves(train(Tree(CPU, lanes=4), *given))


def test_dropout_is_not_recorded_since_its_seeds_would_be(caplog: pytest.LogCaptureFixture) -> None:
    given, recorder = [job(lane, model="dropout", steps=12) for lane in range(2)], Recorder()
    assert recorded(*given, record=recorder) == lanes(*given, lanes=4)
    assert TOLD + "dropout draws its masks" in caplog.text
    assert recorder.recorded == 0


def test_what_cannot_be_recorded_goes_on_without_and_says_why(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(work: Callable[[], Tensor]) -> Replay:
        raise RuntimeError("operation not permitted when stream is capturing\nmore of it")

    given = [job(lane, steps=12) for lane in range(2)]
    assert recorded(*given, record=refuse) == lanes(*given, lanes=4)
    assert caplog.text.count(TOLD + "RuntimeError: operation not permitted when stream is capturing\n") == 1


def test_graphs_are_refused_without_a_gpu() -> None:
    with pytest.raises(ValueError, match="cuda-graphs: need lanes on a CUDA device, got the engine tree on cpu"):
        choice.engine("tree", CPU, graphs=True)
