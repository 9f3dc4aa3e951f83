"""A small, realistic fleet in the database, by SQL: what the tests of the API and of the pages look at."""

from datetime import datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from core.database import Connection, Database

FRIDGE = "fridge-gdynia-07"
"""The device with a month of readings, of which the last six days show a wearing compressor."""

_PEOPLE = [
    ("Anna Kowalska", "Gdynia, Morska 12", "Europe/Warsaw", "en"),
    ("Jonas Brandt", "Lübeck, Hafenstraße 4", "Europe/Berlin", "de"),
    ("Bakery Lindqvist", "Malmö, Storgatan 31", "Europe/Stockholm", "en"),
    ("Municipal Works Porto", "Porto, Rua do Ouro 210", "Europe/Lisbon", "en"),
    ("Café Amélie", "Lyon, Rue Mercière 9", "Europe/Paris", "en"),
    ("Hotel Bellevue Resort and Conference Centre", "Interlaken, Höheweg 41", "Europe/Zurich", "de"),
]
_DEVICES = [
    (FRIDGE, "fridge", 1, "ArcticLine 320", "online"),
    ("fridge-luebeck-01", "fridge", 2, "ArcticLine 280", "online"),
    ("fridge-luebeck-02", "fridge", 2, "ArcticLine 280", "offline"),
    ("fridge-malmoe-01", "fridge", 3, "ArcticLine 320", "online"),
    ("fridge-malmoe-02", "fridge", 3, "ArcticLine 320", "online"),
    ("fridge-lyon-11", "fridge", 5, "ArcticLine 320", "online"),
    ("pump-porto-1", "water_pump", 4, "HydroMax 11", "online"),
    ("pump-porto-2", "water_pump", 4, "HydroMax 11", "online"),
    ("pump-interlaken-1", "water_pump", 6, "HydroMax 7", "online"),
    ("compressor-malmoe-1", "air_compressor", 3, "AeroBlock 22", "online"),
    ("compressor-interlaken-1", "air_compressor", 6, "AeroBlock 15", "unknown"),
    ("washer-lyon-1", "retired_washer", None, "", "unknown"),
]
# device, component, failure mode, severity, state, resolution, days open, assignee, subject, notice state
_TICKETS: list[tuple[str, str, str, str, str, str | None, float, str, str, str | None]] = [
    (FRIDGE, "compressor", "compressor_wear", "critical", "new", None, 2.4, "", "Compressor bearing wear", "sent"),
    ("fridge-lyon-11", "refrigerant_circuit", "refrigerant_leak", "critical", "new", None, 0.3, "", "Refrigerant leak", "due"),
    ("fridge-luebeck-02", "connectivity", "silence", "warning", "new", None, 0.8, "", "No data since yesterday", None),
    ("fridge-luebeck-01", "evaporator_fan", "fan_degradation", "major", "open", None, 3.2, "M. Nowak", "Evaporator fan wear", "failed"),
    ("fridge-malmoe-01", "door_gasket", "gasket_leak", "minor", "pending", None, 6.1, "S. Patel", "Door gasket leak", "sent"),
    ("fridge-malmoe-02", "defrost_heater", "heater_degradation", "major", "on_hold", None, 9.0, "S. Patel", "Defrost heater failure", "sent"),
    ("washer-lyon-1", "drum_bearing", "bearing_wear", "major", "open", None, 12.0, "", "Drum bearing wear", "cancelled"),
    (FRIDGE, "door_gasket", "gasket_leak", "minor", "solved", "confirmed", 21.0, "M. Nowak", "Door gasket leak", "sent"),
    (FRIDGE, "cabinet_sensor", "sensor_drift", "minor", "closed", "no_fault_found", 40.0, "M. Nowak", "Cabinet sensor drift", "sent"),
]  # fmt: skip

_EVIDENCE = {
    "signals": [
        {
            "signal": "compressor_vibration",
            "unit": "m/s2",
            "normal_low": 1.6,
            "normal_high": 2.5,
            "seen": 4.82,
            "contribution": 0.68,
            "direction": "high",
        },
        {
            "signal": "power",
            "unit": "W",
            "normal_low": 40.1,
            "normal_high": 66.2,
            "seen": 84.0,
            "contribution": 0.32,
            "direction": "high",
        },
    ],
    "customer": "The compressor of your refrigerator is wearing out.",
}

_LETTER = """\
Dear {name},

The compressor of your refrigerator is wearing out. It still cools now.

What you can do until we come:
1. Make sure the refrigerator stands level and does not touch the wall.
2. If it becomes loud or stops cooling, call us at once.

We will be in touch with a date for the repair.
"""

