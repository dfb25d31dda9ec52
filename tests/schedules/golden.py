"""The golden file's families and parameters, as the file spells them, turned into bound schedules of the gr."""

import math
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import schedules as gr
from schedules import Once, Profile, Schedule, Warmup
from schedules import profiles as pr

Params = dict[str, Any]
Family = Callable[[Params, int], Schedule]


def from_reference(family: str, params: Params, total_steps: int) -> gr.BoundSchedule:
    """The bound schedule of a vector: `lr(step)` and `momentum(step)` as the file gives them, also past total_steps."""
    if family not in FAMILIES:
        raise gr.ScheduleError("family", f"need one of {', '.join(sorted(FAMILIES))}", repr(family))
    horizon = math.ceil(HORIZONS[family](params)) if family in HORIZONS else params.get("total_steps", total_steps)
    # A vector may stop inside its warmup; the schedule's horizon is at least that long.
    horizon = max(horizon, params.get("warmup_steps", 0), 1)
    return FAMILIES[family](params, horizon).bind(horizon)


def steps(count: float) -> gr.Span:
    return gr.Span(float(count), "steps")


def ramp(count: float, start: float = 0.0, **more: Any) -> Warmup | None:
    return Warmup(span=steps(count), start=start, **more) if count else None


def place(p: Params, shape: Any, *, low: float = 0.0, warm: Warmup | None = None, **more: Any) -> Schedule:
    """The shape at the vector's rate, down to `low`, after its warmup; it goes on past the horizon as the file does."""
    warm = warm or ramp(p.get("warmup_steps", 0))
    lr = more.pop("lr", None) or p["base_lr"]
    if "base_momentum" in p and p.get("cycle_momentum", True):
        more["momentum"] = gr.Against(low=p["base_momentum"], high=p["max_momentum"])
    return Schedule(lr=lr, shape=shape, end=low / lr, warmup=warm, **{"after": "continue"} | more)


def once(p: Params, profile: Profile, over: float | None = None, beyond: str = "hold", **more: Any) -> Schedule:
    return place(p, Once(profile=profile, over=None if over is None else steps(over), beyond=beyond), **more)


def endless(p: Params, profile: Profile, over: float, **more: Any) -> Schedule:
    """The formula on a time scale of its own, past which it goes on."""
    return once(p, profile, over, "continue", **more)


def held(p: Params, over: float) -> gr.Every | None:
    return gr.Every(span=steps(over)) if p.get("staircase") else None


def anneal(name: str) -> Profile:
    return pr.Linear() if name == "linear" else pr.Cosine()


def linear(p: Params, total: int) -> Schedule:
    start, end = p["start_factor"], p["end_factor"]
    shape = Once(profile=pr.Linear(), over=steps(p["total_iters"]), rising=start < end)
    return place(p, shape, lr=p["base_lr"] * max(start, end), low=p["base_lr"] * min(start, end))


def multistep(p: Params, total: int) -> Schedule:
    at = tuple(max(float(m - p.get("offset", 0)), 0.0) for m in p["milestones"])
    return endless(p, pr.Steps(at=at, gamma=p["gamma"]) if at else pr.Constant(), 1)


def exponential_transition(p: Params, total: int) -> Schedule:
    limit, over, begin = p.get("end_value"), p["transition_steps"], p.get("transition_begin") or 0
    profile = pr.Exponential(ratio=p["decay_rate"], limit=None if limit is None else limit / p["base_lr"])
    if not begin:
        return endless(p, profile, over, sampling=held(p, over))
    later = endless({"base_lr": 1.0}, profile, over, sampling=held(p, over))
    return place(p, gr.Join(parts=(Schedule(lr=1.0), later), at=(steps(begin),)))


def factor(p: Params, lr: float) -> Schedule:
    return endless(p, pr.Exponential(ratio=p["factor"], limit=p["stop_factor_lr"] / lr), 1, lr=lr)


def noam(p: Params, total: int) -> Schedule:
    count = p["warmup_steps"]
    lr = p["base_lr"] * p["d_model"] ** -0.5 * count**-0.5
    warm = ramp(count, counting="next")
    return endless(p, pr.InverseSqrt(), count, lr=lr, warm=warm, accounting="shifted")


