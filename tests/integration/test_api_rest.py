"""The REST API over a seeded fleet: listings, readings, changes, and every way to ask wrongly."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from core import errors
from core.database import Database
from core.settings import Settings
from tests.modes import MODES, PROFILE, PUMP, seed_modes
from tests.seed import FRIDGE, seed

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
V1 = "/api/v1"


@pytest.fixture
def client(database: Database) -> Iterator[TestClient]:
    seed(database, NOW)
    settings = Settings(admin_token="secret")
    headers = {"Authorization": "Bearer secret"}
    with TestClient(create_app(settings, database, clock=lambda: NOW), headers=headers) as client:
        yield client


def get(client: TestClient, path: str, **query: Any) -> Any:
    answer = client.get(V1 + path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def problem(answer: Any, status: int) -> Any:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    return body


@pytest.mark.parametrize(("path", "count"), [("/devices", 12), ("/tickets", 9), ("/findings", 9), ("/notices", 8)])
def test_pages_of_a_listing_give_each_item_once_in_a_stable_order(client: TestClient, path: str, count: int) -> None:
    whole = get(client, path, limit=500)
    assert len(whole["items"]) == count
    assert whole["next"] is None
    items, after = [], None
    while True:
        page = get(client, path, limit=4, **({"cursor": after} if after else {}))
        items += page["items"]
        after = page["next"]
        if after is None:
            break
    assert items == whole["items"]


def test_a_cursor_stays_right_while_rows_are_added(client: TestClient, database: Database) -> None:
    first = get(client, "/devices", limit=5)
    with database.transaction() as c:
        c.execute("INSERT INTO device (name, profile) VALUES ('aaa', 'fridge')")
    second = get(client, "/devices", limit=5, cursor=first["next"])
    assert second["items"][0]["name"] > first["items"][-1]["name"]


def test_a_device_tells_its_newest_readings(client: TestClient) -> None:
    device = get(client, f"/devices/{FRIDGE}")
    assert device["customer"] == "Anna Kowalska"
    assert device["living_tickets"] == 1
    assert len(device["readings"]) == 11
    assert [(h["component"], h["health"]) for h in device["health"]] == [
        ("compressor", 0.04),
        ("door_gasket", 0.68),
        ("evaporator_fan", 0.99),
        ("cabinet_sensor", None),
    ]
    assert device["health"][0]["since"] == "2026-11-18T02:24:00Z"
    assert device["last_reading_at"] == device["readings"][0]["time"] == "2026-11-20T11:50:00Z"
    problem(client.get(V1 + "/devices/nobody"), 404)


def test_few_readings_come_as_measured(client: TestClient) -> None:
    start = (NOW - timedelta(hours=1)).isoformat()
    columns = get(client, f"/devices/{FRIDGE}/readings", **{"signal": "power", "from": start, "to": NOW.isoformat()})
    assert columns["bucket_seconds"] is None
    assert columns["unit"] == "W"
    assert len(columns["time"]) == len(columns["value"]) == 6
    assert columns["time"][0] == int((NOW - timedelta(hours=1)).timestamp() * 1000)


def test_many_readings_come_as_buckets_that_lose_no_spike(client: TestClient, database: Database) -> None:
    spike = NOW - timedelta(days=12, minutes=3)
    with database.transaction() as c:
        c.execute(
            "INSERT INTO reading SELECT id, %s, %s, 999, 0 FROM series WHERE signal = 'power'",
            (spike, spike),
        )
    start = (NOW - timedelta(days=30)).isoformat()
    asked = {"signal": "power", "from": start, "to": NOW.isoformat(), "points": 100}
    columns = get(client, f"/devices/{FRIDGE}/readings", **asked)
    # 7.2 hours a point would do; buckets beyond an hour are whole hours.
    assert columns["bucket_seconds"] == 8 * 3600
    assert 81 <= len(columns["time"]) <= 91
    assert max(columns["greatest"]) == 999
    assert all(
        low <= mean <= high
        for low, mean, high in zip(columns["least"], columns["mean"], columns["greatest"], strict=True)
    )
    raw = get(client, f"/devices/{FRIDGE}/readings", **{**asked, "points": 20000})
    assert raw["bucket_seconds"] is None
    assert max(columns["greatest"]) == max(raw["value"])
    assert min(columns["least"]) == min(raw["value"])


def test_a_mode_is_said_to_be_one_and_has_no_mean(database: Database, tmp_path: Path) -> None:
    seed_modes(database, NOW)
    (tmp_path / "heat_pump.yaml").write_text(PROFILE)
    settings = Settings(admin_token="secret", profile_dir=tmp_path)
    headers = {"Authorization": "Bearer secret"}
    with TestClient(create_app(settings, database, clock=lambda: NOW), headers=headers) as client:
        asked = {"signal": "mode", "from": (NOW - timedelta(days=30)).isoformat()}
        for points, bucket in ((20000, None), (2000, 1296), (100, 8 * 3600)):
            columns = get(client, f"/devices/{PUMP}/readings", **asked, points=points)
            assert columns["role"] == "mode"
            assert columns["bucket_seconds"] == bucket
            assert {"least", "greatest", "mean"}.isdisjoint(columns)
            assert len(columns["value"]) == len(columns["time"]) > 80
            assert set(columns["value"]) <= MODES
        asked["signal"] = "flow_temp"
        columns = get(client, f"/devices/{PUMP}/readings", **asked, points=100)
        assert (columns["role"], "value" in columns, len(columns["mean"])) == ("measure", False, len(columns["time"]))


def test_a_signal_that_was_never_sent_is_empty_and_an_unknown_one_is_not_found(client: TestClient) -> None:
    assert get(client, "/devices/fridge-lyon-11/readings", signal="power")["value"] == []
    problem(client.get(V1 + f"/devices/{FRIDGE}/readings?signal=taste"), 404)
    problem(client.get(V1 + "/devices/nobody/readings?signal=power"), 404)


def test_a_device_whose_profile_is_gone_still_answers(client: TestClient) -> None:
    assert get(client, "/devices/washer-lyon-1")["profile"] == "retired_washer"
    assert get(client, "/tickets", device="washer-lyon-1")["items"][0]["device"] == "washer-lyon-1"
    assert client.get("/devices/washer-lyon-1").status_code == 200
    assert "Drum bearing" in client.get("/tickets/3").text


def test_filters(client: TestClient) -> None:
    assert {f["kind"] for f in get(client, "/findings", kind="silence")["items"]} == {"silence"}
    assert {f["device"] for f in get(client, "/findings", device=FRIDGE, open=True)["items"]} == {FRIDGE}
    assert all(f["closed_at"] for f in get(client, "/findings", open=False)["items"])
    assert {t["state"] for t in get(client, "/tickets", state=["new", "solved"])["items"]} == {"new", "solved"}
    assert {t["severity"] for t in get(client, "/tickets", severity="critical")["items"]} == {"critical"}
    assert {n["state"] for n in get(client, "/notices", state="failed")["items"]} == {"failed"}
    (notice,) = get(client, "/notices", ticket=7)["items"]
    assert (notice["ticket"], notice["device"]) == (7, FRIDGE)
    assert [d["name"] for d in get(client, "/devices", search="PORTO")["items"]] == ["pump-porto-1", "pump-porto-2"]
    assert get(client, "/devices", search="%")["items"] == []


def test_a_ticket_holds_its_whole_story(client: TestClient) -> None:
    ticket = get(client, "/tickets/7")
    assert ticket["device"] == FRIDGE
    assert ticket["opened_at"].endswith("Z")
    assert [entry["kind"] for entry in ticket["timeline"]] == ["notice_sent", "opened"]
    assert ticket["notices"][0]["body_text"].startswith("Dear Anna Kowalska")
    assert ticket["findings"][0]["evidence"]["signals"][0]["signal"] == "compressor_vibration"
    assert ticket["since"] < ticket["opened_at"]


def test_a_ticket_is_taken_noted_and_solved(client: TestClient) -> None:
    at = V1 + "/tickets/7"
    taken = client.patch(at, json={"assignee": "Dana", "note": "I look at it"}).json()
    assert (taken["assignee"], taken["state"]) == ("Dana", "open")
    assert client.post(at + "/notes", json={"text": "Called them"}).status_code == 201
    problem(client.patch(at, json={"state": "solved"}), 422)
    problem(client.patch(at, json={"state": "closed"}), 409)
    solved = client.patch(at, json={"state": "solved", "resolution": "confirmed", "note": "Bearing changed"}).json()
    assert (solved["state"], solved["resolution"]) == ("solved", "confirmed")
    kinds = [entry["kind"] for entry in solved["timeline"]]
    assert kinds[:2] == ["state", "note"]
    assert {entry["actor"] for entry in solved["timeline"]} == {"admin", "Forewarn"}


BAD_CHANGES: tuple[Any, ...] = (
    {},
    {"state": "melted"},
    {"resolution": "confirmed"},
    {"note": " "},
    {"note": "a\0b"},
    {"assignee": "\0"},
    {"note": "\ud800"},
    {"note": "x" * 10_001},
    {"severity": "minor"},
    [],
    None,
    {"state": "open", "resolution": "confirmed"},
)


def test_a_bad_change_is_refused(client: TestClient) -> None:
    for body in BAD_CHANGES:
        answer = client.patch(V1 + "/tickets/7", content=json.dumps(body), headers={"Content-Type": "application/json"})
        problem(answer, 422)
    assert get(client, "/tickets/7")["state"] == "new"


WRONG_QUESTIONS = (
    "/tickets?limit=0",
    "/tickets?limit=501",
    "/tickets?limit=many",
    "/tickets?state=melted",
    "/tickets?cursor=zzz",
    "/tickets?cursor=W10",
    "/tickets?cursor=WyJhIl0",
    "/tickets?cursor=WzFlOTldCg",
    "/tickets?cursor=%FF%FE",
    "/tickets?cursor=WzE4NDQ2NzQ0MDczNzA5NTUxNjE2XQ",
    "/devices?cursor=WzFd",
    "/devices?cursor=WyJcdTAwMDAiXQ",
    "/devices?cursor=WyJcdWQ4MDAiXQ",
    "/devices?search=%00",
    "/devices/%00",
    "/devices/a%00b/readings?signal=power",
    f"/devices/{FRIDGE}/readings",
    f"/devices/{FRIDGE}/readings?signal=%00",
    f"/devices/{FRIDGE}/readings?signal=power&from=yesterday",
    f"/devices/{FRIDGE}/readings?signal=power&from=2026-01-01T00:00:00",
    f"/devices/{FRIDGE}/readings?signal=power&from=0001-01-01T00:00:00%2B14:00",
    f"/devices/{FRIDGE}/readings?signal=power&to=9999-12-31T23:59:59-14:00",
    f"/devices/{FRIDGE}/readings?signal=power&from=2026-11-20T00:00:00Z&to=2026-11-20T00:00:00Z",
    f"/devices/{FRIDGE}/readings?signal=power&points=0",
    f"/devices/{FRIDGE}/readings?signal=power&points=20001",
    "/tickets/0",
    "/tickets/first",
    "/tickets/99999999999999999999999",
    "/tickets/9223372036854775807",
    "/notices?ticket=-1",
    "/findings?open=maybe",
    "/findings?kind=%00",
    "/dead-letters?reason=%00",
    "/nothing",
    "/devices/%ff%fe",
)


def test_a_wrong_question_is_a_problem_of_the_asker(client: TestClient) -> None:
    for path in WRONG_QUESTIONS:
        answer = client.get(V1 + path)
        assert 400 <= answer.status_code < 500, (path, answer.text)
        problem(answer, answer.status_code)


def test_a_wrong_method_is_a_problem_too(client: TestClient) -> None:
    assert "GET" in client.delete(V1 + "/tickets").headers["allow"]
    problem(client.delete(V1 + "/tickets"), 405)


def test_a_dead_letter_shows_its_payload_as_text_or_base64(client: TestClient) -> None:
    binary, text = get(client, "/dead-letters")["items"]
    assert (text["encoding"], text["payload"]) == ("utf-8", '{"values": {"power": "hot"}}')
    assert (binary["encoding"], binary["payload"]) == ("base64", "/wAB")
    assert len(get(client, "/dead-letters", reason="undecodable")["items"]) == 1


def test_the_description_names_each_operation(client: TestClient) -> None:
    described = get(client, "/openapi.json")
    assert "/api/v1/tickets/{ticket}" in described["paths"]
    assert "/tickets/{ticket}" not in described["paths"]


def test_an_error_nobody_foresaw_is_a_problem_without_details(database: Database) -> None:
    app = create_app(Settings(), database)

    @app.get("/api/v1/boom")
    def boom() -> None:
        raise RuntimeError("the password is hunter2")

    @app.get("/api/v1/input")
    def refuse() -> None:
        raise errors.InvalidSettings("FOREWARN_X: hunter2")

    with TestClient(app) as client:
        for path in ("boom", "input"):
            answer = client.get(f"/api/v1/{path}")
            problem(answer, 500)
            assert "hunter2" not in answer.text
            assert answer.headers["x-content-type-options"] == "nosniff"
