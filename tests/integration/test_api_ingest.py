"""Events, attributes and dead letters over REST and as pages."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from core.database import Database
from core.settings import Settings
from device_gateway.decoder import Reason
from device_gateway.readings import Batch, DeadLetter
from telemetry.store import TelemetryWriter
from tests.seed import FRIDGE, seed

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
V1 = "/api/v1"
BROWSER = {"Accept": "text/html,application/xhtml+xml", "Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def client(database: Database) -> Iterator[TestClient]:
    seed(database, NOW, history=timedelta(hours=1))
    with TestClient(create_app(Settings(admin_token="secret"), database, clock=lambda: NOW)) as client:
        client.headers["Authorization"] = "Bearer secret"
        yield client


def letters(database: Database, *sent: tuple[str, object, Reason]) -> None:
    """Puts dead letters into the database, a minute apart, the last one now."""
    made = []
    for number, (topic, payload, reason) in enumerate(reversed(sent)):
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        at = NOW - timedelta(minutes=number)
        made.append(
            DeadLetter(
                received_at=at, topic=topic, payload=data, size=len(data), reason=reason, detail="as the test says"
            )
        )
    with database.transaction() as connection:
        connection.execute("DELETE FROM dead_letter")
    TelemetryWriter(database, lambda: NOW).store(Batch(dead_letters=tuple(reversed(made))))


def reading(device: str, value: object) -> tuple[str, object, Reason]:
    payload = {"ts": int(NOW.timestamp() * 1000) - 5000, "values": {"power": value}}
    return f"forewarn/v1/{device}/telemetry", payload, Reason.UNKNOWN_DEVICE


def ok(answer: Any, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()


def test_events_of_a_device_come_newest_first_and_by_pages(client: TestClient) -> None:
    path = f"{V1}/devices/{FRIDGE}/events"
    whole = ok(client.get(path, params={"limit": 500}))["items"]
    assert len(whole) == 16
    assert [e["time"] for e in whole] == sorted((e["time"] for e in whole), reverse=True)
    assert whole[0]["code"] == "E23"
    items, after = [], None
    while True:
        page = ok(client.get(path, params={"limit": 3} | ({"cursor": after} if after else {})))
        items += page["items"]
        after = page["next"]
        if after is None:
            break
    assert items == whole
    kinds = {e["kind"] for e in ok(client.get(path, params={"kind": "attribute"}))["items"]}
    assert kinds == {"attribute"}
    since = (NOW - timedelta(days=2)).isoformat()
    assert len(ok(client.get(path, params={"from": since}))["items"]) == 1
    assert client.get(f"{V1}/devices/nobody/events").status_code == 404
    assert client.get(path, params={"cursor": "WzEsMiwzXQ"}).status_code == 422


def test_a_device_shows_its_firmware_history_and_its_clock(client: TestClient) -> None:
    device = ok(client.get(f"{V1}/devices/{FRIDGE}"))
    assert device["clock_skew_s"] == 910
    versions = [(a["value"], a["until"] is None) for a in device["attributes"] if a["name"] == "firmware"]
    assert versions == [("4.2.1", True), ("4.1.0", False)]


def test_an_engineer_records_maintenance(client: TestClient) -> None:
    path = f"{V1}/devices/{FRIDGE}/events"
    done = {"kind": "maintenance", "detail": {"component": "compressor", "text": "replaced"}}
    made = ok(client.post(path, json=done), 201)
    assert made["detail"] == {"component": "compressor", "text": "replaced", "by": "admin"}
    assert ok(client.get(path, params={"kind": "maintenance"}))["items"][0] == made
    for wrong in (
        {"kind": "maintenance"},
        {"kind": "maintenance", "detail": {"component": "wings"}},
        {"kind": "connect"},
    ):
        assert client.post(path, json=wrong).status_code == 422, wrong


def test_dead_letters_are_tried_again_by_what_they_are(client: TestClient, database: Database) -> None:
    late, good, wrong = reading("late", 80), reading("fridge-luebeck-01", 81), reading("fridge-luebeck-01", "hot")
    letters(database, late, good, (wrong[0], wrong[1], Reason.BAD_VALUE))
    replay = f"{V1}/dead-letters/replay"
    bad = {"reason": "bad_value", "detail": "'power': 'hot' is not a number", "letters": 1}
    nobody = {
        "reason": "unknown_device",
        "detail": "no device 'late' is registered: see `forewarn device add`",
        "letters": 1,
    }
    assert ok(client.post(replay, json={"reason": "bad_value"})) == {"stored": 0, "kept": 1, "why": [bad]}
    before = (NOW - timedelta(minutes=1)).isoformat()
    assert ok(client.post(replay, json={"before": before})) == {"stored": 0, "kept": 1, "why": [nobody]}
    assert ok(client.post(replay, json={})) == {"stored": 1, "kept": 2, "why": [nobody, bad]}
    left = ok(client.get(f"{V1}/dead-letters"))["items"]
    assert [item["reason"] for item in left] == ["bad_value", "unknown_device"]
    assert ok(client.post(replay, json={"ids": [left[0]["id"]]})) == {"stored": 0, "kept": 1, "why": [bad]}
    stored = {r["signal"]: r["value"] for r in ok(client.get(f"{V1}/devices/fridge-luebeck-01"))["readings"]}
    assert stored["power"] == 81


def test_dead_letters_are_deleted_only_where_it_is_said_which(client: TestClient, database: Database) -> None:
    letters(database, reading("a", 1), reading("b", 2), reading("c", 3), (*reading("d", 4)[:2], Reason.BAD_VALUE))
    path = f"{V1}/dead-letters"
    assert client.delete(path).status_code == 422
    assert ok(client.delete(path, params={"reason": "bad_value"})) == {"deleted": 1}
    newest = ok(client.get(path))["items"][0]["id"]
    assert ok(client.delete(path, params={"id": [newest]})) == {"deleted": 1}
    assert ok(client.delete(path, params={"after": (NOW - timedelta(minutes=2)).isoformat()})) == {"deleted": 1}
    assert ok(client.delete(path, params={"all": "true"})) == {"deleted": 1}
    assert ok(client.get(path))["items"] == []


def test_only_an_admin_replays_or_deletes(client: TestClient) -> None:
    from api.access import new_token  # noqa: PLC0415 — only here

    token = new_token()
    client.app.state.access._tokens.create(name="a", role="agent", token=token, now=NOW)  # type: ignore[attr-defined]
    agent = {"Authorization": f"Bearer {token}"}
    assert client.post(f"{V1}/dead-letters/replay", json={}, headers=agent).status_code == 403
    assert client.delete(f"{V1}/dead-letters", params={"all": "true"}, headers=agent).status_code == 403
    assert client.get("/dead-letters", headers=agent).status_code == 200
    assert "again</button>" not in client.get("/dead-letters", headers={**agent, **BROWSER}).text


def test_the_page_shows_reasons_and_tries_again(client: TestClient, database: Database) -> None:
    letters(database, reading("fridge-luebeck-01", 81), ("forewarn/v1/x/telemetry", b"\xff\x00<b>", Reason.NOT_UTF8))
    page = client.get("/dead-letters", headers=BROWSER).text
    for text in ("Not utf8", "Unknown device", "ff 00 3c 62 3e", "forewarn/v1/x/telemetry", "as the test says"):
        assert text in page
    only = client.get("/dead-letters", params={"reason": "not_utf8"}, headers=BROWSER).text
    assert "fridge-luebeck-01" not in only
    done = client.post("/dead-letters/replay", data={"reason": ""}, headers=BROWSER)
    assert "1 dead letter is stored now. 1 cannot be used yet" in done.text
    assert "No dead letter is in this view" in client.get("/dead-letters?reason=unknown_device", headers=BROWSER).text


def test_a_letter_that_is_tried_again_says_why_it_came_and_why_it_is_left(
    client: TestClient, database: Database
) -> None:
    letters(database, reading("fridge-luebeck-01", "hot"), reading("nobody", 1))
    fresh = ok(client.get(f"{V1}/dead-letters"))["items"]
    assert [(item["tried_at"], item["left_because"]) for item in fresh] == [(None, None)] * 2
    page = client.post("/dead-letters/replay", data={"reason": ""}, headers=BROWSER).text
    assert "2 cannot be used yet; each says why below." in page
    assert "Tried again" in page
    assert "Bad value: &#39;power&#39;: &#39;hot&#39; is not a number" in page
    nobody, hot = ok(client.get(f"{V1}/dead-letters"))["items"]
    assert (hot["reason"], hot["detail"]) == ("unknown_device", "as the test says")
    assert hot["left_because"] == "bad_value: 'power': 'hot' is not a number"
    assert datetime.fromisoformat(hot["tried_at"]) == NOW
    with database.transaction() as connection:
        detail = nobody["left_because"].removeprefix("unknown_device: ")
        connection.execute("UPDATE dead_letter SET detail = %s WHERE id = %s", (detail, nobody["id"]))
    assert "for the same reason it is left" in client.get("/dead-letters", headers=BROWSER).text


def test_the_device_page_tells_what_happened(client: TestClient) -> None:
    page = client.get(f"/devices/{FRIDGE}", headers=BROWSER).text
    for text in (
        "Its clock is 15 min behind",
        "Error E23",
        "condenser hot",
        "Maintenance: Evaporator fan",
        "Firmware 4.2.1 (before: 4.1.0)",
        "6 earlier events",
    ):
        assert text in page, text
