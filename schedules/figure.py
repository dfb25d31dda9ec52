"""Schedules drawn with matplotlib or plotly, whichever is installed; both are imported on demand only."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from schedules.errors import ScheduleError
from schedules.traces import Curve, Floats, Steps, Trace, horizon, sample

POINTS = 2000


def figure(
    bounds: Mapping[str, Curve],
    *,
    log: bool = False,
    backend: Literal["auto", "matplotlib", "plotly"] = "auto",
) -> Any:  # Any: a matplotlib or a plotly Figure, and neither library ships with Switchback
    """A matplotlib or plotly `Figure`: the rates, and the momentum below where it is driven.

    `auto` takes matplotlib where both are installed. The figure belongs to no window: save it, or show it in a
    notebook.
    """
    backends = {"matplotlib": _matplotlib, "plotly": _plotly}
    if backend != "auto" and backend not in backends:
        raise ScheduleError("backend", f"need one of auto, {', '.join(backends)}", backend)
    wanted = tuple(backends) if backend == "auto" else (backend,)
    installed = [name for name in wanted if importlib.util.find_spec(name) is not None]
    if not installed:
        raise ModuleNotFoundError(f"a figure needs {' or '.join(wanted)}; install one of them")
    rates, momenta = sample(bounds, POINTS)
    return backends[installed[0]](rates, momenta, horizon(bounds), log)


def _matplotlib(rates: list[Trace], momenta: list[Trace], total_steps: int, log: bool) -> Any:  # Any: see `figure`
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(8, 5 if momenta else 3.5), layout="constrained")
    ratios = (3, 1) if momenta else (1,)
    axes = drawing.subplots(len(ratios), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": ratios})[:, 0]
    colours = {trace.name: f"C{index}" for index, trace in enumerate(rates)}
    for panel, traces, label in zip(axes, (rates, momenta), ("learning rate", "momentum"), strict=False):
        for trace in traces:
            steps, values = _held(trace)
            panel.plot(steps, values, drawstyle="steps-post", label=trace.name, color=colours[trace.name])
        panel.set_ylabel(label)
        panel.grid(alpha=0.3)
    if log:
        axes[0].set_yscale("log")
    axes[0].legend()
    axes[-1].set_xlabel("step")
    axes[-1].set_xlim(0, total_steps)
    return drawing


def _plotly(rates: list[Trace], momenta: list[Trace], total_steps: int, log: bool) -> Any:  # Any: see `figure`
    from plotly.subplots import make_subplots

    rows = 2 if momenta else 1
    drawing = make_subplots(
        rows=rows, cols=1, shared_xaxes=True, row_heights=[0.75, 0.25][:rows], vertical_spacing=0.06
    )
    colours = {trace.name: index for index, trace in enumerate(rates)}
    palette = drawing.layout.template.layout.colorway or ("#636efa", "#ef553b", "#00cc96", "#ab63fa", "#ffa15a")
    for row, traces in enumerate((rates, momenta)[:rows], start=1):
        for trace in traces:
            steps, values = _held(trace)
            line = {"shape": "hv", "color": palette[colours[trace.name] % len(palette)]}
            drawing.add_scatter(
                x=steps,
                y=values,
                mode="lines",
                line=line,
                name=trace.name,
                legendgroup=trace.name,
                showlegend=row == 1,
                row=row,
                col=1,
            )
    drawing.update_yaxes(title_text="learning rate", type="log" if log else "linear", row=1, col=1)
    if momenta:
        drawing.update_yaxes(title_text="momentum", row=2, col=1)
    drawing.update_xaxes(title_text="step", range=[0, total_steps], row=rows, col=1)
    return drawing


def _held(trace: Trace) -> tuple[Steps, Floats]:
    """The last value is in force up to the horizon."""
    return np.append(trace.steps, trace.total_steps), np.append(trace.values, trace.values[-1])
