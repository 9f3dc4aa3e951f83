"""REST about models: which judge and watch, what became of their findings, and staging."""

from typing import Any

from fastapi import APIRouter, Request

from api import model_answers
from api.access import Admin, Viewer
from api.answers import Words
from api.paging import Name
from api.parts import parts
from proactive.models import ModelStore

router = APIRouter(prefix="/api/v1")


@router.get("/models")
def list_models(request: Request, _caller: Viewer, profile: Name = None) -> list[model_answers.Model]:
    """All models, or those of a profile, newest first."""
    return [model_answers.Model.model_validate(entry) for entry in parts(request).models.entries(profile)]


@router.get("/models/{profile}/{version}")
def get_model(request: Request, _caller: Viewer, profile: Words, version: Words) -> model_answers.ModelDetail:
    """One model: its card, its history, what became of its findings, and whether its devices still send what it knows."""
    return _detail(parts(request).models, profile, version)


@router.post("/models/{profile}/{version}/stage")
def stage_model(
    request: Request, caller: Admin, profile: Words, version: Words, change: model_answers.StageModel
) -> model_answers.ModelDetail:
    """Makes a model live (what was live is retired), or retires it (nothing takes its place)."""
    models = parts(request).models
    act = models.promote if change.stage == "live" else models.retire
    act(profile, version, actor=caller.name, reason=change.reason)
    return _detail(models, profile, version)


def _detail(models: ModelStore, profile: str, version: str) -> model_answers.ModelDetail:
    standing = models.standing(profile, version)
    shown: dict[str, Any] = model_answers.Model.model_validate(standing.entry).model_dump()
    shown |= {
        "fits": standing.fits,
        "history": standing.changes,
        "record": standing.record,
        "comparison": standing.comparison,
        "drift": None,
        "decision": str(standing.decision) if standing.decision else None,
    }
    if standing.drift:
        at, seen = standing.drift
        shown["drift"] = {
            "at": at,
            "days": seen.days,
            "devices": seen.devices,
            "enough": seen.enough,
            "signals": list(seen.signals),
            "unknown_codes": list(seen.unknown_codes),
        }
    return model_answers.ModelDetail.model_validate(shown)
