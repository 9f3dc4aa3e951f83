"""The one error tree of Forewarn. The docstring of a class is what a stranger reads first.

ForewarnError
├── Temporary            trying again later may work
│   └── DatabaseAway
└── Permanent            trying again changes nothing
    ├── InvalidSettings
    ├── InvalidProfile
    ├── InvalidInput
    ├── DatabaseRefused
    ├── BrokerRefused
    ├── NotFound
    ├── Conflict
    └── Denied

Errors of a driver (psycopg, paho, smtplib) stop at the file that talks to it and become one of these there.
"""

from pathlib import Path


class ForewarnError(Exception):
    """Something in Forewarn failed."""

    @property
    def retryable(self) -> bool:
        """Whether the same call may work later without anybody changing anything."""
        return isinstance(self, Temporary)


class Temporary(ForewarnError):
    """A passing condition; the same call may work later."""


class DatabaseAway(Temporary):
    """The database does not answer."""


class Permanent(ForewarnError):
    """The same call will fail again until somebody changes the input."""


class InvalidSettings(Permanent):
    """An environment variable has a value Forewarn cannot use."""


class InvalidProfile(Permanent):
    """A device profile breaks a rule."""

    def __init__(self, file: Path | str, line: int | None, field: str, reason: str) -> None:
        self.file = str(file)
        self.line = line
        self.field = field
        self.reason = reason
        place = f"{self.file}:{line}" if line else self.file
        super().__init__(f"{place}: {field or 'profile'}: {reason}")


class InvalidInput(Permanent):
    """A value given by a person or a program cannot be used; the message says which and why."""


class DatabaseRefused(Permanent):
    """The database answers, and does not take these values; the message says why."""


class BrokerRefused(Permanent):
    """The MQTT broker answers, and does not let us in; the message says why."""


class NotFound(Permanent):
    """There is nothing by that name."""

    def __init__(self, kind: str, name: object) -> None:
        self.kind = kind
        self.name = name
        super().__init__(f"no {kind} {name!r}")


class Conflict(Permanent):
    """The thing exists already, or its state does not allow the change."""


class Denied(Permanent):
    """The caller may not do this."""
