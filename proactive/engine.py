"""The proactive engine: what it does in one turn. `cli` calls it periodically."""

from collections.abc import Mapping
from dataclasses import dataclass

from core import log
from core.clock import Clock
from core.database import Row
from core.profile import Profile
from proactive import letter
from proactive.channel import Channel, DeliveryFailed, Retry
from proactive.contact import Due, Held, QuietHours, may_email, retry_at
from proactive.letter import Letter, Sender
from proactive.store import Outbox, TicketStore, customer_of

_log = log.get(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """Turns findings into tickets and sends what is due."""

    tickets: TicketStore
    outbox: Outbox
    channels: Mapping[str, Channel]
    profiles: Mapping[str, Profile]
    sender: Sender
    quiet: QuietHours | None
    clock: Clock

    def triage(self) -> int:
        """Takes up new and changed findings until none is left; returns how many."""
        count = 0
        while decided := self.tickets.triage_findings(self._subject, self._plan):
            count += len(decided)
            for finding, decision in decided:
                _log.info("triaged", finding=finding, decision=str(decision))
        return count

    def send_due(self) -> int:
        """Sends the notices that are due; returns how many left. A refusal is retried later or given to a person."""
        sent = 0
        while claimed := self.outbox.claim():
            row, notice = claimed
            try:
                receipt = self._channel(row["channel"]).send(notice)
            except DeliveryFailed as error:
                again = retry_at(row["attempts"], self.clock()) if error.retry is Retry.LATER else None
                _log.warning("notice not sent", notice=row["id"], reason=error.reason, again_at=str(again or "never"))
                self.outbox.failed(row, error.reason, again)
            else:
                self.outbox.sent(row, receipt.reference)
                _log.info("notice sent", notice=row["id"], ticket=row["ticket_id"], channel=row["channel"])
                sent += 1
        return sent

    def tidy(self) -> None:
        """What is done now and then: long solved tickets are closed, interrupted notices given to a person."""
        closed, interrupted = self.tickets.close_long_solved(), self.outbox.give_up_interrupted()
        if closed or interrupted:
            _log.info("tidied", tickets_closed=closed, notices_interrupted=interrupted)

    def _channel(self, name: str) -> Channel:
        if name not in self.channels:
            raise DeliveryFailed(f"no channel {name!r} is set up", retry=Retry.NEVER)
        return self.channels[name]

    def _subject(self, finding: Row) -> str:
        profile = self.profiles.get(finding["profile"])
        mode = profile.failure_modes.get(finding["failure_mode"]) if profile else None
        if mode:
            return str(mode.title)
        component = profile.components.get(finding["component"]) if profile else None
        return f"{component.title if component else finding['component']}: abnormal behaviour"

    def _plan(self, finding: Row) -> tuple[Due, Letter] | Held:
        customer = customer_of(finding)
        due = may_email(customer, self.quiet, self.clock())
        if isinstance(due, Held):
            return due
        assert customer is not None
        profile = self.profiles.get(finding["profile"])
        if profile is None:
            return Held.NO_PROFILE
        return due, letter.write(
            profile,
            finding["failure_mode"],
            component=finding["component"],
            language=customer.language,
            customer=customer.name,
            device=finding["device"],
            model=finding["model"],
            sender=self.sender,
        )
