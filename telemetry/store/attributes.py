"""Attributes of devices in the database, with their history."""

import json
from collections.abc import Sequence

from core.database import Connection
from device_gateway.readings import Attribute, Event
from telemetry.attributes import History, Key, follow
from telemetry.store.sql import SQL

_FIRMWARE = "firmware"


def store_attributes(connection: Connection, said: Sequence[Attribute]) -> list[Event]:
    """Brings the history of attributes up to date within a transaction; returns the changes as events.

    The newest firmware becomes the device's.
    """
    asked = {"devices": sorted({a.device for a in said}), "names": sorted({a.name for a in said})}
    known: dict[Key, History] = {}
    for r in connection.execute(SQL["lock_attributes"], asked):
        known.setdefault(Key(r["device_id"], r["name"]), []).append((r["since"], r["value"]))
    changed, changes = follow(known, said)
    if not changed:
        return []
    old = [(*key, since) for key, history in changed.items() for since, _ in set(known.get(key, ())) - set(history)]
    new = [(*key, *entry) for key, history in changed.items() for entry in history if entry not in known.get(key, ())]
    if old:
        connection.execute(SQL["remove_attributes"], _columns(("devices", "names", "times"), old))
    if new:
        connection.execute(SQL["add_attributes"], _columns(("devices", "names", "times", "values"), new))
    firmware = [(key.device, history[-1][1]) for key, history in changed.items() if key.name == _FIRMWARE]
    if firmware:
        connection.execute(SQL["set_firmware"], _columns(("devices", "values"), firmware))
    return [
        Event(
            device=c.said.device,
            time=c.said.time,
            received_at=c.said.received_at,
            kind="attribute",
            code=c.said.name,
            detail=json.dumps({"value": c.said.value} | ({} if c.before is None else {"before": c.before})),
        )
        for c in changes
    ]


def _columns(names: Sequence[str], rows: Sequence[tuple[object, ...]]) -> dict[str, list[object]]:
    return {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
