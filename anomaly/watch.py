"""Looks at what devices sent of late, for each model in use, and keeps how far it is from what the model learnt."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import numpy as np

from anomaly import registry
from anomaly.drift import Drift, Tally
from anomaly.learning.model import hash_of
from anomaly.registry import Entry
from core import log
from core.database import Connection, Database
from core.profile import Profile
from telemetry import history, window

_log = log.get(__name__)

SPAN = timedelta(days=7)
"""So far a look goes back."""
EVERY = timedelta(days=1)
"""A look is as good as new for so long."""
_MOST_CELLS = 2_000_000
"""Ticks times devices times signals whose readings are held at the same time, where one device has not more."""


def look(database: Database, profiles: Mapping[str, Profile], now: datetime, *, older_than: timedelta = EVERY) -> int:
    """Looks for each live and shadow model whose last look is older than that; returns for how many. One transaction each."""
    with database.transaction() as connection:
        found = [entry for entry in registry.entries(connection) if entry.stage != "retired"]
    looked = 0
    for entry in found:
        profile = profiles.get(entry.profile)
        if profile is None or hash_of(profile) != entry.profile_hash:
            continue
        with database.transaction() as connection:
            last = registry.drift_of(connection, entry.id)
            if last is not None and now - last[0] < older_than:
                continue
            drift = look_at(connection, profile, entry, now)
            registry.save_drift(connection, entry.id, drift, now)
        looked += 1
        if drift.shifted:
            names = [s.signal for s in drift.shifted]
            _log.warning("devices send other values than a model learnt from", model=_name(entry), signals=names)
        if drift.unknown_codes:
            codes = list(drift.unknown_codes)
            _log.warning("devices send error codes that a model never met", model=_name(entry), codes=codes)
    return looked


def look_at(connection: Connection, profile: Profile, entry: Entry, now: datetime) -> Drift:
    """How far the last days are from what a model learnt."""
    tally = Tally(profile, registry.load(connection, entry.id))
    since = now - SPAN
    ids = [member.id for member in history.spans_of_profile(connection, profile.name, since)]
    tick = profile.tick // timedelta(microseconds=1)
    start, end = window.floor(history.micros(since), tick), history.micros(now)
    at_once = max(1, int(_MOST_CELLS // (SPAN / profile.tick * len(profile.signals))))
    for first in range(0, len(ids), at_once):
        part = ids[first : first + at_once]
        starts, ends = np.full(len(part), start, dtype=np.int64), np.full(len(part), end, dtype=np.int64)
        seen = [history.seen_now(connection)] * len(part)
        past = history.past(connection, part, starts, ends, seen, seen)
        placed = history.place(connection, part, profile.signals)
        names = np.array(part, dtype=np.int64)
        tally.take([placed.window(connection, starts, ends, tick=tick, names=names, past=past)])
    return tally.drift(SPAN / timedelta(days=1))


def _name(entry: Entry) -> str:
    return f"{entry.profile} {entry.version}"
