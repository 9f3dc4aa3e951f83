"""What the pages of models say, as pure functions of values."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import isfinite

from anomaly.drift import Drift
from anomaly.registry import Entry
from api.times import span
from proactive.record import Comparison, Record

STAGES = {"live": "Live", "shadow": "Shadow", "retired": "Retired"}
STAGE_TONES = {"live": "good", "shadow": "warn", "retired": ""}
_FIGURES = {
    "recall": ("Failures foreseen", "share"),
    "precision": ("Alarms confirmed", "share"),
    "false_per_device_month": ("False alarms a device-month", "number"),
    "lead_median_hours": ("Warned before, median", "hours"),
    "component_right": ("Right component", "share"),
    "threshold_factor": ("Thresholds, times the profile's", "number"),
    "findings_by_thresholds": ("Findings a device-month", "number"),
    "findings_as_configured": ("With the profile's thresholds", "number"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A figure of a card, in words."""

    title: str
    value: str


def figures(entry: Entry) -> list[Figure]:
    """The figures of a model's card that a person looks at first; none where it was never judged. Where it only sets thresholds,
    they say what those cost.
    """
    told = entry.card.get("figures") or {}
    if not entry.components:
        found = entry.card.get("findings") or {}
        told = {f"findings_{name}": value for name, value in found.items()} | {
            "threshold_factor": entry.card.get("threshold_factor")
        }
    return [
        Figure(title=title, value=_FORMS[form](told[name]))
        for name, (title, form) in _FIGURES.items()
        if isinstance(told.get(name), int | float) and isfinite(told[name])
    ]


def ordered(entries: Sequence[Entry]) -> list[Entry]:
    """Live, then shadow, then the retired ones, each newest first."""
    return sorted(entries, key=lambda entry: list(STAGES).index(entry.stage))


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One side of a comparison."""

    title: str
    record: Record
    alone: int
    first: int


def sides(found: Comparison) -> list[Side]:
    """What is live, and the shadow."""
    return [
        Side(title="Live", record=found.live, alone=found.only_live, first=found.live_first),
        Side(title="Shadow", record=found.shadow, alone=found.only_shadow, first=found.shadow_first),
    ]


def ahead(found: Comparison) -> str:
    """Who was earlier, and by how much, where both found the same."""
    if found.ahead is None:
        return "Neither has found what the other found."
    both = f"Both found {'one fault' if found.both == 1 else f'the same {found.both} faults'}"
    if abs(found.ahead) < timedelta(minutes=1):
        return f"{both}, at the same time (median)."
    return f"{both}; the shadow was {span(abs(found.ahead))} {'earlier' if found.ahead > timedelta(0) else 'later'} (median)."


def drift_line(seen: Drift) -> str:
    """What a look at the inputs came to."""
    if not seen.enough:
        return f"Only {seen.devices} devices sent something in {seen.days:g} days: too few to say anything."
    number = len(seen.shifted)
    if not number:
        return f"What {seen.devices} devices sent in {seen.days:g} days looks as it did when the model was learnt."
    which = "1 signal no longer looks" if number == 1 else f"{number} signals no longer look"
    return f"{which} as when the model was learnt; its answers rest on other values. Train a new one."


def share(value: float | None) -> str:
    """A share in percent."""
    return "–" if value is None else f"{value:.0%}"


def number(value: float | None) -> str:
    """A number with two digits that count."""
    return "–" if value is None else f"{round(value, 3):.2g}" if abs(value) < 10 else f"{value:,.0f}"


def length(value: timedelta | None) -> str:
    """A length of time."""
    return "–" if value is None else span(value)


def _hours(value: float) -> str:
    return span(timedelta(hours=value))


_FORMS = {"share": share, "number": number, "hours": _hours}


def date(text: object) -> str:
    """The day of a time on a card."""
    try:
        return f"{datetime.fromisoformat(str(text)):%Y-%m-%d}"
    except ValueError:
        return str(text)


def listed(names: Iterable[str]) -> str:
    """Names with commas."""
    return ", ".join(names)
