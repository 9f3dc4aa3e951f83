"""The console's reads and the API's tokens: the only file of `api` that runs SQL."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.database import Database, Queries, Row
from core.errors import Conflict, NotFound
from core.profile import Profile
from telemetry.ranges import mode_signals

QUERIES = Queries("api")
MOST_RAW = 20_000
"""Readings that are sent as measured at the most; more are sent as buckets."""

_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketFilter:
    """Which tickets; None is any. `states` empty means none."""

    states: Sequence[str] | None = None
    severity: str | None = None
    device: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """Readings of one signal, columns of one length. Times in ms since epoch.

    Either `value` as measured (`bucket` is None), or `least`, `greatest` and `mean` of each `bucket`; of a mode, the `value`
    that most of the bucket's readings have.
    """

    profile: str
    bucket: timedelta | None
    time: list[int]
    value: list[float]
    least: list[float]
    greatest: list[float]
    mean: list[float]


class ConsoleStore:
    """What the pages and the API show, as rows. Every list is in a stable order and starts after a key.

    profiles: by name, they tell which signals are modes.
    """

    def __init__(self, database: Database, profiles: Mapping[str, Profile]) -> None:
        self._database = database
        self._modes = mode_signals(profiles)

    def tickets(
        self,
        which: TicketFilter,
        *,
        limit: int,
        after: tuple[int, int, int] | None = None,
        urgent_first: bool = False,
    ) -> list[Row]:
        """Tickets with device, customer, since when, and their newest notice. `after` is (need, rank, id)."""
        need, rank, last = after or (None, None, None)
        return self._rows(
            "tickets",
            urgent_first=urgent_first,
            states=None if which.states is None else list(which.states),
            severity=which.severity,
            device=which.device,
            id=None,
            after_need=need,
            after_rank=rank,
            after_id=last,
            limit=limit,
        )

    def ticket(self, ticket: int) -> Row:
        """One ticket, as in `tickets`. Raises NotFound."""
        rows = self._rows(
            "tickets",
            urgent_first=False,
            states=None,
            severity=None,
            device=None,
            id=ticket,
            after_need=None,
            after_rank=None,
            after_id=None,
            limit=1,
        )
        if not rows:
            raise NotFound("ticket", ticket)
        return rows[0]

    def ticket_counts(self) -> list[Row]:
        """How many tickets there are by state and severity."""
        return self._rows("ticket_counts")

    def timeline(self, ticket: int) -> list[Row]:
        """What happened to a ticket, newest first."""
        return self._rows("timeline", ticket=ticket)

    def devices(
        self, *, limit: int, after: str | None = None, search: str | None = None, profile: str | None = None
    ) -> list[Row]:
        """Devices by name. `search` is a part of name, serial, model, site, address or customer."""
        return self._rows("devices", name=None, limit=limit, after=after, search=search, profile=profile)

    def device(self, name: str) -> Row:
        """One device, as in `devices`. Raises NotFound."""
        rows = self._rows("devices", name=name, limit=1, after=None, search=None, profile=None)
        if not rows:
            raise NotFound("device", name)
        return rows[0]

    def component_health(self, device: str) -> list[Row]:
        """The condition of each component of a device that was judged, the worst first, those not known yet last."""
        return self._rows("component_health", device=device)

    def latest_readings(self, device: str) -> list[Row]:
        """The newest reading of each signal of a device."""
        return self._rows("latest_readings", device=device)

    def readings(self, device: str, signal: str, start: datetime, stop: datetime, points: int) -> Readings | None:
        """Readings in [start, stop): as measured when there are no more than `points`, else in about `points` buckets.

        Buckets of an hour and more are made of the hours that `telemetry.storage` keeps, and so is what lies so far
        back that the readings themselves were dropped. No two modes have a mean: a bucket has the one that most of its
        readings have.

        None when the device never sent the signal. Raises NotFound for an unknown device.
        """
        with self._database.transaction() as connection:
            series = connection.execute(QUERIES["series"], {"device": device, "signal": signal}).fetchone()
            if series is None:
                raise NotFound("device", device)
            if series["id"] is None:
                return None
            asked = {"series": series["id"], "start": start, "stop": stop}
            dropped = series["kept"] is not None and start < series["kept"]
            if not dropped:
                raw = connection.execute(QUERIES["raw_readings"], {**asked, "limit": points + 1}).fetchall()
                if len(raw) <= points:
                    return _single(series["profile"], raw)
            # Whole seconds make bucket starts that people can read; a bucket more than `points` may come of it.
            width = timedelta(seconds=max(1, -(-int((stop - start).total_seconds()) // points)))
            by_hours = dropped or width >= _HOUR
            if by_hours:
                width = -(-width // _HOUR) * _HOUR
            is_mode = (series["profile"], signal) in self._modes
            if is_mode:
                query = "bucketed_mode_hours" if by_hours else "bucketed_modes"
            else:
                query = "bucketed_hours" if by_hours else "bucketed_readings"
            rows = connection.execute(QUERIES[query], {**asked, "width": width}).fetchall()
        if is_mode:
            return _single(series["profile"], rows, width)
        return Readings(
            profile=series["profile"],
            bucket=width,
            time=[r["time"] for r in rows],
            value=[],
            least=[r["least"] for r in rows],
            greatest=[r["greatest"] for r in rows],
            mean=[r["mean"] for r in rows],
        )

    def findings(
        self,
        *,
        limit: int,
        after: int | None = None,
        device: str | None = None,
        kind: str | None = None,
        is_open: bool | None = None,
        ticket: int | None = None,
    ) -> list[Row]:
        """Findings, newest first."""
        return self._rows("findings", limit=limit, after=after, device=device, kind=kind, open=is_open, ticket=ticket)

    def notices(
        self, *, limit: int, after: int | None = None, state: str | None = None, ticket: int | None = None
    ) -> list[Row]:
        """Notices, newest first."""
        return self._rows("notices", limit=limit, after=after, state=state, ticket=ticket)

    def dead_letters(self, *, limit: int, after: int | None = None, reason: str | None = None) -> list[Row]:
        """Dead letters, newest first."""
        return self._rows("dead_letters", limit=limit, after=after, reason=reason)

    def dead_letter_counts(self) -> list[Row]:
        """By reason, most first: how many dead letters there are, and the first and last time of receipt."""
        return self._rows("dead_letter_counts")

    def device_events(
        self,
        device: str,
        *,
        limit: int,
        after: tuple[datetime, str, str] | None = None,
        kind: str | None = None,
        start: datetime | None = None,
        stop: datetime | None = None,
    ) -> list[Row]:
        """Events of a device in [start, stop), newest first. `after` is (time, kind, code)."""
        time, after_kind, code = after or (None, None, None)
        return self._rows(
            "device_events",
            device=device,
            kind=kind,
            start=start,
            stop=stop,
            after_time=time,
            after_kind=after_kind,
            after_code=code,
            limit=limit,
        )

    def device_attributes(self, device: str) -> list[Row]:
        """What a device said of itself, by name, and from when until when it held; `until` is None for what holds."""
        return self._rows("device_attributes", device=device)

    def totals(self) -> Row:
        """Open tickets, due notices and dead letters, counted."""
        return self._rows("totals")[0]

    def _rows(self, query: str, **values: object) -> list[Row]:
        with self._database.transaction() as connection:
            return connection.execute(QUERIES[query], values).fetchall()


def _single(profile: str, rows: list[Row], bucket: timedelta | None = None) -> Readings:
    return Readings(
        profile=profile,
        bucket=bucket,
        time=[r["time"] for r in rows],
        value=[r["value"] for r in rows],
        least=[],
        greatest=[],
        mean=[],
    )


class TokenStore:
    """Bearer tokens by their SHA-256: the tokens themselves are never stored."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def by_token(self, token: str) -> Row | None:
        """id, name and role of a living token, else None."""
        return self._row("token_by_hash", sha256=_digest(token))

    def by_id(self, number: int) -> Row | None:
        """id, name and role of a living token, else None."""
        return self._row("token_by_id", id=number)

    def create(self, *, name: str, role: str, token: str, now: datetime) -> None:
        """Keeps a token's hash. Raises Conflict when the name was ever used: the timeline must stay unambiguous."""
        if self._row("token_create", name=name, role=role, sha256=_digest(token), now=now) is None:
            raise Conflict(f"there is a token {name!r} already (maybe revoked); choose another name")

    def list(self) -> list[Row]:
        """name, role, created_at and revoked_at of all tokens."""
        with self._database.transaction() as connection:
            return connection.execute(QUERIES["token_list"]).fetchall()

    def revoke(self, *, name: str, now: datetime) -> None:
        """Ends a token and the sessions made with it. Raises NotFound."""
        if self._row("token_revoke", name=name, now=now) is None:
            raise NotFound("token", name)

    def _row(self, query: str, **values: object) -> Row | None:
        with self._database.transaction() as connection:
            return connection.execute(QUERIES[query], values).fetchone()


def _digest(token: str) -> bytes:
    # A token has 256 random bits: a plain hash cannot be guessed back, and lets the database find it by its index.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
