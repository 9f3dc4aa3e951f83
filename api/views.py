"""What the pages say, as pure functions of rows, profile and `now`: names, evidence and notices in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import isfinite
from typing import Any

from anomaly.learning.features import MAINTAINED
from api.times import ago, span, waiting
from core import units
from core.database import Row
from core.profile import Playbook, Profile

STATES = {
    "new": "New",
    "open": "Open",
    "pending": "Waiting for customer",
    "on_hold": "On hold",
    "solved": "Solved",
    "closed": "Closed",
}
SEVERITIES = {"critical": "Critical", "major": "Major", "minor": "Minor", "warning": "Warning"}
RESOLUTIONS = {
    "confirmed": "Confirmed: the fault was there",
    "no_fault_found": "No fault found",
    "already_fixed": "Already fixed",
    "declined": "Customer declined",
    "duplicate": "Duplicate of another ticket",
}
HAPPENINGS = {
    "opened": "Ticket opened",
    "finding": "Finding",
    "state": "State changed",
    "assigned": "Assigned",
    "note": "Note",
    "notice_due": "Message planned",
    "notice_sent": "Message sent",
    "notice_failed": "Message failed",
    "notice_held": "Message held back",
}
# What Forewarn itself finds, whatever the profile.
_OWN_WORDS = {"silence": "No data from the device", "connectivity": "Connection"}
_TONES = {"opened": "bad", "finding": "warn", "notice_failed": "bad", "notice_held": "warn", "notice_sent": "good"}


class Names:
    """Titles of one profile's parts. Where profile or part is gone, the plain name in words stands in."""

    def __init__(self, name: str, profile: Profile | None) -> None:
        self._name = name
        self._profile = profile

    @property
    def profile(self) -> str:
        """Title of the profile."""
        return str(self._profile.title) if self._profile else _words(self._name)

    def component(self, name: str) -> str:
        """Title of a component."""
        return _title(self._profile.components if self._profile else {}, name)

    @property
    def components(self) -> tuple[str, ...]:
        """Names of all components."""
        return tuple(self._profile.components) if self._profile else ()

    def failure_mode(self, name: str) -> str:
        """Title of a failure mode."""
        return _title(self._profile.failure_modes if self._profile else {}, name)

    def signal(self, name: str) -> str:
        """Title of a signal."""
        return _title(self._profile.signals if self._profile else {}, name)

    def measures(self, name: str) -> bool:
        """Whether that is a signal of the profile."""
        return self._profile is not None and name in self._profile.signals

    def source(self, name: str, unit: str) -> str:
        """Title of what a finding's evidence names: a signal, an error code that is counted, a component's age, or how long ago
        any of them was replaced.
        """
        if self.measures(name):
            return self.signal(name)
        if name == MAINTAINED:
            return f"Time since the {name}"
        if unit == units.COUNT:
            return f"Error code {name}, lately"
        known = self._profile.components if self._profile else {}
        return f"{self.component(name)}: time in place" if name in known or unit == "h" else _words(name)

    def unit(self, name: str) -> str:
        """A signal's unit as people read it."""
        known = self._profile.signals.get(name) if self._profile else None
        return units.shown(known.unit) if known else ""

    def playbook(self, failure_mode: str) -> Playbook | None:
        """What the profile says about a failure mode."""
        mode = self._profile.failure_modes.get(failure_mode) if self._profile else None
        return mode.playbook if mode else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One signal of a finding: its normal band against what was seen, and where both lie on a bar of 0..100."""

    title: str
    seen: str
    normal: str
    share: str
    direction: str
    band_start: float
    band_width: float
    mark: float


def evidence(finding: Row, names: Names) -> list[Evidence]:
    """The signals of a finding, in the order in which the detector ranked them."""
    signals = finding["evidence"].get("signals", [])
    return [_evidence(signal, names) for signal in signals if isinstance(signal, dict) and "signal" in signal]


def _evidence(signal: Mapping[str, Any], names: Names) -> Evidence:
    unit = units.shown(str(signal.get("unit", "")))
    title = names.source(str(signal["signal"]), str(signal.get("unit", "")))
    seen, low, high = (_number(signal.get(key)) for key in ("seen", "normal_low", "normal_high"))
    measured = names.measures(str(signal["signal"]))
    if not measured and unit == "h" and max(abs(value) for value in (seen, low, high, 0.0) if value is not None) >= 48:
        unit = "days"
        seen, low, high = (None if value is None else value / 24 for value in (seen, low, high))
    if not measured and signal.get("unit") == units.COUNT:
        unit = "times"
    share = _number(signal.get("contribution"))
    known = [value for value in (seen, low, high) if value is not None]
    least, most = (min(known), max(known)) if known else (0.0, 1.0)
    room = (most - least) * 0.12 or 1.0

    def place(value: float) -> float:
        return round((value - least + room) / (most - least + 2 * room) * 100, 1)

    start = place(low) if low is not None else 0.0
    end = place(high) if high is not None else 100.0
    return Evidence(
        title=title,
        seen=quantity(seen, unit),
        normal=_band(low, high, unit) + (" at that hour" if signal.get("hourly") else ""),
        share=f"{share:.0%}" if share is not None else "",
        direction=str(signal.get("direction", "")),
        band_start=start,
        # What never moved has one normal value, and is to be seen too.
        band_width=round(max(end - start, 1.0), 1),
        mark=place(seen) if seen is not None else -10.0,
    )


def _band(low: float | None, high: float | None, unit: str) -> str:
    if low is not None and low == high:
        return quantity(low, unit)
    if low is not None and high is not None:
        return f"{quantity(low, '')} to {quantity(high, unit)}"
    if high is not None:
        return f"up to {quantity(high, unit)}"
    return f"from {quantity(low, unit)}" if low is not None else "not known"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """The health of a component in words and as a bar of 0..100; `share` is None while it is not known."""

    title: str
    text: str
    tone: str
    share: float | None
    since: datetime | None = None


def condition(component: str, health: float | None, names: Names, since: datetime | None = None) -> Condition:
    """How a component is: good above three quarters, bad below one half, where an alarm's threshold is."""
    if health is None:
        return Condition(title=names.component(component), text="Not known yet", tone="quiet", share=None)
    tone = "bad" if health < 0.5 else "warn" if health < 0.75 else "good"
    share = round(health * 100, 1)
    return Condition(title=names.component(component), text=f"{share:.0f} %", tone=tone, share=share, since=since)


