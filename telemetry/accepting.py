"""Accepts messages against the devices in a database: for the gateway, and for dead letters that are tried again."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from core.clock import Clock
from core.database import Database
from core.errors import DatabaseAway
from core.profile import Profile
from core.settings import Settings
from device_gateway.acceptance import Acceptance
from device_gateway.clock import Rules
from device_gateway.decoder import Reason
from device_gateway.formats import available, choose
from device_gateway.readings import microseconds
from device_gateway.registry import Registry
from telemetry.store import DeadLetterStore, DeviceLookUp, StoredLetter

_MOST_NAMED = 20


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


class Why(NamedTuple):
    """Why a dead letter cannot be stored yet."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """How many dead letters were stored and so taken away, and how many are dead letters still; of the first few kinds
    of `why` how many.
    """

    stored: int
    kept: int
    why: Mapping[Why, int]


def replay(
    settings: Settings,
    database: Database,
    profiles: Mapping[str, Profile],
    letters: Iterable[StoredLetter],
    *,
    clock: Clock,
) -> Replayed:
    """Decodes dead letters again, in their order, as when they were received. One that fails costs no other."""
    # Here nobody floods the database with strangers: each letter is worth a look.
    acceptance, registry = accepting(settings, database, profiles, interval=1e-9)
    store = DeadLetterStore(database)
    stored = kept = 0
    why = Counter[Why]()
    for letter in letters:
        found = _again(letter, acceptance, registry, store, clock)
        stored, kept = stored + (not found), kept + bool(found)
        why.update(one for one in found if one in why or len(why) < _MOST_NAMED)
    return Replayed(stored=stored, kept=kept, why=why)


def _again(
    letter: StoredLetter, acceptance: Acceptance, registry: Registry, store: DeadLetterStore, clock: Clock
) -> list[Why]:
    """Stores one dead letter and takes it away, or says why not, as the letter then does too."""
    message = letter.message()
    batch = acceptance.accept([message])
    while batch.strangers and registry.refresh(batch.strangers):
        batch = acceptance.accept([message])
    faults = batch.dead_letters
    if not faults and letter.complete:
        try:
            store.resolve(letter, batch, stored_at=clock())
        except DatabaseAway:
            raise
        except Exception as error:  # noqa: BLE001 — told, and logged if it is ours
            faults = (acceptance.letter(message, error),)
    acceptance.forget([message])
    why = [Why(fault.reason, fault.detail) for fault in faults]
    if not letter.complete:
        cut = f"only the first {len(letter.payload)} of its {letter.size} bytes were kept; have it sent again"
        why = [Why(Reason.TOO_LARGE, cut)]
    if why:
        store.leave(letter, "; ".join(f"{reason}: {detail}" for reason, detail in why), tried_at=clock())
    return why
