"""How each library named in the golden file is asked for its rates; the libraries are imported when called."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
from torch.optim import lr_scheduler as sched
from torch.optim.swa_utils import SWALR

Params = dict[str, Any]
Rates = list[tuple[float, float]]
Driven = Callable[[str, Params, int, int], Rates]
"""(family, params, total_steps, updates) -> the rate and the momentum of each update."""


def drive(lr: float, make: Callable[[Any], Any], updates: int, advance: Callable[[Any, int], object]) -> Rates:
    """The optimizer's own numbers before each of its updates."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr, momentum=0.9)
    scheduler, found = make(optimizer), []
    for step in range(updates):
        found.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]))
        optimizer.step()
        advance(scheduler, step + 1)
    return found


# --- torch -----------------------------------------------------------------------------------------------------------

TORCH: dict[str, Callable[[Any, Params], Any]] = {
    "constant_factor": lambda o, p: sched.ConstantLR(o, p["factor"], p["total_iters"]),
    "linear": lambda o, p: sched.LinearLR(o, p["start_factor"], p["end_factor"], p["total_iters"]),
    "step": lambda o, p: sched.StepLR(o, p["step_size"], p["gamma"]),
    "multistep": lambda o, p: sched.MultiStepLR(o, p["milestones"], p["gamma"]),
    "exponential": lambda o, p: sched.ExponentialLR(o, p["gamma"]),
    "polynomial": lambda o, p: sched.PolynomialLR(o, p["total"], p["power"]),
    "cosine": lambda o, p: sched.CosineAnnealingLR(o, p["T_max"], p["eta_min"]),
    "cosine_warm_restarts": lambda o, p: sched.CosineAnnealingWarmRestarts(o, p["T_0"], p["T_mult"], p["eta_min"]),
    "cyclic": lambda o, p: sched.CyclicLR(
        o, p["base_lr"], p["max_lr"], p["step_size_up"], p["step_size_down"], p["mode"], p["gamma"],
        base_momentum=p["base_momentum"], max_momentum=p["max_momentum"],
    ),
    "onecycle": lambda o, p: sched.OneCycleLR(o, **{name: value for name, value in p.items() if name != "total"}),
    "swa_lr": lambda o, p: SWALR(o, p["swa_lr"], p["anneal_epochs"], p["anneal_strategy"]),
    "sequential": lambda o, p: sched.SequentialLR(o, [torch_part(o, part) for part in p["parts"]], p["milestones"]),
    "chained": lambda o, p: sched.ChainedScheduler([torch_part(o, part) for part in p["factors"]], o),
    "cosine_with_warmup": lambda o, p: sched.SequentialLR(
        o,
        [
            sched.LinearLR(o, 1e-8, total_iters=p["warmup_steps"]),
            sched.CosineAnnealingLR(o, p["total_steps"] - p["warmup_steps"]),
        ],
        [p["warmup_steps"]],
    ),
}  # fmt: skip


def torch_part(optimizer: Any, part: dict[str, Params]) -> Any:
    ((family, params),) = part.items()
    return TORCH[family](optimizer, params)


def by_torch(family: str, p: Params, total: int, updates: int) -> Rates:
    lr = p.get("base_lr", 0.1)
    return drive(lr, lambda o: TORCH[family](o, {"total": total, **p}), updates, lambda s, _: s.step())


def by_epoch_argument(family: str, p: Params, total: int, updates: int) -> Rates:
    return drive(p["base_lr"], lambda o: TORCH[family](o, p), updates, lambda s, step: s.step(step))


# --- Transformers ----------------------------------------------------------------------------------------------------


def warmed(p: Params, total: int) -> Params:
    return {"num_warmup_steps": p["warmup_steps"], "num_training_steps": total}


