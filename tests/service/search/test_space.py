"""Binding a space to the presets: everything that does not fit is refused where the definition gives it."""

from __future__ import annotations

from time import process_time
from typing import Any

import pytest
from search_studies import study

from contract.studies import CreateStudy
from contract.tasks import Task, task_with
from schedules.presets import REGISTRY
from service.search import strategy_for
from service.search.space import OPTIMIZER, BoundSpace, bind, config_of
from service.search.strategy import SpaceError

FIXED: dict[str, Any] = {"schedules": ["cosine"], "lr": 0.1}


def bound(space: dict[str, Any], **more: Any) -> BoundSpace:
    definition = study({"method": "tpe", "trials": 10}, space, **more)
    return bind(definition.space, definition.task, definition.budget)


def refusal(space: dict[str, Any], **more: Any) -> SpaceError:
    with pytest.raises(SpaceError) as caught:
        bound(space, **more)
    return caught.value


def entry(**family: Any) -> dict[str, Any]:
    return {"schedules": ["constant", family], "lr": 0.1}


def test_an_unknown_family_is_refused_with_the_nearest_and_all_names() -> None:
    error = refusal({"schedules": ["constant", "cosin"], "lr": 0.1})
    assert (error.field, error.value) == ("space.schedules[1]", "cosin")
    assert "did you mean 'cosine'?" in error.rule
    assert all(name in error.rule for name in REGISTRY)


def test_an_unknown_parameter_is_refused_with_the_nearest_name() -> None:
    error = refusal(entry(family="rex", warmpu="5%"))
    assert (error.field, error.value) == ("space.schedules[1].warmpu", "5%")
    assert "did you mean 'warmup'?" in error.rule


@pytest.mark.parametrize(
    ("domain", "value"),
    [
        (1.5, 1.5),
        ({"low": 0.5, "high": 1.5}, 1.5),
        ({"low": -0.5, "high": 0.5}, -0.5),
        ({"choice": [0.1, 0.2, 7.0, 0.3]}, 7.0),
        ("half", "half"),
        (True, True),
    ],
)
def test_every_value_of_a_domain_is_held_to_the_presets_rule(domain: object, value: object) -> None:
    error = refusal(entry(family="rex", d=domain))
    assert (error.field, error.value) == ("space.schedules[1].d", value)


@pytest.mark.parametrize("lr", [0, -0.1, {"low": -1.0, "high": 1.0}, {"choice": [0.1, 0.0]}, "fast"])
def test_a_rate_that_is_not_positive_is_refused_for_all_families_at_once(lr: object) -> None:
    assert refusal({"schedules": ["cosine"], "lr": lr}).field == "space.lr"


def test_a_rate_may_be_given_for_each_family() -> None:
    space = bound({"schedules": [{"family": "cosine", "lr": 0.5}, "linear"], "lr": 0.1})
    assert [branch.fixed for branch in space.branches] == [{"lr": 0.5}, {"lr": 0.1}]


def test_a_family_without_a_rate_is_refused() -> None:
    error = refusal({"schedules": [{"family": "cosine", "lr": 0.5}, "linear"]})
    assert error.field == "space.lr"
    assert "space.schedules[1]" in error.rule


def test_a_space_without_families_is_refused() -> None:
    assert str(refusal({"lr": 0.1})) == "space.schedules: need at least one schedule family, got []"


@pytest.mark.parametrize(("name", "value"), [("momentum", 1.0), ("weight_decay", -0.1), ("weight_decay", 11.0)])
def test_optimizer_numbers_are_held_to_the_optimizers_rule(name: str, value: float) -> None:
    error = refusal(FIXED | {name: {"low": 0.0, "high": value}} if value > 0 else FIXED | {name: value})
    assert (error.field, error.value) == (f"space.{name}", value)


def test_momentum_beside_a_family_that_drives_its_own_is_refused() -> None:
    error = refusal({"schedules": ["cosine", "onecycle"], "lr": 0.1, "momentum": {"low": 0.8, "high": 0.95}})
    assert error.field == "space.momentum"
    assert "onecycle (space.schedules[1]) drives momentum itself" in error.rule


@pytest.mark.parametrize(("family", "name"), [("wsd", "cooldown"), ("cosine", "sampling"), ("onecycle", "three_phase")])
def test_a_range_of_something_that_is_no_number_is_refused(family: str, name: str) -> None:
    error = refusal(entry(family=family, **{name: {"low": 0, "high": 1}}))
    assert error.field == f"space.schedules[1].{name}"
    assert "not a range" in error.rule


def test_a_range_of_whole_numbers_needs_whole_ends() -> None:
    assert "whole" in refusal(entry(family="sgdr", cycles={"low": 1.5, "high": 4})).rule


