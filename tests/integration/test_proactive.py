"""Findings to tickets to mails, on a real database and a real SMTP server."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest

from cli.embedded import MailSink
from core.database import Database
from core.errors import Conflict, NotFound
from core.profile import Profiles
from proactive.channel import Notice, Receipt
from proactive.channels.email import Email
from proactive.contact import QuietHours
from proactive.engine import Engine
from proactive.letter import Sender
from proactive.store import Outbox, TicketStore
from proactive.ticket import Resolution, TicketState

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


class Desk:
    """A platform with two devices, its clock in hand."""

    def __init__(self, database: Database, mailbox: MailSink) -> None:
        self.database = database
        self.now = NOON
        email = Email(host="127.0.0.1", port=mailbox.port, sender="Polar <care@example.com>", clock=lambda: self.now)
        self.engine = Engine(
            tickets=TicketStore(database, lambda: self.now),
            outbox=Outbox(database, lambda: self.now),
            channels={"email": email},
            profiles=Profiles(),
            sender=Sender(brand="Polar", phone=""),
            quiet=QuietHours.parse("21:00-08:00"),
            clock=lambda: self.now,
        )
        self.run("""
            INSERT INTO customer (external_id, name, email, language, time_zone, consent)
            VALUES ('c1', 'Ada Krüger', 'ada@example.com', 'de', 'Europe/Berlin', true),
                   ('c2', 'Bob', 'bob@example.com', 'en', 'UTC', false)""")
        self.run("INSERT INTO device (name, profile, customer_id) VALUES ('f1', 'fridge', 1), ('f2', 'fridge', 2)")

    def run(self, sql: str, *values: Any) -> list[Any]:
        with self.database.transaction() as connection:
            cursor = connection.execute(sql, values)  # type: ignore[arg-type,unused-ignore]
            return [tuple(row.values()) for row in cursor.fetchall()] if cursor.description else []

    def find(self, device: int = 1, mode: str = "compressor_wear", component: str = "compressor") -> int:
        (found,) = self.run(
            """INSERT INTO finding (device_id, kind, component, failure_mode, severity, detector, version, began_at,
                                    opened_at, extended_at, score, peak_score, because, evidence, stored_at, changed_at)
               VALUES (%s, 'degradation', %s, %s, 'major', 'baseline', '1', %s, %s, %s, 1.5, 1.5,
                       'vibration is high', '{}', %s, %s) RETURNING id""",
            device,
            component,
            mode,
            *[self.now] * 5,
        )
        return int(found[0])

    def close(self, finding: int) -> None:
        self.run("UPDATE finding SET closed_at = %s, changed_at = %s WHERE id = %s", self.now, self.now, finding)

    def turn(self) -> None:
        self.engine.triage()
        self.engine.send_due()
        self.engine.tidy()

    def tickets(self) -> list[Any]:
        return self.run("SELECT id, state, resolution FROM ticket ORDER BY id")

    def timeline(self) -> list[str]:
        return [kind for (kind,) in self.run("SELECT kind FROM timeline_entry ORDER BY id")]


@pytest.fixture
def desk(database: Database, mailbox: MailSink) -> Desk:
    return Desk(database, mailbox)


def test_a_finding_becomes_a_ticket_and_one_mail_in_the_customers_language(desk: Desk, mailbox: MailSink) -> None:
    desk.find()
    desk.turn()
    desk.turn()
    assert desk.tickets() == [(1, "new", None)]
    (mail,) = mailbox.messages()
    assert mail["To"] == "ada@example.com"
    assert mail["Subject"] == "Bitte bald prüfen lassen: Kühlschrank"
    assert mail["Auto-Submitted"] == "auto-generated"
    body = mail.get_body(("plain",))
    assert body
    assert "Guten Tag Ada Krüger" in body.get_content()
    assert "verschleißt" in body.get_content()
    assert desk.timeline() == ["opened", "notice_due", "notice_sent"]
    assert desk.run("SELECT state, attempts, sent_at FROM notice") == [("sent", 1, NOON)]


def test_the_same_fault_again_extends_the_ticket_and_sends_nothing(desk: Desk, mailbox: MailSink) -> None:
    first = desk.find()
    desk.turn()
    desk.now += timedelta(hours=1)
    desk.close(first)
    desk.turn()
    desk.now += timedelta(hours=1)
    desk.find()
    desk.turn()
    assert len(desk.tickets()) == 1
    assert len(mailbox.messages()) == 1
    assert desk.timeline()[3:] == ["finding", "finding"]


def test_another_component_is_another_ticket(desk: Desk) -> None:
    desk.find()
    desk.find(mode="gasket_leak", component="door_gasket")
    desk.turn()
    assert len(desk.tickets()) == 2


def test_a_finding_of_a_device_whose_profile_is_gone_still_becomes_a_ticket(desk: Desk, mailbox: MailSink) -> None:
    desk.run("UPDATE device SET profile = 'gone' WHERE id = 1")
    desk.find(1)
    desk.find(2)
    desk.turn()
    assert len(desk.tickets()) == 2
    assert mailbox.messages() == []
    assert desk.run("SELECT subject FROM ticket WHERE device_id = 1") == [("compressor: abnormal behaviour",)]


def test_two_engines_at_once_open_one_ticket(desk: Desk, mailbox: MailSink) -> None:
    for device in (1, 2):
        for mode, component in (("compressor_wear", "compressor"), ("gasket_leak", "door_gasket")):
            desk.find(device, mode, component)
    with ThreadPoolExecutor(4) as pool:
        for result in [pool.submit(desk.turn) for _ in range(8)]:
            result.result()
    assert len(desk.tickets()) == 4
    assert len(mailbox.messages()) == 2
    assert desk.timeline().count("opened") == 4


def test_without_consent_nothing_is_sent_and_the_timeline_says_why(desk: Desk, mailbox: MailSink) -> None:
    desk.find(device=2)
    desk.turn()
    assert mailbox.messages() == []
    assert desk.run("SELECT kind, summary FROM timeline_entry ORDER BY id")[1] == (
        "notice_held",
        "no notice: the customer has not agreed to be contacted",
    )


def test_quiet_hours_defer_the_mail(desk: Desk, mailbox: MailSink) -> None:
    desk.now = datetime(2026, 3, 2, 22, tzinfo=UTC)
    desk.find()
    desk.turn()
    assert mailbox.messages() == []
    desk.now = datetime(2026, 3, 3, 6, 59, tzinfo=UTC)
    desk.turn()
    assert mailbox.messages() == []
    desk.now = datetime(2026, 3, 3, 7, 0, tzinfo=UTC)
    desk.turn()
    assert len(mailbox.messages()) == 1


def test_a_mail_server_that_is_busy_is_tried_again(desk: Desk, mailbox: MailSink) -> None:
    mailbox.refuse = "451 try later"
    desk.find()
    desk.turn()
    assert desk.run("SELECT state, attempts, due_at > %s FROM notice", NOON) == [("due", 1, True)]
    mailbox.refuse = None
    desk.now += timedelta(minutes=1)
    desk.turn()
    assert len(mailbox.messages()) == 1
    assert desk.run("SELECT state, attempts FROM notice") == [("sent", 2)]


def test_a_mail_server_that_refuses_for_good_leaves_it_to_a_person(desk: Desk, mailbox: MailSink) -> None:
    mailbox.refuse = "550 no such user"
    desk.find()
    desk.turn()
    assert desk.run("SELECT state FROM notice") == [("failed",)]
    (summary,) = desk.run("SELECT summary FROM timeline_entry WHERE kind = 'notice_failed'")
    assert "550 no such user" in summary[0]


def test_a_sender_that_dies_in_the_middle_never_sends_twice(desk: Desk, mailbox: MailSink) -> None:
    class Dying:
        name: ClassVar[str] = "email"

        def send(self, notice: Notice) -> Receipt:  # noqa: ARG002 — it dies before it looks
            raise KeyboardInterrupt

    desk.find()
    dying = replace(desk.engine, channels={"email": Dying()})
    dying.triage()
    with pytest.raises(KeyboardInterrupt):
        dying.send_due()
    desk.turn()
    assert mailbox.messages() == []
    desk.now += timedelta(minutes=11)
    desk.turn()
    assert mailbox.messages() == []
    assert desk.run("SELECT state FROM notice") == [("failed",)]
    assert desk.timeline()[-1] == "notice_failed"


def test_solving_cancels_what_has_not_left(desk: Desk, mailbox: MailSink) -> None:
    desk.now = datetime(2026, 3, 2, 22, tzinfo=UTC)
    desk.find()
    desk.turn()
    store = desk.engine.tickets
    store.change(1, state=TicketState.SOLVED, resolution=Resolution.NO_FAULT_FOUND, actor="Mia")
    desk.now += timedelta(days=1)
    desk.turn()
    assert mailbox.messages() == []
    assert desk.run("SELECT state FROM notice") == [("cancelled",)]


def test_a_confirmed_fault_that_comes_back_reopens_its_ticket_without_a_mail(desk: Desk, mailbox: MailSink) -> None:
    finding = desk.find()
    desk.turn()
    desk.engine.tickets.change(1, state=TicketState.SOLVED, resolution=Resolution.CONFIRMED, actor="Mia")
    desk.close(finding)
    desk.now += timedelta(days=2)
    desk.find()
    desk.turn()
    assert desk.tickets() == [(1, "open", None)]
    assert len(mailbox.messages()) == 1


def test_a_solved_ticket_is_closed_after_a_week_and_a_new_fault_opens_a_new_one(desk: Desk, mailbox: MailSink) -> None:
    finding = desk.find()
    desk.turn()
    desk.close(finding)
    desk.engine.tickets.change(1, state=TicketState.SOLVED, resolution=Resolution.CONFIRMED, actor="Mia")
    desk.now += timedelta(days=8)
    desk.turn()
    assert desk.tickets() == [(1, "closed", "confirmed")]
    desk.find()
    desk.turn()
    assert [state for _, state, _ in desk.tickets()] == ["closed", "new"]
    assert len(mailbox.messages()) == 2


def test_people_work_on_a_ticket(desk: Desk) -> None:
    desk.find()
    desk.turn()
    store = desk.engine.tickets
    store.assign(1, assignee="Mia", actor="Mia")
    store.add_note(1, actor="Mia", text="called the customer")
    store.change(1, state=TicketState.PENDING, resolution=None, actor="Mia", note="waits for a date")
    assert desk.tickets() == [(1, "pending", None)]
    assert desk.timeline()[3:] == ["assigned", "state", "note", "state"]
    with pytest.raises(Conflict):
        store.change(1, state=TicketState.CLOSED, resolution=None, actor="Mia")
    with pytest.raises(NotFound, match="no ticket 99"):
        store.add_note(99, actor="Mia", text="x")
