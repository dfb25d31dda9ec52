"""The engine `solo` against an ordinary PyTorch loop: what `benchmarks.solo` compares must be the same training."""

from __future__ import annotations

import pytest
import torch

from benchmarks.peers.plain_loop import by_hand
from benchmarks.solo import SAME, by_solo
from schedules.presets import REGISTRY
from worker.engine import Job
from worker.tasks import assemble


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_solo_ends_where_a_loop_written_by_hand_ends(model: str) -> None:
    schedule = REGISTRY["cosine"].build(lr=0.1, warmup="5%")
    job = Job(id=1, task=assemble().task(f"digits/{model}"), schedule=schedule, epochs=2)
    device = torch.device("cpu")
    assert by_solo(job, device) == pytest.approx(by_hand(job, device), abs=SAME)
