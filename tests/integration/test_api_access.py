"""Who may do what: tokens, roles, sessions, cross-site requests, headers."""

import base64
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from api import dead_letter_pages, health, model_pages, pages, rest, rest_ingest, rest_models
from api.access import COOKIE, local_path
from api.app import create_app
from cli.api import token as token_command
from core.database import Database
from core.settings import Settings
from tests.seed import seed

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
OPEN = {"/healthz", "/readyz", "/metrics", "/sign-in"}
OWN = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings(database_url=database_url, admin_token="first token", session_secret="k" * 32)


@pytest.fixture
def client(database: Database, settings: Settings) -> Iterator[TestClient]:
    seed(database, NOW, history=timedelta(hours=1))
    with TestClient(create_app(settings, database, clock=lambda: NOW), follow_redirects=False) as client:
        yield client


def run(settings: Settings, *arguments: str) -> str:
    result = CliRunner().invoke(token_command, arguments, obj=settings, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output.strip()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def routes() -> list[tuple[str, str]]:
    found = []
    modules = (health, rest, rest_ingest, rest_models, pages, dead_letter_pages, model_pages)
    for module in modules:
        for route in module.router.routes:
            assert isinstance(route, APIRoute)
            path = route.path.replace("{name}", "fridge-gdynia-07").replace("{ticket}", "7")
            path = path.replace("{profile}", "fridge").replace("{version}", "2026-11-01.1")
            found += [(method, path) for method in route.methods or ()]
    return found


def test_each_route_but_the_open_ones_refuses_a_stranger(client: TestClient) -> None:
    assert len(routes()) > 20
    assert len(client.app.routes) == 8, "a router that this test does not know"  # type: ignore[attr-defined]
    for method, path in routes():
        for headers in ({}, bearer("wrong"), {"Authorization": "Basic Zm9vOmJhcg=="}, {"Cookie": f"{COOKIE}=forged"}):
            answer = client.request(method, path, headers={**OWN, **headers})
            if path in OPEN:
                assert answer.status_code != 401 or path == "/sign-in", (method, path)
            else:
                assert answer.status_code == 401, (method, path, headers)
                assert answer.headers["www-authenticate"].startswith("Bearer")
                assert answer.headers["content-type"] == "application/problem+json"


def test_roles_decide(client: TestClient, settings: Settings) -> None:
    viewer = bearer(run(settings, "create", "v", "--role", "viewer"))
    agent = bearer(run(settings, "create", "a", "--role", "agent"))
    assert client.get("/api/v1/tickets", headers=viewer).status_code == 200
    refused = client.patch("/api/v1/tickets/7", json={"assignee": "x"}, headers=viewer)
    assert refused.status_code == 403
    assert refused.json()["detail"] == "this takes the role agent; the token 'v' has the role viewer"
    assert client.get("/api/v1/dead-letters", headers=viewer).status_code == 403
    for path in ("take", "give-back", "state", "notes"):
        assert client.post(f"/tickets/7/{path}", data={"state": "open"}, headers=viewer).status_code == 403
    assert "Take it" not in client.get("/tickets/7", headers=viewer).text
    assert client.patch("/api/v1/tickets/7", json={"assignee": "x"}, headers=agent).status_code == 200


def test_a_revoked_token_ends_with_its_session_and_its_name_stays_taken(client: TestClient, settings: Settings) -> None:
    token = run(settings, "create", "dana", "--role", "agent")
    assert token.startswith("fwn_")
    assert client.post("/sign-in", data={"token": token}, headers=OWN).status_code == 303
    assert client.get("/").status_code == 200
    run(settings, "revoke", "dana")
    assert client.get("/").status_code == 401
    assert client.get("/api/v1/tickets", headers=bearer(token)).status_code == 401
    assert "revoked" in run(settings, "list")
    assert CliRunner().invoke(token_command, ["create", "dana"], obj=settings).exception
    assert CliRunner().invoke(token_command, ["create", "admin"], obj=settings).exception
    assert CliRunner().invoke(token_command, ["revoke", "nobody"], obj=settings).exception


def test_only_a_hash_of_a_token_is_stored(client: TestClient, settings: Settings, database: Database) -> None:
    token = run(settings, "create", "dana")
    with database.transaction() as c:
        rows = c.execute("SELECT api_token::text AS row FROM api_token").fetchall()
    assert token not in str(rows)


def test_the_session_cookie_is_signed_and_does_not_hold_the_token(client: TestClient, settings: Settings) -> None:
    answer = client.post("/sign-in", data={"token": "first token", "next": "/devices?search=a"}, headers=OWN)
    assert answer.headers["location"] == "/devices?search=a"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    value = answer.cookies[COOKIE]
    content = base64.urlsafe_b64decode(value.split(".")[0] + "==")
    assert b"first" not in content
    assert client.get("/").status_code == 200
    client.cookies.clear()
    client.cookies.set(COOKIE, value[:-2] + ("AA" if value[-2:] != "AA" else "BB"))
    assert client.get("/").status_code == 401


def test_another_first_token_ends_the_sessions_of_the_old_one(
    client: TestClient, settings: Settings, database: Database
) -> None:
    cookie = client.post("/sign-in", data={"token": "first token"}, headers=OWN).cookies[COOKIE]
    changed = settings.model_copy(update={"admin_token": type(settings.admin_token)("second")})
    with TestClient(create_app(changed, database), cookies={COOKIE: cookie}) as other:
        assert other.get("/api/v1/tickets").status_code == 401


def test_an_empty_admin_token_lets_nobody_in(settings: Settings, database: Database) -> None:
    empty = settings.model_copy(update={"admin_token": type(settings.admin_token)("")})
    with TestClient(create_app(empty, database)) as client:
        assert client.get("/api/v1/tickets", headers={"Authorization": "Bearer "}).status_code == 401
        assert client.post("/sign-in", data={"token": ""}, headers=OWN).status_code == 401


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Origin": "http://testserver"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://testserver"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({}, False),
    ],
)
def test_a_change_by_cookie_must_come_from_our_pages(client: TestClient, headers: dict[str, str], passes: bool) -> None:
    client.post("/sign-in", data={"token": "first token"}, headers=OWN)
    for answer in (
        client.post("/tickets/7/take", headers=headers),
        client.patch("/api/v1/tickets/7", json={"assignee": "x"}, headers=headers),
    ):
        assert (answer.status_code < 400) is passes, answer.text
        assert passes or answer.status_code == 403
    assert client.post("/sign-in", data={"token": "first token"}, headers=headers).status_code == (
        303 if passes else 403
    )


def test_a_session_ends_by_itself_and_by_signing_out(client: TestClient) -> None:
    client.post("/sign-in", data={"token": "first token"}, headers=OWN)
    signer = client.app.state.access._signer  # type: ignore[attr-defined]
    _, made = signer.loads(client.cookies[COOKIE], return_timestamp=True)
    assert datetime.now(UTC) - made < timedelta(minutes=1)
    assert client.post("/sign-out", headers=OWN).headers["location"] == "/sign-in"
    assert client.get("/", headers={"Accept": "text/html"}).status_code == 401


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example", "evil", "/a\nb", ""])
def test_nobody_is_sent_elsewhere_after_signing_in(client: TestClient, target: str) -> None:
    assert local_path(target) == "/"
    answer = client.post("/sign-in", data={"token": "first token", "next": target}, headers=OWN)
    assert answer.headers["location"] == "/"


def test_each_answer_carries_the_security_headers(client: TestClient) -> None:
    for path in ("/healthz", "/sign-in", "/", "/api/v1/tickets", "/nowhere", "/static/console.css", "/static/none"):
        headers: Any = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
    assert client.get("/api/v1/tickets").headers["cache-control"] == "no-store"