def polynomial(p: Params, total: int) -> Schedule:
    profile = pr.KDecay(profile=pr.Polynomial(power=p["power"]), k=p.get("k", 1.0))
    return once(p, profile, low=p.get("lr_end", p.get("lr_min", 0.0)))


def cosine_with_warmup(p: Params, total: int) -> Schedule:
    low = p["min_lr"] if p.get("min_lr") is not None else p["base_lr"] * (p.get("min_lr_rate") or 0.0)
    turns = 2 * p.get("num_cycles", 0.5)
    over = None if turns == 1 else (total - p["warmup_steps"]) / turns
    return once(p, pr.Cosine(), over, "mirror" if over else "hold", low=low)


def cosine_then_constant(p: Params, total: int) -> Schedule:
    div = p["div_factor"]
    shape = Once(profile=pr.Cosine(), tail=steps(p["n_inf"]))
    return place(p, shape, low=p["base_lr"] / (div * p["final_div_factor"]), warm=ramp(p["warmup_steps"], 1 / div))


def cyclic(p: Params, total: int) -> Schedule:
    up, mode = p["step_size_up"], p.get("mode", "triangular")
    shrinking = Once(profile=pr.Exponential(ratio=p.get("gamma", 1.0)), over=steps(1), beyond="continue")
    shape = gr.Cycle(
        up=steps(up),
        down=steps(p.get("step_size_down") or up),
        decay=0.5 if mode == "triangular2" else 1.0,
        envelope=shrinking if mode == "exp_range" else None,
    )
    return place(p, shape, lr=p["max_lr"], low=p["base_lr"])


def onecycle(p: Params, total: int) -> Schedule:
    rise, start = p["pct_start"], 1 / p["div_factor"]
    turn = 2 * rise if p.get("three_phase") else None
    shape = gr.OneCycle(rise=rise, turn=turn, start=start, profile=anneal(p.get("anneal_strategy", "cos")))
    return place(p, shape, lr=p["max_lr"], low=p["max_lr"] * start / p["final_div_factor"], accounting="closed")


def onecycle_fastai(p: Params, total: int) -> Schedule:
    high, least, final = p.get("moms") or (0.95, 0.85, 0.95)
    momentum = gr.Against(low=least, high=high, final=None if final == high else final)
    shape = gr.OneCycle(rise=p["pct_start"], start=1 / p["div"], accounting="fraction")
    return place(p, shape, lr=p["lr_max"], low=p["lr_max"] / p["div_final"], momentum=momentum)


def onecycle_optax(p: Params, total: int) -> Schedule:
    peak, start, straight = p["peak_value"], 1 / p["div_factor"], p.get("kind", "cosine") == "linear"
    turn = p.get("pct_final", 0.85) if straight else None
    shape = gr.OneCycle(rise=p["pct_start"], turn=turn, start=start, profile=anneal(p["kind"]), accounting="floor")
    return place(p, shape, lr=peak, low=peak * start / p["final_div_factor"])


def flat_cos(p: Params, total: int) -> Schedule:
    shape = gr.StableDecay(decay=steps(total - p["pct_start"] * total), cooldown=pr.Cosine())
    return place(p, shape, lr=p["lr"], low=p["lr"] / p["div_final"])


def slanted(p: Params, total: int) -> Schedule:
    shape = gr.OneCycle(rise=p["cut_frac"], start=1 / p["ratio"], profile=pr.Linear(), accounting="ulmfit")
    return place(p, shape, lr=p["lr_max"], low=p["lr_max"] / p["ratio"])


def sampled(p: Params, total: int) -> Schedule:
    rate = p["sampling"]
    held_at = gr.At(points=tuple(rate)) if isinstance(rate, list) else None
    holding = held_at if held_at or rate == "iter" else gr.Every(span=steps(rate))
    return once(p, PROFILES[p["profile"]](p), low=p.get("min_lr", 0.0), sampling=holding)


def two_point(p: Params, total: int) -> Schedule:
    fields = {key: p[key] for key in ("y1", "delta_x1", "delta_x2", "delta_y2")}
    return once(p, gr.TwoPoint(**fields, curve=p.get("curve", "linear")), warm=ramp(p["x0"] * total))


