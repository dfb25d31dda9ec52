"""What the engine `lanes` takes on, what it leaves to `solo`, and why."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_models import TASKS, Gated
from lane_jobs import CPU, curves, job, train
from torch import nn

from schedules.presets import REGISTRY
from worker.engine import Dropped, Failed, Finished, Job, Lanes, Started, Steering
from worker.engine.choice import engine
from worker.engine.lanes.admission import Admission
from worker.engine.lanes.stack import UnsuitedError
from worker.tasks import Classification, Model
from worker.tasks.digits import DIGITS
from worker.trunks import TrunkFolder


def task(*layers: Callable[[], nn.Module]) -> Classification:
    return Classification(DIGITS, Model("mine", lambda _: nn.Sequential(*(layer() for layer in layers))))


def admit(*layers: Callable[[], nn.Module], ways: tuple[str, ...] = ("layers",)) -> None:
    Admission(CPU, None, ways).admit(job(task=task(*layers)))


def head(inputs: int) -> tuple[Callable[[], nn.Module], ...]:
    return nn.Flatten, lambda: nn.Linear(inputs, 10)


class Doubled(nn.Linear):
    """A layer that looks like another one."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002  # torch's own name
        return 2 * super().forward(input)


ACCEPTED: list[tuple[Callable[[], nn.Module], ...]] = [
    (nn.Flatten, lambda: nn.Linear(64, 30), nn.Tanh, lambda: nn.BatchNorm1d(30), nn.GELU, lambda: nn.Linear(30, 10)),
    (lambda: nn.BatchNorm2d(1), lambda: nn.Conv2d(1, 4, 3, stride=2), nn.SiLU, *head(36)),
    (
        lambda: nn.Conv2d(1, 4, 3, padding="same"),
        lambda: nn.Conv2d(4, 8, 3, groups=2),
        lambda: nn.AvgPool2d(2),
        *head(72),
    ),
    (lambda: nn.MaxPool2d(2), lambda: nn.Conv2d(1, 6, 3, bias=False), lambda: nn.AdaptiveAvgPool2d((1, 1)), *head(6)),
    (
        lambda: nn.Sequential(nn.Flatten(), nn.Identity()),
        lambda: nn.Dropout(0.5),
        lambda: nn.Linear(64, 10, bias=False),
    ),
    (lambda: nn.Linear(8, 5), nn.Sigmoid, lambda: nn.Conv2d(1, 2, 3), *head(36)),
    (lambda: nn.LayerNorm((8, 8)), lambda: nn.Conv2d(1, 4, 3), lambda: nn.GroupNorm(2, 4), *head(144)),
    (lambda: nn.LayerNorm(8, elementwise_affine=False), nn.Flatten, lambda: nn.LayerNorm(64, bias=False), *head(64)),
]


@pytest.mark.parametrize("way", ["layers", "torch.func"])
@pytest.mark.parametrize("layers", ACCEPTED)
def test_a_model_of_known_layers_is_admitted_once_it_equals_the_plain_one(
    layers: tuple[Callable[[], nn.Module], ...], way: str
) -> None:
    admit(*layers, ways=(way,))


@pytest.mark.parametrize("way", ["layers", "torch.func"])
@pytest.mark.parametrize("key", ["digits/resnet20", "digits/vit_small", "stdlib_chars/gpt_small"])
def test_every_built_in_model_is_admitted_either_way(key: str, way: str) -> None:
    Admission(CPU, None, (way,)).admit(job(task=TASKS.task(key), batch_size=8))


