"""Liveness, readiness and metrics, with the dependencies there and away."""

from datetime import UTC, datetime, timedelta

from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from api.app import create_app
from cli.embedded import free_port
from core.clock import utc_now
from core.database import Database
from core.heartbeat import Heartbeat, beat, beats
from core.settings import Settings
from tests.conftest import Mosquitto, wait_for
from tests.seed import seed

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def samples(client: TestClient) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
    }


def test_ready_when_database_and_broker_answer(database: Database, mosquitto: Mosquitto) -> None:
    with TestClient(create_app(Settings(mqtt_port=mosquitto.port), database)) as client:
        answer = client.get("/readyz")
        assert answer.status_code == 200
        assert answer.json()["checks"]["database"]["latency_ms"] > 0
        mosquitto.stop()
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["status"] == "down: broker"
        assert client.get("/healthz").status_code == 200


def test_the_other_parts_are_shown_with_their_age(database: Database, mosquitto: Mosquitto) -> None:
    now = utc_now()
    beat(database, "gateway", "a", at=now, detail={"unacknowledged": 7})
    beat(database, "gateway", "b", at=now - timedelta(minutes=2), detail={})
    beat(database, "detect", "c", at=now, detail={"ended": True})
    with TestClient(create_app(Settings(mqtt_port=mosquitto.port), database)) as client:
        answer = client.get("/readyz")
    assert answer.status_code == 200
    first, second = answer.json()["parts"].pop("gateway")
    assert (first["ok"], first["unacknowledged"]) == (True, 7)
    assert not second["ok"]
    assert 120 <= second["age_s"] < 180
    assert "detect" not in answer.json()["parts"]


def test_a_part_beats_while_it_runs_and_says_that_it_ended(database: Database) -> None:
    with Heartbeat(database, part="detect", instance="x", now=utc_now, detail=lambda: {"n": 1}, every=0.05):
        first = wait_for(lambda: beats(database))[0]
        assert first["detail"] == {"n": 1}
        wait_for(lambda: beats(database)[0]["at"] > first["at"])
    assert [row["detail"] for row in beats(database)] == [{"ended": True}]


def test_metrics_count_by_route_and_tell_totals(database: Database) -> None:
    seed(database, NOW, history=timedelta(hours=1))
    with TestClient(create_app(Settings(), database)) as client:
        client.get("/api/v1/tickets/1")
        client.get("/api/v1/tickets/2")
        client.get("/a-path-of-a-stranger")
        found = samples(client)
    assert found["forewarn_http_requests_total", "/api/v1/tickets/{ticket}", "401", "GET"] == 2
    assert found["forewarn_http_requests_total", "404", "GET", "unmatched"] == 1
    assert found["forewarn_http_request_seconds_count", "/api/v1/tickets/{ticket}"] == 2
    assert found["forewarn_open_tickets",] == 7
    assert found["forewarn_due_notices",] == 1
    assert found["forewarn_dead_letters",] == 2
    assert not any("stranger" in label for key in found for label in key)


def test_a_database_that_is_away_is_said_everywhere() -> None:
    away = Database(f"postgresql://postgres@127.0.0.1:{free_port()}/none", wait=0.5)
    settings = Settings(admin_token="secret")
    with away, TestClient(create_app(settings, away), headers={"Authorization": "Bearer secret"}) as client:
        answer = client.get("/api/v1/tickets")
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert answer.json()["detail"] == "The database does not answer."
        assert client.get("/", headers={"Accept": "text/html"}).status_code == 503
        ready = client.get("/readyz")
        assert ready.status_code == 503
        assert "database" in ready.json()["status"]
        assert samples(client)["forewarn_database_up",] == 0