TRANSFORMERS: dict[str, Callable[[Params, int], Params]] = {
    "get_constant_schedule": lambda p, t: {},
    "get_constant_schedule_with_warmup": lambda p, t: {"num_warmup_steps": p["warmup_steps"]},
    "get_linear_schedule_with_warmup": warmed,
    "get_inverse_sqrt_schedule": lambda p, t: {"num_warmup_steps": p["warmup_steps"], "timescale": p["timescale"]},
    "get_cosine_schedule_with_warmup": warmed,
    "get_cosine_with_min_lr_schedule_with_warmup": lambda p, t: warmed(p, t) | {"min_lr_rate": 0.1},
    "get_cosine_with_min_lr_schedule_with_warmup_lr_rate": lambda p, t: warmed(p, t) | {"min_lr_rate": 0.1},
    "get_cosine_with_hard_restarts_schedule_with_warmup": lambda p, t: warmed(p, t) | {"num_cycles": p["num_cycles"]},
    "get_wsd_schedule": lambda p, t: warmed(p, t) | {
        "num_decay_steps": p["decay_steps"], "decay_type": p["decay"], "min_lr_ratio": p["min_lr_ratio"],
    },
}  # fmt: skip


def by_transformers(name: str) -> Driven:
    def ask(family: str, p: Params, total: int, updates: int) -> Rates:
        make = getattr(import_module("transformers.optimization"), name)
        return drive(p["base_lr"], lambda o: make(o, **TRANSFORMERS[name](p, total)), updates, lambda s, _: s.step())

    return ask


# --- timm ------------------------------------------------------------------------------------------------------------

TIMM: dict[str, Callable[[Params, int], Params]] = {
    "step": lambda p, t: {"decay_t": p["step_size"], "decay_rate": p["gamma"]},
    "multistep": lambda p, t: {"decay_t": p["milestones"], "decay_rate": p["gamma"]},
    "multistep_timm": lambda p, t: {"decay_t": p["milestones"], "decay_rate": p["gamma"]},
    "polynomial": lambda p, t: {"t_initial": t, "power": p["power"]},
    "polynomial_kdecay": lambda p, t: {
        "t_initial": t, "power": p["power"], "lr_min": p["lr_min"], "k_decay": p["k"],
    },
    "cosine": lambda p, t: {"t_initial": p["T_max"], "lr_min": p["eta_min"]},
    "cosine_kdecay": lambda p, t: {"t_initial": p["t_initial"], "lr_min": p["lr_min"], "k_decay": p["k"]},
    "cosine_timm_warmup": lambda p, t: {name: value for name, value in p.items() if name != "base_lr"},
    "cosine_warm_restarts": lambda p, t: {
        "t_initial": p["T_0"], "lr_min": p["eta_min"], "cycle_mul": p["T_mult"], "cycle_limit": 99,
    },
    "tanh": lambda p, t: {"t_initial": p["t_initial"], "lb": p["lb"], "ub": p["ub"]},
    "wsd": lambda p, t: {
        "t_initial": t - p["warmup_steps"], "decay_t": p["decay_steps"], "decay_fn": p["decay"],
        "lr_min": p["min_lr_ratio"] * p["base_lr"], "warmup_t": p["warmup_steps"],
        "warmup_lr_init": p["min_lr_ratio"] * p["base_lr"],
    },
    "rsqrt_cooldown": lambda p, t: {
        "t_initial": p["t_initial"], "decay_t": p["decay_t"], "stable_fn": p["stable"], "decay_fn": p["decay"],
        "warmup_t": p["warmup_t"], "lr_min": p["lr_min"],
    },
}  # fmt: skip


def by_timm(name: str) -> Driven:
    def ask(family: str, p: Params, total: int, updates: int) -> Rates:
        make, given = getattr(import_module("timm.scheduler"), name), TIMM[family](p, total)
        return drive(
            p["base_lr"],
            lambda o: make(o, **given, t_in_epochs=False),
            updates,
            lambda s, step: s.step_update(step),
        )

    return ask


# --- optax (float32) -------------------------------------------------------------------------------------------------

