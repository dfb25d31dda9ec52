"""Studies with schedules that answer to a metric, over real HTTP: trained, read back, used outside of Switchback."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import torch
from live import AgentThread, LiveService, serving, submit
from rich.console import Console

from client.display.result import show_result
from client.studies import StudyClient
from contract.studies import BestView
from contract.trials import RateCurve
from schedules import ReduceOnPlateau

PLATEAU = {"family": "reduce_on_plateau", "patience": 0, "factor": 0.5, "threshold": 0.3, "warmup": "20 steps"}
EPOCHS, PER_EPOCH = 6, 16


@pytest.fixture(scope="module")
def trained(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    """A finished study of a plateau schedule and a cosine that is too timid to win; the tests read it only."""
    families = [{"family": "cosine", "lr": 1e-4}, PLATEAU]
    with serving(sqlite_template, tmp_path_factory.mktemp("trained")) as service:
        submit(service, budget={"epochs": EPOCHS}, space={"schedules": families, "lr": 0.1})
        with AgentThread(service, max_trials=2) as agent:
            agent.join(60)
        yield service


def observed(service: LiveService) -> tuple[BestView, RateCurve, list[float], list[int]]:
    """The winner, its rate, its validation losses and after how many updates they were measured."""
    with StudyClient(service.url) as client:
        best = client.best(1)
        curves = client.curves(1, trials=[best.trial_id])
    losses = curves.curves[0].values["val_loss"]
    steps = [step for step, loss in zip(curves.curves[0].steps, losses, strict=True) if loss is not None]
    return best, curves.rates[0], [loss for loss in losses if loss is not None], steps


def test_a_plateau_schedule_wins_a_study_and_its_rate_is_read_back_exactly(trained: LiveService) -> None:
    best, rate, losses, steps = observed(trained)
    assert isinstance(best.schedule, ReduceOnPlateau)
    bound = best.schedule.bind(best.total_steps, best.steps_per_epoch)
    for step, loss in zip(steps, losses, strict=True):
        bound.observe(loss, step=step)
    updates = np.arange(best.total_steps)
    np.testing.assert_allclose(np.interp(updates, rate.steps, rate.lr), bound.lr(updates), rtol=1e-12, atol=1e-15)
    assert bound.lr(best.total_steps - 1) < 0.1


def test_the_winners_code_gives_the_rates_it_was_trained_with(trained: LiveService) -> None:
    best, rate, losses, _ = observed(trained)
    written: dict[str, Any] = {}
    exec(best.snippet, written)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=written["LR"])
    scheduler, rates = written["make_scheduler"](optimizer), []
    for epoch, loss in enumerate(losses):
        for step in range(epoch * PER_EPOCH, (epoch + 1) * PER_EPOCH):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            written["warm_up"](optimizer, step + 1)
        written["observe"](scheduler, loss, (epoch + 1) * PER_EPOCH)
    np.testing.assert_allclose(np.interp(range(EPOCHS * PER_EPOCH), rate.steps, rate.lr), rates, rtol=1e-12, atol=1e-15)
    assert "torch.optim.lr_scheduler.ReduceLROnPlateau(" in best.snippet


def test_the_rate_is_drawn_from_what_was_used_and_no_final_metric(trained: LiveService) -> None:
    best, rate, _, _ = observed(trained)
    with urlopen(f"{trained.url}/api/v1/trials/{best.trial_id}/schedule.svg") as answer:
        drawing = ET.fromstring(answer.read())
    said = " ".join(drawing.itertext())
    assert f"last {rate.lr[-1]:.3g} over 96 steps" in said
    assert "lr" not in best.metrics


def test_the_command_line_draws_the_rate_the_winner_used(trained: LiveService) -> None:
    console = Console(file=io.StringIO(), width=100)
    with StudyClient(trained.url) as client:
        assert show_result(client, client.get(1), console)
        rate = client.curves(1, trials=[client.best(1).trial_id]).rates[0]
    assert isinstance(console.file, io.StringIO)
    told = console.file.getvalue()
    assert f"last {rate.lr[-1]:.3g}" in told
    assert "not known before training" not in told


def test_a_curve_is_thinned_although_each_point_carries_the_rate(trained: LiveService) -> None:
    with StudyClient(trained.url) as client:
        (curve,) = client.curves(1, trials=[2], points=2).curves
        whole = client.curves(1, trials=[2]).curves[0]
    assert len(whole.steps) == 12
    assert {whole.steps[0], whole.steps[-1]} <= set(curve.steps) < set(whole.steps)
