"""What a channel is: it sends one notice, or says whether trying again makes sense. Routing and retries are not its job."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Protocol

from core.errors import ForewarnError


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One message to one customer, rendered."""

    idempotency_key: str
    recipient: str
    language: str
    subject: str
    text: str
    html: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What the far end said when it took the notice over, for example its message id."""

    reference: str


class Retry(StrEnum):
    """Whether sending the same notice again may work."""

    LATER = "later"
    NEVER = "never"


class DeliveryFailed(ForewarnError):
    """The far end did not take the notice. The message never holds a password or a notice's text."""

    def __init__(self, reason: str, *, retry: Retry) -> None:
        self.reason = reason
        self.retry = retry
        super().__init__(reason)


class Channel(Protocol):
    """A way to a customer."""

    name: ClassVar[str]

    def send(self, notice: Notice) -> Receipt:
        """Hands the notice over. Raises DeliveryFailed."""
        ...