_READINGS = """
INSERT INTO reading (series_id, time, received_at, value, quality)
SELECT %(series)s, t, t + interval '2 seconds',
       %(base)s + %(swing)s * sin(extract(epoch FROM t) / 86400 * 2 * pi())
       + %(noise)s * (hashint8((extract(epoch FROM t) * 31)::bigint + %(series)s)::float8 / 2147483647)
       + %(drift)s * greatest(0, extract(epoch FROM t - (%(now)s - interval '6 days')) / 518400), 0
FROM generate_series(%(now)s - %(history)s, %(now)s - interval '1 minute', interval '10 minutes') t
WHERE t NOT BETWEEN %(now)s - interval '16 days' AND %(now)s - interval '15 days 9 hours'
"""
# signal: mean, daily swing, noise, growth over the last six days
_SIGNALS = {
    "cabinet_temp": (4.4, 0.3, 0.25, 0.4),
    "freezer_temp": (-18.5, 0.5, 0.4, 0.9),
    "evaporator_temp": (-24.0, 1.0, 0.8, 0.0),
    "condenser_temp": (37.0, 2.2, 1.5, 3.0),
    "ambient_temp": (21.5, 1.8, 0.3, 0.0),
    "compressor_duty": (41.0, 4.0, 3.0, 6.0),
    "power": (53.0, 5.0, 5.0, 29.0),
    "compressor_vibration": (2.0, 0.1, 0.25, 2.7),
    "fan_speed": (1480.0, 4.0, 18.0, 0.0),
    "door_open": (3.0, 1.5, 1.2, 0.0),
    "defrost_power": (140.0, 5.0, 4.0, 0.0),
}


def seed(database: Database, now: datetime, *, history: timedelta = timedelta(days=30)) -> None:
    """Customers, devices, readings of FRIDGE over `history`, findings, tickets with timelines, notices, dead letters."""
    with database.transaction() as c:
        for number, (name, _address, zone, language) in enumerate(_PEOPLE, 1):
            c.execute(
                "INSERT INTO customer (external_id, name, email, language, time_zone, consent)"
                " VALUES (%s, %s, %s, %s, %s, true)",
                (f"C-{number}", name, f"customer{number}@example.com", language, zone),
            )
        for number, (name, profile, owner, model, status) in enumerate(_DEVICES, 1):
            c.execute(
                "INSERT INTO device (name, profile, customer_id, model, serial, firmware, address, status, status_at)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
                (
                    name,
                    profile,
                    owner,
                    model,
                    f"SN-{20400 + number}",
                    "4.2.1" if model else "",
                    _PEOPLE[owner - 1][1] if owner else "",
                    status,
                    now - timedelta(hours=number),
                ),
            )
        _readings(c, now, history)
        for ticket in sorted(_TICKETS, key=lambda t: -t[6]):
            _ticket(c, now, *ticket)
        _dead_letters(c, now)
        _history(c, now)


def _readings(c: Connection, now: datetime, history: timedelta) -> None:
    for signal, (base, swing, noise, drift) in _SIGNALS.items():
        row = c.execute("INSERT INTO series (device_id, signal) VALUES (1, %s) RETURNING id", (signal,)).fetchone()
        assert row
        values = {
            "base": base,
            "swing": swing,
            "noise": noise,
            "drift": drift,
            "now": now,
            "history": history,
            "series": row["id"],
        }
        c.execute(_READINGS, values)
    c.execute("INSERT INTO series (device_id, signal) VALUES (2, 'fan_speed')")
    c.execute(
        "INSERT INTO reading SELECT s.id, %s, %s, 1180, 0 FROM series s WHERE device_id = 2",
        (now - timedelta(minutes=4), now),
    )
    c.execute("INSERT INTO judged (device_id, until, heard_at) VALUES (1, %s, %s)", (now, now))


def _ticket(
    c: Connection,
    now: datetime,
    device: str,
    component: str,
    mode: str,
    severity: str,
    state: str,
    resolution: str | None,
    days: float,
    assignee: str,
    subject: str,
    notice: str | None,
) -> None:
    opened = now - timedelta(days=days)
    over = opened + timedelta(days=3) if resolution else None
    wear = mode == "compressor_wear"
    finding = _id(
        c,
        "INSERT INTO finding (device_id, kind, component, failure_mode, severity, detector, version, began_at, opened_at,"
        " extended_at, closed_at, score, peak_score, because, evidence, stored_at, changed_at)"
        " SELECT id, %s, %s, %s, %s, 'baseline', '1', %s, %s, %s, %s, 6.4, 7.1, %s, %s, %s, %s FROM device WHERE name = %s"
        " RETURNING id",
        "silence" if mode == "silence" else "degradation",
        component,
        mode,
        severity,
        opened - timedelta(days=1.5),
        opened,
        over or now,
        over,
        "Compressor vibration and Electric power are above their normal band." if wear else f"{subject}: out of band.",
        Jsonb(_EVIDENCE if wear else {"signals": []}),
        opened,
        opened,
        device,
    )
    solved = over + timedelta(days=1) if over else None
    ticket = _id(
        c,
        "INSERT INTO ticket (device_id, component, failure_mode, state, resolution, severity, assignee, subject, opened_at,"
        " changed_at, solved_at) SELECT id, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s FROM device WHERE name = %s"
        " RETURNING id",
        component,
        mode,
        state,
        resolution,
        severity,
        assignee,
        f"{subject}: {device}",
        opened,
        solved or opened + timedelta(hours=2),
        solved,
        device,
    )
    c.execute(
        "INSERT INTO ticket_finding (finding_id, ticket_id, seen_change, decision) VALUES (%s, %s, %s, 'opened')",
        (finding, ticket, opened),
    )
    _entry(c, ticket, opened, "opened", "Forewarn", f"{subject}: abnormal since a day and a half")
    if notice:
        _notice(c, now, ticket, device, opened, notice)
    if assignee:
        _entry(c, ticket, opened + timedelta(hours=1), "assigned", assignee, f"assigned to {assignee}")
        _entry(c, ticket, opened + timedelta(hours=2), "note", assignee, "Called the customer; parts are ordered.")


