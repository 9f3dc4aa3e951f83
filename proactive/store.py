"""Tickets, their timelines and the outbox in the database. Each public method is one transaction."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from core.clock import Clock
from core.database import Connection, Database, Queries, Row
from core.errors import InvalidInput, NotFound
from proactive.channel import Notice
from proactive.contact import Customer, Due, Held
from proactive.letter import Letter
from proactive.ticket import CLOSE_AFTER, Resolution, Standing, TicketState, change
from proactive.triage import Decision, FoundFault, triage

_SQL = Queries("proactive")
ENGINE = "Forewarn"
"""The actor of what automation did."""

_INTERRUPTED = "interrupted while sending; it may have arrived, so it is not sent again by itself"


class TicketStore:
    """What people and the engine do to tickets."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def change(
        self, ticket_id: int, *, state: TicketState, resolution: Resolution | None, actor: str, note: str = ""
    ) -> None:
        """Changes the state. Raises NotFound, Conflict, InvalidInput. A solved ticket's waiting notices are cancelled."""
        at = self._clock()
        with self._database.transaction() as connection:
            row = _locked(connection, ticket_id)
            before = _standing(row)
            after = change(before, state, resolution, at)
            _set_standing(connection, ticket_id, after, at)
            how = f" ({after.resolution})" if state is TicketState.SOLVED else ""
            _entry(connection, ticket_id, at, "state", actor, f"{before.state} to {after.state}{how}", {"note": note})
            if state in (TicketState.SOLVED, TicketState.CLOSED):
                _cancel(connection, ticket_id, at, f"the ticket was {state} before it left")

    def confirmed_faults(self, profile: str) -> list[tuple[str, str, datetime, datetime]]:
        """`(device, component, began at, ended at)` of tickets that were solved as confirmed or already fixed, oldest first."""
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["confirmed_faults"], {"profile": profile})
            return [(row["device"], row["component"], row["began_at"], row["ended_at"]) for row in rows]

    def assign(self, ticket_id: int, *, assignee: str, actor: str) -> None:
        """Gives the ticket to `assignee`, or to nobody by an empty name; a new ticket becomes open. Raises NotFound."""
        at = self._clock()
        with self._database.transaction() as connection:
            row = _locked(connection, ticket_id)
            connection.execute(_SQL["set_assignee"], {"id": ticket_id, "assignee": assignee, "at": at})
            summary = f"assigned to {assignee}" if assignee else "assigned to nobody"
            _entry(connection, ticket_id, at, "assigned", actor, summary)
            if assignee and row["state"] == TicketState.NEW:
                _set_standing(connection, ticket_id, change(_standing(row), TicketState.OPEN, None, at), at)
                _entry(connection, ticket_id, at, "state", actor, "new to open")

    def add_note(self, ticket_id: int, *, actor: str, text: str) -> None:
        """Adds a note to the timeline. Raises NotFound, InvalidInput where it is empty."""
        if not text.strip():
            raise InvalidInput("the note is empty")
        at = self._clock()
        with self._database.transaction() as connection:
            _locked(connection, ticket_id)
            connection.execute(_SQL["touch_ticket"], {"id": ticket_id, "at": at})
            _entry(connection, ticket_id, at, "note", actor, text.strip())

    def close_long_solved(self) -> int:
        """Closes tickets that were solved more than `CLOSE_AFTER` ago; returns how many."""
        at = self._clock()
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["long_solved"], {"before": at - CLOSE_AFTER}).fetchall()
            for row in rows:
                ticket = _locked(connection, row["id"])
                if ticket["state"] == TicketState.SOLVED:
                    after = change(_standing(ticket), TicketState.CLOSED, None, at)
                    _set_standing(connection, row["id"], after, at)
                    _entry(connection, row["id"], at, "state", ENGINE, "solved to closed")
        return len(rows)

    def triage_findings(
        self, subject: Callable[[Row], str], plan: Callable[[Row], tuple[Due, Letter] | Held], *, most: int = 200
    ) -> list[tuple[int, Decision]]:
        """Decides about each finding that is new or has changed: `(finding id, decision)` in the order taken.

        subject: the subject of a ticket for a finding's row. plan: the letter to the customer and when it may leave, or
        why none may. Each finding is one transaction: ticket, timeline and outbox row stand or fall together.
        """
        at = self._clock()
        with self._database.transaction() as connection:
            found = connection.execute(_SQL["changed_findings"], {"most": most}).fetchall()
        decisions = []
        for finding in found:
            with self._database.transaction() as connection:
                decisions.append((finding["id"], _triage(connection, finding, subject, plan, at)))
        return decisions