def conditions(rows: Sequence[Row], names: Names) -> list[Condition]:
    """The health of all components of a device, the worst first; `rows` know those that were judged."""
    judged = [condition(row["component"], row["health"], names, row["since"]) for row in rows]
    known = {row["component"] for row in rows}
    return judged + [condition(name, None, names) for name in names.components if name not in known]


def unusual(rows: Sequence[Row], names: Names, *, besides: str) -> list[Condition]:
    """The components but `besides` that are not as usual, the worst first: one fault may show in several."""
    others = conditions([row for row in rows if row["component"] != besides], names)
    return [one for one in others if one.tone in {"warn", "bad"}]


def normal_bands(findings: Sequence[Row], names: Names) -> dict[str, tuple[float, float]]:
    """The newest known normal band of each signal, in its own unit: that of how fast a counter counts is none of what it stands at,
    and that of one hour none of the day. `findings` newest first.
    """
    bands: dict[str, tuple[float, float]] = {}
    for finding in findings:
        for signal in finding["evidence"].get("signals", []):
            low, high = _number(signal.get("normal_low")), _number(signal.get("normal_high"))
            name, unit = str(signal.get("signal")), units.shown(str(signal.get("unit", "")))
            another = names.measures(name) and unit != names.unit(name)
            if low is not None and high is not None and not another and not signal.get("hourly"):
                bands.setdefault(str(signal.get("signal")), (low, high))
    return bands