def fractal(p: Params, total: int) -> Schedule:
    shape = gr.Fractal(period=p["T"], condition=p["m"] / p["M"])
    return place(p, shape, lr=p["base_lr"] / (p["M"] * float(shape.curvatures()[0])))


def wsd(p: Params, total: int) -> Schedule:
    low, kind = float(p.get("min_lr_ratio", 0.0)), p.get("decay", "linear")
    warm = ramp(p["warmup_steps"], p.get("warmup_start", low), ramp=PROFILES[p.get("warmup_type", "linear")](p))
    if kind == "exp":
        return place(p, gr.StableDecay(decay=steps(p["decay_steps"]), cooldown=pr.Exponential(ratio=low)), warm=warm)
    shape = gr.StableDecay(decay=steps(p["decay_steps"]), cooldown=PROFILES[kind](p))
    return place(p, shape, low=low * p["base_lr"], warm=warm)


def rsqrt_cooldown(p: Params, total: int) -> Schedule:
    power = {"constant": None, "rsqrt": 0.5, "power": p.get("stable_power", 0.5)}[p["stable"]]
    ratio = p.get("decay_ratio", 0.1)
    shape = gr.StableDecay(
        decay=steps(p["decay_t"]),
        cooldown=pr.Exponential(ratio=ratio, anchored=True) if p["decay"] == "exp" else PROFILES[p["decay"]](p),
        stable=pr.Constant() if power is None else pr.InverseSqrt(power=power),
        scale=steps(p.get("stable_timescale") or p["warmup_t"] or 1),
    )
    return place(p, shape, low=p["lr_min"], warm=ramp(p["warmup_t"], p.get("warmup_lr_init", 0.0) / p["base_lr"]))


def sequential(p: Params, total: int) -> Schedule:
    parts = tuple(torch_part(part, total) for part in p["parts"])
    return place(p, gr.Join(parts=parts, at=tuple(steps(m) for m in p["milestones"])))


def torch_part(part: dict[str, Params], total: int) -> Schedule:
    ((family, params),) = part.items()
    return FAMILIES[family]({"base_lr": 1.0, **params}, total)


def warmup(p: Params, total: int) -> Schedule:
    text = p["convention"]
    number = re.search(r"(?:start_factor|exp\(-|\^|power|init)[ =]*(\d[\d./e-]*)", text)
    value = float(Fraction(number[1])) if number else None
    more: Params = {"counting": "inside" if text.startswith("(t+1)/(W+1)") else "next" if text[0] == "(" else "elapsed"}
    if text.startswith("start_factor"):
        more["start"] = p.get("start_factor", value)
    elif text.startswith("exp"):
        more["ramp"] = pr.Saturating(rate=p.get("exp_growth_rate", value or 5.0))
    elif text.startswith("poly"):
        more["ramp"] = pr.Polynomial(power=p.get("poly_power", value or 2.0))
    elif (name := re.findall(r"[\w-]+", text)[0]) in PROFILES:
        more["ramp"] = PROFILES[name](p)
    return place(p, Once(), warm=ramp(p["warmup_steps"], **more))


PROFILES: dict[str, Callable[[Params], Profile]] = {
    "constant": lambda p: pr.Constant(),
    "linear": lambda p: pr.Linear(),
    "cosine": lambda p: pr.Cosine(),
    "rex": lambda p: pr.Rex(d=p.get("d", 0.5)),
    # exp(-4 z), the REX repository's: 1.8 % is left at the end.
    "exp": lambda p: pr.Exponential(ratio=math.exp(-p.get("exponent", 4.0))),
    "polynomial": lambda p: pr.Polynomial(power=p.get("power", 1.0)),
    "1-sqrt": lambda p: pr.OneMinusSqrt(),
    "square": lambda p: pr.Square(),
    "mirror_cosine": lambda p: pr.MirrorCosine(),
    "power": lambda p: pr.OneMinusPower(power=p["decay_power"]),
}

HORIZONS: dict[str, Callable[[Params], float]] = {
    "wsd": lambda p: p["warmup_steps"] + p["stable_steps"] + p["decay_steps"],
    "rsqrt_cooldown": lambda p: p["warmup_t"] + p["t_initial"],
}