OPTAX: dict[str, Callable[[Params, int], Params]] = {
    "warmup_constant_schedule": lambda p, t: {
        "init_value": 0.0, "peak_value": p["base_lr"], "warmup_steps": p["warmup_steps"],
    },
    "linear_schedule": lambda p, t: {
        "init_value": p["base_lr"] * p["start_factor"], "end_value": p["base_lr"] * p["end_factor"],
        "transition_steps": p["total_iters"],
    },
    "piecewise_constant_schedule": lambda p, t: {
        "init_value": p["base_lr"], "boundaries_and_scales": dict.fromkeys(p["milestones"], p["gamma"]),
    },
    "exponential_decay": lambda p, t: {
        "init_value": p["base_lr"], **{name: value for name, value in p.items() if name != "base_lr"},
    },
    "polynomial_schedule": lambda p, t: {
        "init_value": p["base_lr"], "end_value": p["lr_end"], "power": p["power"], "transition_steps": t,
    },
    "cosine_decay_schedule": lambda p, t: {
        "init_value": p["base_lr"], "decay_steps": p.get("T_max", t), "exponent": p.get("exponent", 1.0),
        "alpha": p["alpha"] if "alpha" in p else p["eta_min"] / p["base_lr"],
    },
    "warmup_cosine_decay_schedule": lambda p, t: {
        "init_value": 0.0, "peak_value": p["base_lr"], "warmup_steps": p["warmup_steps"], "decay_steps": t,
        "end_value": p.get("min_lr", 0.0),
    },
    "join_schedules": lambda p, t: {
        "schedules": [optax_part(part) for part in p["parts"]], "boundaries": p["milestones"],
    },
    "cosine_onecycle_schedule": lambda p, t: {
        "transition_steps": t, **{name: value for name, value in p.items() if name != "kind"},
    },
}  # fmt: skip


def optax_part(part: dict[str, Params]) -> Any:
    ((family, params),) = part.items()
    name = {"linear": "linear_schedule", "cosine": "cosine_decay_schedule"}[family]
    return getattr(import_module("optax"), name)(**OPTAX[name]({"base_lr": 0.1, **params}, 0))


def by_optax(name: str) -> Driven:
    def ask(family: str, p: Params, total: int, updates: int) -> Rates:
        schedule = getattr(import_module("optax"), name)(**OPTAX[name](p, total))
        return [(float(schedule(step)), 0.0) for step in range(updates)]

    return ask


# --- pytorch_optimizer -----------------------------------------------------------------------------------------------


def by_kozistr(name: str, given: Callable[[Params, int], Params]) -> Driven:
    def ask(family: str, p: Params, total: int, updates: int) -> Rates:
        make = getattr(import_module("pytorch_optimizer"), name)
        return drive(p["base_lr"], lambda o: make(o, **given(p, total)), updates, lambda s, _: s.step())

    return ask


def chebyshev_array(family: str, p: Params, total: int, updates: int) -> Rates:
    array = import_module("pytorch_optimizer.lr_scheduler.chebyshev").get_chebyshev_perm_steps(p["T"])
    return [(float(rate), 0.0) for rate in array]


KOZISTR: dict[str, Driven] = {
    "PolyScheduler": by_kozistr(
        "PolyScheduler", lambda p, t: {"poly_order": p["power"], "t_max": t, "max_lr": p["base_lr"]}
    ),
    "REXScheduler": by_kozistr(
        "REXScheduler", lambda p, t: {"total_steps": t, "max_lr": p["base_lr"], "min_lr": p["min_lr"]}
    ),
    "get_wsd_schedule": by_kozistr(
        "get_wsd_schedule",
        lambda p, t: {
            "num_warmup_steps": p["warmup_steps"],
            "num_stable_steps": p["stable_steps"],
            "num_decay_steps": p["decay_steps"],
            "cooldown_type": p["decay"],
            "min_lr_ratio": p["min_lr_ratio"],
        },
    ),
    "get_chebyshev_schedule": by_kozistr("get_chebyshev_schedule", lambda p, t: {"num_epochs": p["T"]}),
    "get_chebyshev_perm_steps": chebyshev_array,
}