REFUSED: dict[str, tuple[Callable[[], nn.Module], ...]] = {
    "Softplus is no layer that this engine knows": (nn.Flatten, nn.Softplus, lambda: nn.Linear(64, 10)),
    "Doubled is no layer": (nn.Flatten, lambda: Doubled(64, 10)),
    "padding_mode 'circular'": (lambda: nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"), *head(64)),
    "without running statistics": (lambda: nn.BatchNorm2d(1, track_running_stats=False), *head(64)),
    "a parameter is frozen": (nn.Flatten, lambda: nn.Linear(64, 10).requires_grad_(False)),
    "Flatten of dimensions 0 to -1": (lambda: nn.Flatten(0), *head(64)),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_is_no_known_layer_is_refused_with_the_reason(reason: str) -> None:
    with pytest.raises(UnsuitedError, match=reason.replace("(", r"\(")):
        admit(*REFUSED[reason])


def test_layers_that_share_weights_or_have_hooks_are_refused() -> None:
    shared, hooked = nn.Linear(64, 64), nn.Linear(64, 10)
    hooked.register_forward_hook(lambda *_: None)
    with pytest.raises(UnsuitedError, match="a Linear is used more than once"):
        admit(nn.Flatten, lambda: shared, lambda: shared, lambda: nn.Linear(64, 10))
    with pytest.raises(UnsuitedError, match="Linear has hooks"):
        admit(nn.Flatten, lambda: hooked)


class Branching(nn.Module):
    """A forward that looks at values, which no batched model can follow."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values if values.mean() > 0 else -values


class Noisy(nn.Module):
    """A forward that draws random numbers nobody can repeat."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return nn.functional.dropout(values, 0.5)


UNKNOWN: list[tuple[Callable[[], nn.Module], ...]] = [
    (Gated, lambda: nn.Linear(20, 10)),
    (nn.Flatten, lambda: Doubled(64, 64), nn.Softplus, *head(64)),
    (nn.Flatten, lambda: nn.Linear(64, 64).requires_grad_(False), lambda: nn.BatchNorm1d(64), *head(64)),
    (lambda: nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"), lambda: nn.BatchNorm2d(1), *head(64)),
]


@pytest.mark.parametrize("layers", UNKNOWN)
def test_any_other_module_is_batched_by_torch_func(layers: tuple[Callable[[], nn.Module], ...]) -> None:
    admit(*layers, ways=("layers", "torch.func"))


def test_a_model_whose_layers_tell_less_than_it_does_is_caught_by_comparison() -> None:
    def changed() -> nn.Module:
        layer = nn.ReLU()
        layer.forward = torch.square  # type: ignore[method-assign]  # what some users do
        return layer

    with pytest.raises(UnsuitedError, match="differ from the plain one's"):
        admit(nn.Flatten, changed, lambda: nn.Linear(64, 10))


@pytest.mark.parametrize(
    ("module", "reason"), [(Branching, "data-dependent control flow"), (Noisy, "draws random numbers")]
)
def test_a_model_that_cannot_be_a_lane_is_trained_by_solo_and_the_log_says_why(
    module: type[nn.Module], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    plain = task(nn.Flatten, module, lambda: nn.Linear(64, 10))
    events = train(Lanes(CPU), job(0, task=plain, steps=4), job(1, steps=4))
    assert {event.job: event.engine for event in events if isinstance(event, Started)} == {1: "solo", 2: "lanes"}
    assert re.search(
        f"trial 1 is trained alone: layers: {module.__name__} is no layer.*torch.func: .*{reason}", caplog.text
    )


def test_a_momentum_through_zero_is_left_to_solo() -> None:
    zero = REGISTRY["onecycle"].build(lr=0.1, low_momentum=0.0, anneal="linear")
    events = train(Lanes(CPU), replace(job(1, optimizer="sgd", steps=10), schedule=zero))
    assert [event.engine for event in events if isinstance(event, Started)] == ["solo"]


def test_jobs_of_different_kinds_are_trained_array_by_array() -> None:
    given = [job(lane, model=["mlp", "cnn"][lane % 2], batch_size=16, steps=4) for lane in range(4)]
    events = train(Lanes(CPU), *given)
    assert [event.job for event in events if isinstance(event, Finished)] == [1, 3, 2, 4]
    assert {event.engine for event in events if isinstance(event, Started)} == {"lanes"}


def test_a_job_that_does_not_fit_fails_as_under_solo_and_its_neighbours_finish() -> None:
    events = train(Lanes(CPU), job(0, steps=2), job(1, batch_size=2000), job(2, steps=2))
    (failed,) = (event for event in events if isinstance(event, Failed))
    assert failed.error == "batch_size: need at most the 1078 training examples of digits/mlp, got 2000"
    assert [event.job for event in events if isinstance(event, Finished)] == [1, 3]


def test_no_more_jobs_are_taken_than_there_are_lanes() -> None:
    taken: list[int] = []

    def source() -> Iterator[Job]:
        for lane in range(6):
            taken.append(lane)
            yield job(lane, steps=8 * (lane + 1))

    events = Lanes(CPU, lanes=3).run(source(), Steering())
    seen = [(event.job, len(taken)) for event in events if isinstance(event, Finished)]
    assert seen == [(1, 3), (2, 4), (3, 5), (4, 6), (5, 6), (6, 6)]


def test_drop_all_ends_every_lane_and_takes_no_update_more() -> None:
    steering = Steering()
    events: list[Any] = []
    for event in Lanes(CPU, lanes=2).run([job(lane) for lane in range(4)], steering):
        events.append(event)
        if isinstance(event, Started):
            steering.drop_all()
    assert sorted((event.job, event.step) for event in events if isinstance(event, Dropped)) == [
        (n, 0) for n in (1, 2, 3, 4)
    ]


def test_the_time_of_an_array_is_shared_by_its_lanes() -> None:
    events = train(Lanes(CPU), *(job(lane, steps=8) for lane in range(4)))
    times = [event.device_seconds for event in events if isinstance(event, Finished)]
    assert len(set(times)) == 1
    assert times[0] > 0


def test_the_engine_is_chosen_by_name_and_lanes_belong_to_lanes(tmp_path: Path) -> None:
    chosen = [engine(name, CPU) for name in ("auto", "tree", "lanes", "solo")]  # type: ignore[arg-type]  # literals
    assert [(one.name, one.capacity) for one in chosen] == [("tree", 128), ("tree", 128), ("lanes", 32), ("solo", 1)]
    with pytest.raises(ValueError, match=r"^lanes: the engine solo trains one trial at a time, got 4$"):
        engine("solo", CPU, lanes=4)
    with pytest.raises(ValueError, match=r"^keep-trunks: only the engine tree has any, got lanes$"):
        engine("lanes", CPU, trunks=TrunkFolder(tmp_path, 2**20))


def test_initial_weights_are_those_of_the_seed_whatever_was_drawn_before() -> None:
    torch.manual_seed(9)
    first = curves(train(Lanes(CPU), job(steps=2, report_every=1)))
    torch.rand(100)
    assert curves(train(Lanes(CPU), job(steps=2, report_every=1))) == first
