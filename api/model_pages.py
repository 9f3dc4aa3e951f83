"""The pages of models: which judge and which only watch, how good they are, and an admin's decision about them."""

from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from api import model_views, views
from api.access import Admin, Caller, Role, Viewer
from api.answers import Words
from api.frame import frame, place
from api.parts import Parts, parts
from api.rendering import page
from core.errors import Conflict, InvalidInput

router = APIRouter(include_in_schema=False)

DONE = {
    "live": "It judges now: detection goes by it from its next turn on.",
    "retired": "It is retired. It neither judges nor watches any more.",
}


@router.get("/models")
def models(request: Request, caller: Viewer) -> Response:
    """All models by profile, live and shadow first, and how the findings of each detector ended."""
    part = parts(request)
    entries = part.models.entries()
    profiles = sorted({entry.profile for entry in entries})
    return page(
        request,
        "models.html",
        **frame(part, caller),
        groups=[
            {
                "name": profile,
                "title": _names(part, profile).profile,
                "models": model_views.ordered([e for e in entries if e.profile == profile]),
            }
            for profile in profiles
        ],
        place=place,
        performance=[{"row": row, "profile": _names(part, row.profile).profile} for row in part.models.performance()],
        words=model_views,
    )


@router.get("/models/{profile}/{version}")
def model(request: Request, caller: Viewer, profile: Words, version: Words, done: str = "") -> Response:
    """One model: card, comparison, drift, history, and a form for admins."""
    return _model_page(request, caller, profile, version, done=DONE.get(done, ""))


@router.post("/models/{profile}/{version}/stage")
def stage(
    request: Request,
    caller: Admin,
    profile: Words,
    version: Words,
    to: Annotated[Literal["live", "retired"], Form()],
    reason: Annotated[Words, Form(max_length=2000)] = "",
) -> Response:
    """Promotes or retires a model; what cannot be is said on its page."""
    store = parts(request).models
    act = store.promote if to == "live" else store.retire
    try:
        act(profile, version, actor=caller.name, reason=reason)
    except (Conflict, InvalidInput) as error:
        return _model_page(request, caller, profile, version, error=str(error), status=HTTPStatus.CONFLICT)
    return RedirectResponse(f"{place('models', profile, version)}?done={to}", HTTPStatus.SEE_OTHER)


def _model_page(
    request: Request,
    caller: Caller,
    profile: str,
    version: str,
    *,
    done: str = "",
    error: str = "",
    status: HTTPStatus = HTTPStatus.OK,
) -> Response:
    part = parts(request)
    standing = part.models.standing(profile, version)
    names = _names(part, profile)
    return page(
        request,
        "model.html",
        status=status,
        **frame(part, caller),
        standing=standing,
        model=standing.entry,
        names=names,
        figures=model_views.figures(standing.entry),
        sides=model_views.sides(standing.comparison) if standing.comparison else [],
        words=model_views,
        may_stage=caller.role.covers(Role.ADMIN),
        here=place("models", profile, version),
        done=done,
        error=error,
    )


def _names(part: Parts, profile: str) -> views.Names:
    return views.Names(profile, part.profile(profile))
