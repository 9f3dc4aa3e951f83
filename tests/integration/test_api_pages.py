"""The pages as plain HTML over HTTP: what a browser without JavaScript reads and sends."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from core.database import Database
from core.settings import Settings
from tests.seed import FRIDGE, seed

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
BROWSER = {"Accept": "text/html,application/xhtml+xml", "Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def stranger(database: Database) -> Iterator[TestClient]:
    seed(database, NOW, history=timedelta(hours=2))
    app = create_app(Settings(admin_token="secret"), database, clock=lambda: NOW)
    with TestClient(app, headers=BROWSER) as client:
        yield client


@pytest.fixture
def agent(stranger: TestClient) -> TestClient:
    stranger.post("/sign-in", data={"token": "secret"})
    return stranger


def read(client: TestClient, path: str, status: int = 200) -> str:
    answer = client.get(path)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return answer.text


def test_a_stranger_gets_the_form_in_place_and_lands_where_he_wanted(stranger: TestClient) -> None:
    assert 'value="/tickets/7?done=taken"' in read(stranger, "/tickets/7?done=taken", 401)
    wrong = stranger.post("/sign-in", data={"token": "guess", "next": "/devices"})
    assert wrong.status_code == 401
    assert "not valid" in wrong.text
    right = stranger.post("/sign-in", data={"token": "secret", "next": "/devices"})
    assert (right.status_code, right.url.path) == (200, "/devices")


def test_a_page_that_refreshes_itself_loads_anew_when_its_session_is_over(stranger: TestClient) -> None:
    assert stranger.get("/", headers={"HX-Request": "true"}).headers["hx-refresh"] == "true"


def test_the_queue_puts_what_needs_a_person_first(agent: TestClient) -> None:
    page = read(agent, "/")
    order = [page.index(f'id="ticket-{number}"') for number in (9, 7, 6, 3, 8, 4, 5)]
    assert order == sorted(order)
    assert "5</strong> tickets need a person" in page
    for text in ("Mail waiting until 19:00 CET", "Mail failed", "Mail sent 2 days ago", "M. Nowak", "Café Amélie"):
        assert text in page
    assert "No ticket is in this view" in read(agent, "/?state=closed&severity=critical")


def test_a_ticket_says_what_else_is_not_as_usual_while_its_fault_goes_on(agent: TestClient, database: Database) -> None:
    said = "Not as usual either"
    page = read(agent, "/tickets/7")
    assert "Door gasket, health 68 %" in page[page.index(said) :]
    # Neither what the ticket is about, nor what is well, nor what is not known.
    assert page.count(", health ") == 1
    with database.transaction() as c:
        c.execute(
            "UPDATE finding SET closed_at = %s WHERE id IN (SELECT finding_id FROM ticket_finding WHERE ticket_id = 7)",
            (NOW,),
        )
    assert said not in read(agent, "/tickets/7")


def test_the_queue_goes_on_where_its_page_ends(agent: TestClient, database: Database) -> None:
    with database.transaction() as c:
        c.execute(
            "INSERT INTO ticket (device_id, component, failure_mode, state, severity, subject, opened_at, changed_at)"
            " SELECT 4, 'c' || n, 'm', 'new', 'minor', 's', %s, %s FROM generate_series(1, 120) n",
            (NOW, NOW),
        )
    seen: list[str] = []
    address = "/"
    while address:
        page = read(agent, address)
        seen += [part.split('"')[0] for part in page.split('<tr role="row" id="')[1:]]
        _, _, rest = page.partition('<a href="/?state=living&amp;after=')
        address = f"/?state=living&after={rest.split(chr(34))[0]}" if rest else ""
    assert len(seen) == len(set(seen)) == 127


def test_an_empty_platform_says_what_will_happen(database: Database) -> None:
    with TestClient(create_app(Settings(admin_token="s"), database), headers=BROWSER) as client:
        client.post("/sign-in", data={"token": "s"})
        assert "No device has shown signs of a failure yet" in read(client, "/")
        assert "No device is registered yet" in read(client, "/devices")


def test_what_people_do_to_a_ticket_is_said_on_its_page(agent: TestClient) -> None:
    def act(action: str, **data: Any) -> str:
        answer = agent.post(f"/tickets/7/{action}", data=data)
        assert answer.status_code == 200, answer.text
        return answer.text

    assert "You have this ticket now." in act("take")
    assert "The note is in the timeline." in act("notes", text="They call back <b>today</b>")
    assert "&lt;b&gt;today" in read(agent, "/tickets/7")
    assert "The state is changed." in act("state", state="pending")
    assert "The ticket is solved." in act("state", state="solved", resolution="confirmed", note="Bearing changed")
    page = read(agent, "/tickets/7")
    assert "Bearing changed" in page
    assert "Confirmed: the fault was there" in page
    assert "Reopen or close" in page


def test_what_a_ticket_does_not_allow_is_said_on_its_page(agent: TestClient) -> None:
    refused = agent.post("/tickets/7/state", data={"state": "closed"})
    assert refused.status_code == 409
    assert "cannot become closed" in refused.text
    assert 'id="timeline"' in refused.text
    assert agent.post("/tickets/7/notes", data={"text": " "}).status_code == 422
    assert agent.post("/tickets/7/notes", data={"text": "a\0b"}).status_code == 422
    assert agent.post("/tickets/7/state", data={"state": "melted"}).status_code == 422
    assert agent.post("/tickets/99/take").status_code == 404


def test_errors_are_pages_for_people(agent: TestClient) -> None:
    assert "No ticket 99" in read(agent, "/tickets/99", 404)
    assert "nothing at this address" in read(agent, "/nowhere", 404)
    assert "cursor" in read(agent, "/?after=zzz", 422)
    assert "NUL" in read(agent, "/devices?search=%00", 400)


def test_what_devices_and_people_wrote_never_becomes_markup(agent: TestClient, database: Database) -> None:
    evil = "\"'><script>alert(1)</script>"
    with database.transaction() as c:
        c.execute("UPDATE device SET address = %s, firmware = %s, model = %s", (evil, evil, evil))
        c.execute("UPDATE finding SET because = %s", (evil,))
        c.execute("UPDATE notice SET body_text = %s, reason = %s", (evil, evil))
        c.execute("INSERT INTO series (device_id, signal) VALUES (1, %s)", (evil,))
        c.execute("INSERT INTO reading SELECT id, now(), now(), 1, 0 FROM series WHERE signal = %s", (evil,))
    for path in ("/", "/devices", f"/devices/{FRIDGE}", "/tickets/7", f"/devices?search={evil}"):
        assert "<script>alert" not in read(agent, path)


def test_readings_out_of_their_band_and_a_lost_profile_are_shown(agent: TestClient) -> None:
    page = read(agent, f"/devices/{FRIDGE}")
    assert "Not predictable yet" in page
    assert '<strong class="bad">' in page
    assert "Retired washer" in read(agent, "/devices/washer-lyon-1")