class Outbox:
    """Notices on their way out."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def claim(self) -> tuple[Row, Notice] | None:
        """The next due notice, committed as leaving before it is returned; None when nothing is due."""
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["claim_notice"], {"now": self._clock()}).fetchone()
        if row is None:
            return None
        return row, Notice(
            idempotency_key=row["idempotency_key"],
            recipient=row["recipient"],
            language=row["language"],
            subject=row["subject"],
            text=row["body_text"],
            html=row["body_html"],
        )

    def sent(self, row: Row, receipt: str) -> None:
        """The far end took the notice over."""
        at = self._clock()
        with self._database.transaction() as connection:
            connection.execute(_SQL["notice_sent"], {"id": row["id"], "at": at, "receipt": receipt})
            summary = f"{row['channel']} sent to {row['recipient']}"
            detail = {"notice": row["id"], "receipt": receipt}
            _entry(connection, row["ticket_id"], at, "notice_sent", ENGINE, summary, detail)

    def failed(self, row: Row, reason: str, again_at: datetime | None) -> None:
        """It did not leave: try again at `again_at`, or give up for a person to decide."""
        at = self._clock()
        with self._database.transaction() as connection:
            if again_at:
                connection.execute(_SQL["notice_again"], {"id": row["id"], "due_at": again_at, "reason": reason})
                return
            connection.execute(_SQL["notice_failed"], {"id": row["id"], "reason": reason})
            summary = f"{row['channel']} to {row['recipient']} failed: {reason}"
            _entry(connection, row["ticket_id"], at, "notice_failed", ENGINE, summary, {"notice": row["id"]})

    def give_up_interrupted(self, after: timedelta = timedelta(minutes=10)) -> int:
        """Marks notices whose sender died in the middle; returns how many."""
        at = self._clock()
        with self._database.transaction() as connection:
            rows = connection.execute(
                _SQL["interrupted_notices"], {"before": at - after, "reason": _INTERRUPTED}
            ).fetchall()
            for row in rows:
                summary = f"notice to {row['recipient']}: {_INTERRUPTED}"
                _entry(connection, row["ticket_id"], at, "notice_failed", ENGINE, summary, {"notice": row["id"]})
        return len(rows)


def customer_of(row: Row) -> Customer | None:
    """The customer in a finding's row, None where its device has none."""
    if row["customer_id"] is None:
        return None
    return Customer(
        name=row["customer"],
        email=row["email"],
        language=row["language"],
        time_zone=row["time_zone"],
        consent=row["consent"],
    )