def worst(findings: Sequence[Row]) -> Row | None:
    """The most severe open finding, of equals the first; None when all are over."""
    order = list(SEVERITIES)
    still = [finding for finding in findings if finding["closed_at"] is None]
    return min(still, key=lambda f: order.index(f["severity"]) if f["severity"] in order else len(order), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A short text with its tone: good, warn, bad or quiet."""

    text: str
    tone: str


def notice_line(row: Row, now: datetime) -> Line:
    """Where the newest notice of a ticket's row stands."""
    state, channel = row["notice_state"], {"email": "Mail"}.get(row["notice_channel"], row["notice_channel"])
    if state is None:
        return Line(text="No message", tone="quiet")
    if state == "sent":
        return Line(text=f"{channel} sent {ago(row['notice_sent_at'] or row['notice_due_at'], now)}", tone="good")
    if state in ("due", "sending"):
        return Line(text=f"{channel} {waiting(row['notice_due_at'], row['time_zone'], now)}", tone="warn")
    if state == "failed":
        return Line(text=f"{channel} failed", tone="bad")
    return Line(text=f"{channel} not sent", tone="quiet")


def tone_of(happening: str) -> str:
    """The tone of a timeline entry's kind."""
    return _TONES.get(happening, "plain")


def quantity(value: float | None, unit: str) -> str:
    """A number with as many digits as help, and its unit."""
    if value is None or not isfinite(value):
        return "–"
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2
    number = f"{value:,.{digits}f}"
    if "." in number:
        number = number.rstrip("0").rstrip(".")
    return f"{number} {unit}".strip()


def payload_start(payload: bytes, most: int = 160) -> str:
    """The beginning of a payload as text, or in hexadecimal where it is none."""
    try:
        # A letter may be cut in two at the end of the piece.
        text = (
            payload[: most + 3].decode("utf-8")
            if len(payload) <= most + 3
            else payload[:most].decode("utf-8", "ignore")
        )
        printable = all(letter.isprintable() or letter in "\n\r\t" for letter in text)
    except UnicodeDecodeError:
        text, printable = "", False
    if not printable or (payload and not text):
        text, most = payload[: most // 3 + 1].hex(" "), most - most % 3 - 1
    return f"{text[:most]}…" if len(text) > most else text


def left_line(letter: Row) -> str | None:
    """Why a dead letter was left when it was last tried again; None: it never was."""
    because: str | None = letter["left_because"]
    if because == f"{letter['reason']}: {letter['detail']}":
        return "for the same reason it is left"
    if because is None:
        return None
    reason, _, detail = because.partition(": ")
    return f"{_words(reason)}: {detail}"


def replay_line(stored: int, kept: int) -> str:
    """What trying dead letters again came to."""
    if not stored and not kept:
        return "There was no dead letter to try again."
    left = f" {kept} cannot be used yet; each says why below." if kept else ""
    return f"{stored} {'dead letter is' if stored == 1 else 'dead letters are'} stored now.{left}"


_EVENTS = {"connect": "Connected", "disconnect": "Disconnected"}


def event_title(event: Row, names: Names) -> str:
    """An event in a few words."""
    kind, code, detail = event["kind"], event["code"], event["detail"]
    if kind in _EVENTS:
        return _EVENTS[kind]
    if kind == "attribute":
        before = f" (before: {detail['before']})" if "before" in detail else ""
        return f"{_words(code)} {detail.get('value', '')}{before}"
    if kind == "maintenance":
        return f"Maintenance: {names.component(str(detail.get('component', '')))}"
    return f"{_words(kind)} {code}".strip()


def event_text(event: Row) -> str:
    """What an event says beyond its title."""
    if event["kind"] in ("attribute", *_EVENTS):
        return ""
    shown = {key: value for key, value in event["detail"].items() if key != "component"}
    text = shown.pop("text", None)
    rest = [f"{key} {value}" for key, value in shown.items()]
    return " · ".join([str(text), *rest] if text else rest)[:300]


def skew_line(skew: float | None, tolerance: timedelta) -> str:
    """That a clock is wrong, where it is by more than is tolerated; else nothing."""
    if skew is None or abs(skew) <= tolerance.total_seconds():
        return ""
    return f"Its clock is {span(timedelta(seconds=abs(skew)))} {'behind' if skew > 0 else 'ahead'}"


def _number(value: object) -> float | None:
    fits = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    return float(value) if fits else None  # type: ignore[arg-type]  # `fits` says that it is a number


def _title(parts: Mapping[str, Any], name: str) -> str:
    part = parts.get(name)
    return str(part.title) if part else _words(name)


def _words(name: str) -> str:
    return _OWN_WORDS.get(name, name.replace("_", " ").capitalize())
