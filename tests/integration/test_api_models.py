"""Models over REST and on their pages: what is shown, who may stage, what is refused."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient

from api.app import create_app
from cli.api import token as token_command
from core.database import Database
from core.settings import Settings
from tests.models import seed_models
from tests.seed import FRIDGE, seed

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LIVE, SHADOW, RETIRED = "2026-10-26.1", "2026-11-08.1", "2026-09-21.1"
V1 = "/api/v1/models"


@pytest.fixture
def client(database: Database, database_url: str) -> Iterator[TestClient]:
    seed(database, NOW, history=timedelta(hours=2))
    seed_models(database, NOW)
    settings = Settings(admin_token="secret", database_url=database_url)
    headers = {"Authorization": "Bearer secret", "Accept": "text/html", "Sec-Fetch-Site": "same-origin"}
    with TestClient(create_app(settings, database, clock=lambda: NOW), headers=headers) as client:
        yield client


def read(client: TestClient, path: str, status: int = 200) -> str:
    answer = client.get(path)
    assert answer.status_code == status, answer.text
    return answer.text


def test_the_listing_tells_stages_and_cards(client: TestClient) -> None:
    models = client.get(V1, params={"profile": "fridge"}).json()
    assert [(m["version"], m["stage"]) for m in models] == [(SHADOW, "shadow"), (LIVE, "live"), (RETIRED, "retired")]
    assert models[0]["card"]["figures"]["recall"] == 0.84
    assert "packed" not in models[0]
    assert client.get(V1, params={"profile": "water_pump"}).json() == []
    others = [m for m in client.get(V1).json() if m not in models]
    assert [(m["profile"], m["stage"], m["card"]["threshold_factor"]) for m in others] == [
        ("air_compressor", "shadow", 0.71)
    ]


def test_a_shadow_tells_its_comparison_and_its_drift(client: TestClient) -> None:
    shadow = client.get(f"{V1}/fridge/{SHADOW}").json()
    found = shadow["comparison"]
    assert (found["both"], found["only_live"], found["only_shadow"]) == (1, 1, 1)
    assert found["ahead"] == "PT19H12M"
    assert found["live"]["months"] == pytest.approx(6 * 12 / 30)
    assert [s["signal"] for s in shadow["drift"]["signals"] if s["shifted"]] == ["ambient_temp"]
    assert shadow["drift"]["unknown_codes"] == ["E99"]
    assert "FOREWARN_MODEL_PROMOTION is off" in shadow["decision"]
    live = client.get(f"{V1}/fridge/{LIVE}").json()
    assert live["comparison"] is None
    assert live["record"]["findings"] == 1
    assert [c["stage"] for c in live["history"]] == ["live", "shadow"]
    assert live["history"][0]["instead_of"] == RETIRED


def test_staging_takes_an_admin_and_a_reason(client: TestClient, database_url: str) -> None:
    made = CliRunner().invoke(
        token_command, ["create", "a", "--role", "agent"], obj=Settings(database_url=database_url)
    )
    agent = {"Authorization": f"Bearer {made.output.strip()}"}
    change = {"stage": "live", "reason": "It is earlier."}
    at = f"{V1}/fridge/{SHADOW}/stage"
    assert client.post(at, json=change, headers=agent).status_code == 403
    assert (
        client.post(f"/models/fridge/{SHADOW}/stage", data={"to": "live", "reason": "x"}, headers=agent).status_code
        == 403
    )
    assert client.get(f"{V1}/fridge/{SHADOW}", headers=agent).status_code == 200
    page = client.get(f"/models/fridge/{SHADOW}", headers={**agent, "Accept": "text/html"}).text
    assert "Let it judge" not in page
    for wrong in (
        {"stage": "shadow", "reason": "x"},
        {"stage": "live"},
        {"stage": "live", "reason": ""},
        {"stage": "live", "reason": " "},
    ):
        assert client.post(at, json=wrong).status_code == 422, wrong
    assert client.post(f"{V1}/fridge/2020-01-01.1/stage", json=change).status_code == 404
    done = client.post(at, json=change).json()
    assert (done["stage"], done["staged_by"], done["history"][0]["instead_of"]) == ("live", "admin", LIVE)
    again = client.post(at, json=change)
    assert again.status_code == 409
    assert "is live already" in again.json()["detail"]


def test_the_pages_show_list_card_and_what_was_decided(client: TestClient) -> None:
    page = read(client, "/models")
    assert page.index(LIVE) < page.index(SHADOW) < page.index(RETIRED)
    for text in ("Refrigerator", "How findings ended", "Failure model", "84%"):
        assert text in page
    page = read(client, f"/models/fridge/{SHADOW}")
    for text in ("97%", "Beside what is live", "Both found one fault; the shadow was 19 h earlier", "0.61 shifted", "E99",
                 "Evaporator fan", "compressor_vibration.trend", "Let it judge", "usual conditions: Cabinet temperature, Electric power (by Room"):  # fmt: skip
        assert text in page, text
    refused = client.post(f"/models/fridge/{SHADOW}/stage", data={"to": "live", "reason": "  "})
    assert refused.status_code == 409
    assert "say why, in a sentence" in refused.text
    evil = "<script>alert(1)</script>"
    done = client.post(f"/models/fridge/{SHADOW}/stage", data={"to": "live", "reason": evil})
    assert "It judges now" in done.text
    assert evil not in done.text
    assert "&lt;script&gt;" in done.text
    assert "It judges" not in read(client, f"/models/fridge/{RETIRED}?done=<b>")
    assert "no model" in read(client, "/models/fridge/2020-01-01.1", 404).lower()
    assert client.post(f"/models/fridge/{SHADOW}/stage", data={"to": "retired", "reason": "A test."}).status_code == 200
    assert "No model is live" in read(client, "/models")


def test_an_empty_platform_says_how_models_come(database: Database) -> None:
    headers = {"Authorization": "Bearer s", "Accept": "text/html"}
    with TestClient(create_app(Settings(admin_token="s"), database), headers=headers) as client:
        assert "No model was learnt yet" in read(client, "/models")
        assert "Nothing was found yet" in read(client, "/models")


def test_a_model_whose_profile_is_gone_still_has_a_page(client: TestClient, database: Database) -> None:
    with database.transaction() as c:
        c.execute("UPDATE model SET profile = 'gone' WHERE profile = 'fridge'")
    assert "another state of its profile" in read(client, f"/models/gone/{SHADOW}")
    assert "There is nothing to compare" in read(client, f"/models/gone/{SHADOW}")
    refused = client.post(f"/models/gone/{SHADOW}/stage", data={"to": "live", "reason": "x"})
    assert "train a new one" in refused.text


def test_the_time_to_failure_is_told(client: TestClient) -> None:
    text = "Fails in about 29 hours (14 to 43)"
    for path in ("/", "/tickets/7", f"/devices/{FRIDGE}"):
        assert text in read(client, path), path
    page = read(client, "/tickets/7")
    assert "Error code E23, lately" in page
    assert "Compressor: time in place" in page
    ticket: Any = client.get("/api/v1/tickets/7").json()
    assert (ticket["remaining_p50_d"], ticket["remaining_from"]) == (1.2, "2026-11-20T12:00:00Z")
    assert ticket["findings"][0]["remaining_p90_d"] == 1.8
    assert client.get("/api/v1/tickets/3").json()["remaining_p50_d"] is None
    assert client.get("/api/v1/findings").status_code == 200
