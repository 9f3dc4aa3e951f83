"""What the page tells `chart.js`: which signals and findings a device has. The script fetches the readings itself."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from api import views
from core.database import Row
from core.profile import Profile, Role

_MARKED = ("error", "maintenance", "attribute")
"""Kinds of events that are marked in the chart: what may explain a change of the lines."""


def facts(
    device: Row,
    profile: Profile | None,
    names: views.Names,
    findings: Sequence[Row],
    readings: Sequence[Row],
    events: Sequence[Row],
    now: datetime,
) -> dict[str, Any]:
    """Signals in the profile's order, those at first chosen, normal bands and findings. Times in ms since epoch, to be shown in the
    zone of `now`.

    findings: newest first. readings: the newest of each signal; a signal without one is left out.
    """
    measured = {reading["signal"] for reading in readings}
    declared = profile.signals if profile else {}
    order = [*declared, *sorted(measured)]
    known = [signal for signal in dict.fromkeys(order) if signal in measured]
    worst = views.worst(findings)
    telling = worst["evidence"].get("signals", []) if worst else []
    blamed = [signal["signal"] for signal in telling if signal.get("signal") in known]
    bands = views.normal_bands(findings, names)
    return {
        "url": f"/api/v1/devices/{quote(device['name'], safe='')}",
        "signals": [
            {
                "name": signal,
                "title": names.signal(signal),
                "unit": names.unit(signal),
                "interval": declared[signal].interval.total_seconds() if signal in declared else None,
                "mode": signal in declared and declared[signal].role is Role.MODE,
                "normal": bands.get(signal),
            }
            for signal in known
        ],
        "chosen": (blamed or known)[:2],
        "zone": str(now.tzinfo),
        "until": _ms(device["last_reading_at"] or now),
        "findings": [
            {
                "id": finding["id"],
                "title": names.failure_mode(finding["failure_mode"]),
                "from": _ms(finding["began_at"]),
                "to": _ms(finding["closed_at"]) if finding["closed_at"] else None,
                "severity": finding["severity"],
            }
            for finding in findings
        ],
        "events": [
            {"at": _ms(event["time"]), "title": views.event_title(event, names), "kind": event["kind"]}
            for event in events
            if event["kind"] in _MARKED
        ],
    }


def _ms(time: datetime) -> int:
    return int(time.timestamp() * 1000)