def _notice(c: Connection, now: datetime, ticket: int, device: str, opened: datetime, state: str) -> None:
    owner = next(d[2] for d in _DEVICES if d[0] == device) or 1
    name = _PEOPLE[owner - 1][0]
    recipient = f"customer{owner}@example.com"
    due = now + timedelta(hours=6) if state == "due" else opened
    reason = {"failed": "550 5.1.1 no such mailbox", "due": "quiet hours", "cancelled": "the ticket was solved"}
    c.execute(
        "INSERT INTO notice (ticket_id, step, channel, idempotency_key, recipient, language, subject, body_text,"
        " body_html, state, reason, created_at, due_at, attempts, sent_at)"
        " VALUES (%s, 1, 'email', %s, %s, 'en', 'Please have your refrigerator checked soon', %s, '<p></p>', %s, %s,"
        " %s, %s, 1, %s)",
        (
            ticket,
            f"ticket-{ticket}-step-1",
            recipient,
            _LETTER.format(name=name),
            state,
            reason.get(state, ""),
            opened,
            due,
            opened if state == "sent" else None,
        ),
    )
    happened = {"sent": "notice_sent", "due": "notice_due", "failed": "notice_failed", "cancelled": "notice_held"}
    said = {"sent": "sent", "due": "waits: quiet hours", "failed": "failed: 550 5.1.1 no such mailbox"}
    _entry(c, ticket, opened, happened[state], "Forewarn", f"email to {recipient} {said.get(state, 'was not sent')}")


def _dead_letters(c: Connection, now: datetime) -> None:
    for topic, payload, reason in (
        ("forewarn/v1/fridge-gdynia-07/telemetry", b'{"values": {"power": "hot"}}', "undecodable"),
        ("forewarn/v1/nobody/telemetry", b"\xff\x00\x01", "unknown_device"),
    ):
        c.execute(
            "INSERT INTO dead_letter (received_at, topic, payload, payload_bytes, reason, detail)"
            " VALUES (%s, %s, %s, %s, %s, 'see reason')",
            (now, topic, payload, len(payload), reason),
        )
    c.execute(
        "UPDATE dead_letter SET tried_at = %s, left_because = 'not_utf8: the payload is not UTF-8' WHERE reason = 'unknown_device'",
        (now - timedelta(minutes=4),),
    )


def _history(c: Connection, now: datetime) -> None:
    """What FRIDGE said beside readings: a new firmware, an error, maintenance, and many connects."""
    happened: list[tuple[float, str, str, dict[str, str]]] = [
        (25.0, "attribute", "firmware", {"value": "4.1.0"}),
        (9.0, "attribute", "firmware", {"value": "4.2.1", "before": "4.1.0"}),
        (6.5, "maintenance", "", {"component": "evaporator_fan", "text": "Fan cleaned", "by": "M. Nowak"}),
        (1.2, "error", "E23", {"text": "condenser hot"}),
    ]
    happened += [(3 + n / 2, "connect" if n % 2 else "disconnect", "", {}) for n in range(12)]
    for days, kind, code, detail in happened:
        c.execute(
            "INSERT INTO device_event (device_id, time, kind, code, received_at, detail) VALUES (1, %s, %s, %s, %s, %s)",
            (now - timedelta(days=days), kind, code, now - timedelta(days=days), Jsonb(detail)),
        )
    for days, version in ((25.0, "4.1.0"), (9.0, "4.2.1")):
        c.execute(
            "INSERT INTO device_attribute (device_id, name, since, value) VALUES (1, 'firmware', %s, %s)",
            (now - timedelta(days=days), version),
        )
    c.execute("UPDATE device SET clock_skew_s = 910 WHERE id = 1")
    for component, health in (
        ("compressor", 0.04),
        ("door_gasket", 0.68),
        ("evaporator_fan", 0.99),
        ("cabinet_sensor", None),
    ):
        c.execute(
            "INSERT INTO component_health VALUES (1, %s, %s, %s, %s)",
            (component, health, now - timedelta(minutes=20), now - timedelta(days=2.4)),
        )


def _entry(c: Connection, ticket: int, at: datetime, kind: str, actor: str, summary: str) -> None:
    c.execute(
        "INSERT INTO timeline_entry (ticket_id, at, kind, actor, summary) VALUES (%s, %s, %s, %s, %s)",
        (ticket, at, kind, actor, summary),
    )


def _id(c: Connection, sql: Any, *values: object) -> int:
    row = c.execute(sql, values).fetchone()
    assert row
    return int(row["id"])
