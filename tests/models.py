"""A small model of a profile, learnt from numbers of no meaning: what tests of the registry and of the pages stage."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from psycopg.types.json import Jsonb
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from anomaly import registry
from anomaly.drift import Drift, SignalDrift
from anomaly.learning.features import Features, Vocabulary
from anomaly.learning.forest import Forest
from anomaly.learning.model import ComponentModel, Model, Quantiles, Remaining, hash_of
from core.database import Database
from core.profile import Profile, Profiles

FIGURES = {
    "recall": 0.84,
    "precision": 0.9,
    "false_per_device_month": 0.05,
    "lead_median_hours": 61.0,
    "component_right": 0.97,
}


def small_model(
    profile: Profile,
    *components: str,
    codes: tuple[str, ...] = ("E23",),
    figures: dict[str, float] | None = None,
    limit: float = 0.5,
) -> Model:
    """A model of some components, whose usual values are those of a standard normal."""
    vocabulary = Vocabulary(codes=codes, attributes={})
    features = Features(profile, vocabulary)
    random = np.random.default_rng(1)
    rows = random.normal(size=(200, len(features.names))).astype(np.float32)
    horizon = profile.horizon / profile.tick
    texts = np.zeros(rows.shape[1], dtype=bool)
    fit = HistGradientBoostingRegressor(max_iter=2).fit(rows, np.clip(rows[:, 0] * horizon, 0, horizon))
    lives = Forest.of(fit, rows, texts)
    own = ComponentModel(
        members=(Forest.of(HistGradientBoostingClassifier(max_iter=2).fit(rows, rows[:, 0] > 1), rows, texts),),
        slope=1.0,
        beside=None,
        intercept=0.0,
        limit=limit,
        remaining=Remaining(members=(Quantiles(lives, lives, lives),), margin=1.0),
    )
    card: dict[str, Any] = {
        "since": "2026-01-01T00:00:00+00:00",
        "until": "2026-10-31T23:00:00+00:00",
        "devices": 212,
        "device_months": 2100.5,
        "failures": 96,
        "budget": 0.1,
        "components": {
            name: {"failures": 48, "large": False, "regression": False, "remaining": True} for name in components
        },
        "features": list(features.names),
        "figures": FIGURES if figures is None else figures,
    }
    return Model(
        version="",
        profile=profile.name,
        profile_hash=hash_of(profile),
        horizon=horizon,
        vocabulary=vocabulary,
        usual=np.quantile(rows, (0.05, 0.5, 0.95), axis=0).astype(np.float32),
        components=dict.fromkeys(components, own),
        card=card,
    )


def seed_models(database: Database, now: datetime) -> None:
    """Beside `tests.seed`: a retired, a live and a shadow model of refrigerators, what the live one says of FRIDGE, and
    thresholds alone of compressors.
    """
    fridge = Profiles()["fridge"]
    day = timedelta(days=1)
    with database.transaction() as c:
        for back, components in ((60, ("compressor",)), (25, ("compressor",)), (12, ("compressor", "evaporator_fan"))):
            model = small_model(fridge, *components)
            corrected = {"by": ["ambient_temp", "door_open"], "signals": ["cabinet_temp", "power"]}
            model = replace(model, card={**model.card, "corrected": corrected})
            at = now - back * day
            entry = registry.add(c, model, actor="forewarn train", reason="trained", now=at)
            if back != 12:
                stage, reason = at + day, "Watched for a day, found what we knew."
                registry.stage(c, "fridge", entry.version, "live", actor="Dana", reason=reason, now=stage)
        costs: dict[str, Any] = {"threshold_factor": 0.71, "findings": {"by_thresholds": 0.09, "as_configured": 0.013}}
        alone = small_model(Profiles()["air_compressor"], figures={})
        alone = replace(alone, card={**alone.card, **costs, "failures": 0})
        registry.add(c, alone, actor="forewarn train", reason="the history is long enough", now=now - 2 * day)
        for device, ago in ((1, 3.2), (6, 1.1)):
            c.execute(
                "INSERT INTO shadow_finding (model_id, device_id, component, failure_mode, began_at, opened_at, score, because,"
                " stored_at) VALUES (%s, %s, 'compressor', 'compressor_wear', %s, %s, 1.2, 'odd', %s)",
                (entry.id, device, *[now - ago * day] * 3),
            )
        c.execute("UPDATE device SET created_at = %s", (now - 90 * day,))
        c.execute(
            "INSERT INTO judged (device_id, until, heard_at) SELECT id, %s, %s FROM device WHERE profile = 'fridge'"
            " ON CONFLICT (device_id) DO UPDATE SET heard_at = excluded.heard_at",
            (now, now),
        )
        signals = tuple(
            SignalDrift(signal=name, unit=fridge.signals[name].unit, low=low, high=high, index=index, outside=outside)
            for name, low, high, index, outside in (
                ("cabinet_temp", 2.1, 6.4, 0.03, 0.02),
                ("ambient_temp", 14.2, 27.8, 0.61, 0.4),
                ("power", 41.0, 66.0, 0.12, 0.11),
            )
        )
        drift = Drift(days=7, devices=42, signals=signals, unknown_codes=("E99",))
        registry.save_drift(c, entry.id, drift, now - timedelta(hours=3))
        evidence = {"signals": [
            {"signal": "compressor_vibration", "unit": "m/s2", "normal_low": 1.6, "normal_high": 2.5, "seen": 4.82,
             "contribution": 0.4, "direction": "high"},
            {"signal": "power", "unit": "W", "normal_low": 40.1, "normal_high": 66.2, "seen": 84.0, "contribution": 0.2, "direction": "high"},
            {"signal": "E23", "unit": "count", "normal_low": 0.0, "normal_high": 0.1, "seen": 1.7, "contribution": 0.25,
             "direction": "high"},
            {"signal": "compressor", "unit": "h", "normal_low": 300.0, "normal_high": 20000.0, "seen": 26000.0,
             "contribution": 0.15, "direction": "high"},
        ]}  # fmt: skip
        c.execute(
            "UPDATE finding SET detector = 'failure_model', version = %s, evidence = %s, remaining_p10_d = 0.6,"
            " remaining_p50_d = 1.2, remaining_p90_d = 1.8"
            " WHERE failure_mode = 'compressor_wear' AND device_id = 1 AND closed_at IS NULL",
            (f"{now - 25 * day:%Y-%m-%d}.1", Jsonb(evidence)),
        )
