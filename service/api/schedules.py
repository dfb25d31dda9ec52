"""The schedule families, from the one registry, and drawings as SVG."""

from __future__ import annotations

from fastapi import APIRouter, Response

from contract.errors import FieldError
from contract.pages import Page
from contract.presets import DrawSchedules, ParameterView, PresetView
from schedules import ScheduleError
from schedules.presets import REGISTRY, Preset
from schedules.svg import svg
from schedules.traces import Curve
from service import results
from service.access.gate import READ, SUBMIT, GatedRoute
from service.api.context import Ctx, Id
from service.errors import InvalidRequest, NotFound

router = APIRouter(tags=["schedules"], route_class=GatedRoute)
SVG = {"content": {"image/svg+xml": {}}, "description": "The drawing"}


class SvgResponse(Response):
    """A drawing; it carries no scripts, and its labels are escaped."""

    media_type = "image/svg+xml"


@router.get("/schedules", dependencies=[READ])
def list_schedules() -> Page[PresetView]:
    """Every schedule family a study can name, with formula, source, parameters and default search ranges."""
    return Page(items=[_view(preset) for preset in REGISTRY.values()], next=None)


@router.get("/schedules/{name}", dependencies=[READ])
def get_schedule(name: str) -> PresetView:
    """One schedule family."""
    preset = REGISTRY.get(name)
    if preset is None:
        raise NotFound(f"there is no schedule family {name[:80]!r}; GET /api/v1/schedules lists them")
    return _view(preset)


@router.post("/drawings", dependencies=[SUBMIT], response_class=SvgResponse, responses={200: SVG})
def draw_schedules(body: DrawSchedules) -> SvgResponse:
    """Draw schedules on one plot; momentum below, where one drives it.

    What answers to a metric cannot be drawn before training; the plot says so.
    """
    bounds: dict[str, Curve] = {}
    for name, schedule in body.schedules.items():
        try:
            bounds[name] = schedule.bind(body.total_steps, body.steps_per_epoch)
        except ScheduleError as error:
            raise _invalid(f"schedules.{name}.{error.argument}", error) from error
    try:
        return SvgResponse(svg(bounds, width=body.width, height=body.height, log=body.log))
    except ScheduleError as error:
        raise _invalid(error.argument, error) from error


@router.get("/trials/{trial_id}/schedule.svg", dependencies=[READ], response_class=SvgResponse, responses={200: SVG})
def draw_trial(trial_id: Id, ctx: Ctx, log: bool = False) -> SvgResponse:
    """The rate a trial uses over its horizon; of a schedule that answers to a metric, the rate used so far."""
    with ctx.database.read() as session:
        return SvgResponse(results.drawing(session, trial_id, log=log))


def _view(preset: Preset) -> PresetView:
    return PresetView(
        name=preset.name,
        summary=preset.summary,
        formula=preset.formula,
        source=preset.source,
        needs_metric=preset.needs_metric,
        parameters=[
            ParameterView(
                name=one.name,
                kind=one.kind,
                description=one.description,
                rule=one.rule,
                default=one.default,
                search=None if one.search is None else dict(one.search),
            )
            for one in preset.parameters
        ],
    )


def _invalid(field: str, error: ScheduleError) -> InvalidRequest:
    return InvalidRequest(str(error), [FieldError(field=field, rule=str(error.rule), value=str(error.value)[:200])])