def test_one_value_written_twice_is_refused() -> None:
    error = refusal(entry(family="cosine", warmup={"choice": ["10%", 0.05, "5%"]}))
    assert (error.field, error.rule) == ("space.schedules[1].warmup", "choice: values must differ")


@pytest.mark.parametrize("budget", [{"steps": 100}, {"epochs": 10}])
@pytest.mark.parametrize("warmup", ["120 epochs", {"choice": ["5%", "120 epochs"]}])
def test_a_warmup_longer_than_the_horizon_is_refused(budget: dict[str, int], warmup: object) -> None:
    error = refusal(entry(family="cosine", warmup=warmup), budget=budget)
    assert error.field == "space.schedules[1].warmup"


def test_a_warmup_in_steps_is_refused_when_the_budget_is_in_steps_and_shorter() -> None:
    error = refusal(entry(family="cosine", warmup="120 steps"), budget={"steps": 100})
    assert error.field == "space.schedules[1].warmup"
    assert "100" in str(error)


def test_a_warmup_in_steps_may_fit_epochs_of_unknown_length() -> None:
    assert bound(entry(family="cosine", warmup="120 steps"), budget={"epochs": 1}).branches


def test_spans_that_only_together_are_too_long_are_refused() -> None:
    spans = {"warmup": {"low": 0.0, "high": 0.5}, "decay": {"choice": ["20%", "60%"]}}
    assert refusal(entry(family="wsd", **spans)).field.startswith("space.schedules[1].")


def test_searched_optimizer_numbers_take_the_place_of_the_tasks_own() -> None:
    task = Task.model_validate({"dataset": "digits", "model": "mlp", "optimizer": {"name": "adamw", "beta2": 0.95}})
    changed = task_with(task, {"lr": 0.1, "momentum": 0.8, "weight_decay": 0.02})
    assert changed.optimizer.model_dump() == task.optimizer.model_dump() | {"momentum": 0.8, "weight_decay": 0.02}
    assert task_with(task, {"lr": 0.1}) is task


def config(params: dict[str, Any], family: str = "cosine") -> str:
    space = bound({"schedules": [{"family": family}], "lr": 0.1})
    return config_of(space.branches[0].schedule(params), params)


def test_configurations_are_equal_when_they_train_alike() -> None:
    assert config({"lr": 0.1, "warmup": "5%"}) == config({"warmup": 0.05, "lr": 0.1})
    assert config({"lr": 0.1}) == config({"lr": 0.1, "warmup": 0})
    assert len(config({"lr": 0.1})) == 16


def test_configurations_differ_in_schedule_and_optimizer_numbers() -> None:
    points: list[dict[str, Any]] = [{"lr": 0.1}, {"lr": 0.2}, {"lr": 0.1, "momentum": 0.9}, {"lr": 0.1, "warmup": "5%"}]
    assert len({config(point) for point in points} | {config({"lr": 0.1}, "linear")}) == 5


def test_no_preset_has_a_parameter_named_like_the_optimizers() -> None:
    names = {parameter.name for preset in REGISTRY.values() for parameter in preset.parameters}
    assert not names & {"lr", *OPTIMIZER}


@pytest.mark.parametrize("family", [name for name in REGISTRY if name != "lr_range_test"])
def test_every_family_can_be_searched_over_all_its_own_default_domains(family: str) -> None:
    preset = REGISTRY[family]
    domains = {name: dict(domain) for name, domain in preset.space.items()}
    strategy = strategy_for(
        study(
            {"method": "tpe", "trials": 16},
            {"schedules": [{"family": family, **domains}], "lr": {"low": 1e-3, "high": 1.0, "log": True}},
            budget={"epochs": 100},
        )
    )
    drawn = [proposal for number in range(16) if (proposal := strategy.fallback(number))]
    assert all(proposal.schedule.bind(2000, 20).total_steps == 2000 for proposal in drawn)


def test_keys_handed_back_in_another_order_change_nothing() -> None:
    one = {"family": "rex", "d": {"low": 0.1, "high": 0.9}, "warmup": {"low": 0.0, "high": 0.1}}
    other = dict(reversed(one.items()))
    definitions = [study({"method": "tpe", "trials": 9}, {"schedules": [item], "lr": 0.1}) for item in (one, other)]
    first, second = (strategy_for(CreateStudy.model_validate(item.model_dump(mode="json"))) for item in definitions)
    assert first.propose([], 0, 9) == second.propose([], 0, 9)


def test_a_space_of_many_thousand_choices_is_bound_in_a_moment() -> None:
    many = {"choice": [0.001 * number for number in range(1, 5_000)]}
    families = ["cosine", "rex", "polynomial", "linear", "wsd", "sgdr", "step", "exponential"]
    definition = study({"method": "tpe", "trials": 10}, {"schedules": families, "lr": many, "weight_decay": many})
    start = process_time()
    bind(definition.space, definition.task, definition.budget)
    assert process_time() - start < 2.0