def _triage(
    connection: Connection,
    finding: Row,
    subject: Callable[[Row], str],
    plan: Callable[[Row], tuple[Due, Letter] | Held],
    at: datetime,
) -> Decision:
    fault = FoundFault(kind=finding["kind"], opened_at=finding["opened_at"], closed_at=finding["closed_at"])
    key = {k: finding[k] for k in ("device_id", "component", "failure_mode")}
    row = connection.execute(_SQL["living_ticket"], key).fetchone()
    decision = triage(fault, _standing(row) if row else None)
    opened = None
    if decision.opens:
        opening = key | {"severity": finding["severity"], "subject": subject(finding), "at": at}
        opened = connection.execute(_SQL["open_ticket"], opening).fetchone()
        if opened is None:
            # Another engine opened it between our look and our insert; the unique index decided.
            row = connection.execute(_SQL["living_ticket"], key).fetchone()
            decision = triage(fault, _standing(row) if row else None)
    ticket_id = opened["id"] if opened else row["id"] if row else None
    if opened:
        _entry(connection, opened["id"], at, "opened", ENGINE, finding["because"], {"finding": finding["id"]})
        _plan_contact(connection, opened["id"], finding, plan(finding), at)
    elif ticket_id is not None:
        if decision is Decision.REOPENED:
            _set_standing(connection, ticket_id, Standing(state=TicketState.OPEN), at)
            _entry(connection, ticket_id, at, "state", ENGINE, str(decision))
        if finding["withdrawn"]:
            summary = finding["withdrawn"]
        elif finding["closed_at"]:
            summary = "the values are back in their normal band"
        elif finding["seen"]:
            summary = f"still abnormal: {finding['because']}"
        else:
            summary = finding["because"]
        _entry(connection, ticket_id, at, "finding", ENGINE, summary, {"finding": finding["id"]})
        connection.execute(_SQL["touch_ticket"], {"id": ticket_id, "at": at})
    remembered = {"finding_id": finding["id"], "ticket_id": ticket_id, "seen_change": finding["changed_at"]}
    connection.execute(_SQL["remember_decision"], remembered | {"decision": str(decision)})
    return decision


def _plan_contact(
    connection: Connection, ticket_id: int, finding: Row, planned: tuple[Due, Letter] | Held, at: datetime
) -> None:
    if isinstance(planned, Held):
        _entry(connection, ticket_id, at, "notice_held", ENGINE, f"no notice: {planned}")
        return
    due, letter = planned
    step = 1
    row = connection.execute(
        _SQL["add_notice"],
        {
            "ticket_id": ticket_id,
            "step": step,
            "channel": "email",
            "key": f"ticket-{ticket_id}-step-{step}",
            "recipient": finding["email"],
            "language": finding["language"],
            "subject": letter.subject,
            "text": letter.text,
            "html": letter.html,
            "reason": due.reason,
            "at": at,
            "due_at": due.at,
        },
    ).fetchone()
    if row:
        when = f"waits: {due.reason}" if due.reason else "leaves now"
        summary = f"email to {finding['email']} {when}"
        _entry(connection, ticket_id, at, "notice_due", ENGINE, summary, {"notice": row["id"]})


def _locked(connection: Connection, ticket_id: int) -> Row:
    row = connection.execute(_SQL["ticket_for_update"], {"id": ticket_id}).fetchone()
    if row is None:
        raise NotFound("ticket", ticket_id)
    return row


def _standing(row: Row) -> Standing:
    return Standing(
        state=TicketState(row["state"]),
        resolution=Resolution(row["resolution"]) if row["resolution"] else None,
        solved_at=row["solved_at"],
    )


def _set_standing(connection: Connection, ticket_id: int, standing: Standing, at: datetime) -> None:
    connection.execute(
        _SQL["set_standing"],
        {
            "id": ticket_id,
            "state": standing.state,
            "resolution": standing.resolution,
            "solved_at": standing.solved_at,
            "at": at,
        },
    )


def _cancel(connection: Connection, ticket_id: int, at: datetime, reason: str) -> None:
    cancelled = connection.execute(_SQL["cancel_notices"], {"ticket_id": ticket_id, "reason": reason}).fetchall()
    for row in cancelled:
        _entry(connection, ticket_id, at, "notice_held", ENGINE, f"notice not sent: {reason}", {"notice": row["id"]})


def _entry(
    connection: Connection,
    ticket_id: int,
    at: datetime,
    kind: str,
    actor: str,
    summary: str,
    detail: dict[str, Any] | None = None,
) -> None:
    filled = {key: value for key, value in (detail or {}).items() if value not in ("", None)}
    connection.execute(
        _SQL["add_entry"],
        {
            "ticket_id": ticket_id,
            "at": at,
            "kind": kind,
            "actor": actor,
            "summary": summary,
            "detail": Jsonb(filled),
        },
    )