FAMILIES: dict[str, Family] = {
    "constant": lambda p, t: place(p, Once()),
    "constant_with_warmup": lambda p, t: place(p, Once()),
    "constant_factor": lambda p, t: endless(
        p, pr.Steps(at=(p["total_iters"],), gamma=1 / p["factor"]), 1, lr=p["base_lr"] * p["factor"]
    ),
    "linear": linear,
    "linear_with_warmup": lambda p, t: once(p, pr.Linear()),
    "step": lambda p, t: endless(
        p, pr.Exponential(ratio=p["gamma"]), p["step_size"], sampling=gr.Every(span=steps(p["step_size"]))
    ),
    "multistep": multistep,
    "multistep_timm": multistep,
    "exponential": lambda p, t: endless(p, pr.Exponential(ratio=p["gamma"]), 1),
    "exponential_transition": exponential_transition,
    "factor": lambda p, t: factor(p, p["base_lr"] * (p["factor"] if p.get("first_call_decays", True) else 1.0)),
    "square_root": lambda p, t: endless(p, pr.InverseSqrt(), 1),
    "inverse_time": lambda p, t: endless(
        p, pr.InverseTime(rate=p["decay_rate"]), p["decay_steps"], sampling=held(p, p["decay_steps"])
    ),
    "inverse_sqrt": lambda p, t: endless(p, pr.InverseSqrt(), p.get("timescale") or p["warmup_steps"] or 10_000),
    "noam": noam,
    "polynomial": polynomial,
    "polynomial_kdecay": polynomial,
    "cosine": lambda p, t: once(
        p, pr.Cosine(), p["T_max"], "hold" if p.get("after") == "clamp" else "mirror", low=p.get("eta_min", 0.0)
    ),
    "cosine_with_warmup": cosine_with_warmup,
    "cosine_with_min_lr": cosine_with_warmup,
    "cosine_power": lambda p, t: once(
        p, pr.Cosine(power=p["exponent"]), p["decay_steps"], low=p["alpha"] * p["base_lr"]
    ),
    "cosine_kdecay": lambda p, t: once(p, pr.KDecay(profile=pr.Cosine(), k=p["k"]), p["t_initial"], low=p["lr_min"]),
    "cosine_timm_warmup": lambda p, t: once(
        p,
        pr.Cosine(),
        p["t_initial"],
        low=p["lr_min"],
        warm=ramp(p["warmup_t"], p["warmup_lr_init"] / p["base_lr"], overlay=not p["warmup_prefix"]),
    ),
    "cosine_then_constant": cosine_then_constant,
    "cosine_warm_restarts": lambda p, t: place(
        p, gr.Restarts(first=steps(p["T_0"]), factor=p["T_mult"], decay=p.get("cycle_decay", 1.0)), low=p["eta_min"]
    ),
    "cosine_hard_restarts": lambda p, t: place(p, gr.Restarts(cycles=p["num_cycles"]), after="hold"),
    "cyclic": cyclic,
    "onecycle": onecycle,
    "onecycle_fastai": onecycle_fastai,
    "onecycle_optax": onecycle_optax,
    "flat_cos": flat_cos,
    "slanted_triangular": slanted,
    "rex": lambda p, t: once(p, pr.Rex(d=p["d"]), low=p.get("min_lr", 0.0)),
    "sampled_profile": sampled,
    "tanh": lambda p, t: once(p, pr.Tanh(lower=p["lb"], upper=p["ub"]), p["t_initial"], low=p.get("lr_min", 0.0)),
    "swa_lr": lambda p, t: once(p, anneal(p["anneal_strategy"]), p["anneal_epochs"], low=p["swa_lr"]),
    "two_point_linear": two_point,
    "two_point_spline": lambda p, t: two_point({"curve": "spline", **p}, t),
    "sqrt_circle": lambda p, t: once(p, pr.Circle(power=p["alpha"])),
    "fractal_chebyshev": fractal,
    "wsd": wsd,
    "rsqrt_cooldown": rsqrt_cooldown,
    "sequential": sequential,
    "chained": lambda p, t: place(p, gr.Product(factors=tuple(torch_part(part, t) for part in p["factors"]))),
    "warmup": warmup,
}
