"""What the routes work with: made once by `create_app`, reached from each request."""

from dataclasses import dataclass

from fastapi import Request

from api.store import ConsoleStore
from core.clock import Clock
from core.database import Database
from core.profile import Profile, Profiles
from core.settings import Settings
from proactive.models import ModelStore
from proactive.store import TicketStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts behind the routes."""

    settings: Settings
    database: Database
    console: ConsoleStore
    tickets: TicketStore
    models: ModelStore
    profiles: Profiles
    clock: Clock

    def profile(self, name: str) -> Profile | None:
        """The profile `name`; None when its file is gone, which must not take a device's pages away."""
        found: Profile | None = self.profiles.get(name)
        return found


def parts(request: Request) -> Parts:
    """The parts of the app that got this request."""
    value: Parts = request.app.state.parts
    return value
