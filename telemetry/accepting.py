"""Accepts messages against the devices in a database: for the gateway, and for dead letters that are tried again."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from core.clock import Clock
from core.database import Database
from core.profile import Profile
from core.settings import Settings
from device_gateway.acceptance import Acceptance
from device_gateway.clock import Rules
from device_gateway.formats import available, choose
from device_gateway.readings import microseconds
from device_gateway.registry import Registry
from telemetry.store import DeadLetterStore, DeviceLookUp, StoredLetter


def accepting(
    settings: Settings, database: Database, profiles: Mapping[str, Profile], *, interval: float = 0.5
) -> tuple[Acceptance, Registry]:
    """What turns messages into batches, and the devices it knows. interval: see `Registry`. Raises InvalidSettings."""
    known = dict(profiles)
    registry = Registry(known, DeviceLookUp(database, known), time.monotonic, interval=interval)
    rules = Rules(
        tolerance=settings.clock_tolerance // timedelta(microseconds=1), earliest=microseconds(settings.earliest_time)
    )
    formats = choose(settings.formats, available())
    return Acceptance(registry, formats, rules, max_payload=settings.max_payload), registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """How many dead letters were stored and so taken away, and how many are dead letters still."""

    stored: int
    kept: int


def replay(
    settings: Settings,
    database: Database,
    profiles: Mapping[str, Profile],
    letters: Iterable[StoredLetter],
    *,
    clock: Clock,
) -> Replayed:
    """Decodes dead letters again, in their order, as when they were received."""
    # Here nobody floods the database with strangers: each letter is worth a look.
    acceptance, registry = accepting(settings, database, profiles, interval=1e-9)
    store = DeadLetterStore(database)
    stored = kept = 0
    for letter in letters:
        message = letter.message()
        batch = acceptance.accept([message])
        while batch.strangers and registry.refresh(batch.strangers):
            batch = acceptance.accept([message])
        acceptance.forget([message])
        if batch.dead_letters or not letter.complete:
            kept += 1
        else:
            store.resolve(letter, batch, stored_at=clock())
            stored += 1
    return Replayed(stored=stored, kept=kept)
