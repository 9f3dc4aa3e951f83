"""What the pages say, in words."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api import cursor, times, views
from core.errors import InvalidInput
from core.profile import Profiles

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("back", "text"),
    [
        (timedelta(seconds=20), "just now"),
        (timedelta(minutes=3), "3 min ago"),
        (timedelta(hours=47), "47 h ago"),
        (timedelta(days=3), "3 days ago"),
        (timedelta(days=100), "3 months ago"),
        (-timedelta(hours=2), "in 2 h"),
    ],
)
def test_ago(back: timedelta, text: str) -> None:
    assert times.ago(NOW - back, NOW) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(71.0, "71 W"), (4.819, "4.82 W"), (1234.5, "1,234 W"), (0.0, "0 W"), (-18.52, "-18.5 W"), (None, "–")],
)
def test_quantity(value: float | None, text: str) -> None:
    assert views.quantity(value, "W") == text


def test_a_waiting_mail_names_the_customers_own_hour() -> None:
    at = datetime(2026, 11, 21, 7, tzinfo=UTC)
    assert times.waiting(at, "Europe/Berlin", NOW) == "waiting until 08:00 CET"
    assert times.waiting(at + timedelta(days=2), "Europe/Berlin", NOW) == "waiting until 23 Nov 08:00 CET"
    assert times.waiting(at, "Nowhere/At_all", NOW) == "waiting until 07:00 UTC"
    assert times.waiting(NOW, "UTC", NOW) == "leaves now"


def test_times_are_written_by_the_clock_of_who_reads() -> None:
    summer = datetime(2026, 7, 1, 23, 30, tzinfo=UTC)
    berlin = NOW.astimezone(times.zone("Europe/Berlin"))
    assert times.moment(summer, berlin) == "2 Jul 01:30"
    assert times.exact(summer, berlin) == "2 Jul 01:30 CEST"
    assert times.exact(NOW, berlin) == "20 Nov 13:00 CET"
    # The last hour of the year here is in the next one there.
    assert times.moment(datetime(2026, 12, 31, 23, 30, tzinfo=UTC), berlin) == "1 Jan 2027 00:30"
    assert times.clock_of(NOW.astimezone(times.zone("America/New_York"))) == "America/New York"


@pytest.mark.parametrize("name", [None, "", "Nowhere/At_all", "../../etc/passwd", "Europe", "x" * 10_000, "\0"])
def test_who_has_no_known_zone_reads_utc(name: str | None) -> None:
    now = NOW.astimezone(times.zone(name))
    assert times.exact(NOW, now) == "20 Nov 12:00 UTC"
    assert times.clock_of(now) == "UTC"


def finding(**evidence: Any) -> dict[str, Any]:
    return {"evidence": evidence, "closed_at": None, "severity": "major"}


def test_evidence_places_band_and_value_on_one_bar() -> None:
    names = views.Names("fridge", Profiles()["fridge"])
    (shown,) = views.evidence(
        finding(signals=[{"signal": "power", "unit": "W", "normal_low": 40.0, "normal_high": 55.2, "seen": 71.0}]),
        names,
    )
    assert (shown.title, shown.seen, shown.normal) == ("Electric power", "71 W", "40 to 55.2 W")
    assert 0 < shown.band_start < shown.band_start + shown.band_width < shown.mark < 100


def test_how_fast_a_counter_counts_is_no_band_of_what_it_stands_at() -> None:
    names = views.Names("fridge", Profiles()["fridge"])
    rows = [
        finding(signals=[{"signal": "power", "unit": unit, "normal_low": low, "normal_high": low + 5.0, "seen": 90.0}])
        for unit, low in (("W/h", 1.0), ("W", 40.0))
    ]
    assert views.normal_bands(rows, names) == {"power": (40.0, 45.0)}
    assert views.normal_bands(rows, views.Names("gone", None)) == {"power": (1.0, 6.0)}


def test_the_band_of_one_hour_is_none_of_the_day() -> None:
    names = views.Names("fridge", Profiles()["fridge"])
    signal = {"signal": "power", "unit": "W", "normal_low": 40.0, "normal_high": 45.0, "seen": 90.0, "hourly": True}
    (shown,) = views.evidence(finding(signals=[signal]), names)
    assert shown.normal == "40 to 45 W at that hour"
    assert views.normal_bands([finding(signals=[signal])], names) == {}


def test_where_a_counter_stood_is_one_value_and_still_to_be_seen() -> None:
    signal = {"signal": "power", "unit": "W", "normal_low": 7.0, "normal_high": 7.0, "seen": 24.0}
    (shown,) = views.evidence(finding(signals=[signal]), views.Names("fridge", Profiles()["fridge"]))
    assert (shown.seen, shown.normal) == ("24 W", "7 W")
    assert shown.band_width > 0
    assert shown.band_start < shown.mark


@pytest.mark.parametrize(
    "signal",
    [{"signal": "power"}, {"signal": "gone", "seen": "hot", "normal_low": None}, {"signal": "power", "seen": True}],
)
def test_evidence_with_parts_missing_is_still_shown(signal: dict[str, Any]) -> None:
    (shown,) = views.evidence(finding(signals=[signal]), views.Names("gone", None))
    assert shown.normal == "not known"
    assert shown.seen == "–"


def test_the_worst_finding_is_the_most_severe_open_one() -> None:
    closed = {**finding(), "severity": "critical", "closed_at": NOW}
    minor, major = {**finding(), "severity": "minor"}, finding()
    assert views.worst([closed, minor, major]) is major
    assert views.worst([closed]) is None


def test_a_cursor_comes_back_as_it_was() -> None:
    assert cursor.numbers(cursor.encode(1, 2, 3), 3) == (1, 2, 3)
    assert cursor.decode(cursor.encode("pümp"), str) == ("pümp",)
    with pytest.raises(InvalidInput):
        cursor.numbers(cursor.encode(True), 1)


def test_evidence_names_error_codes_and_the_age_of_components() -> None:
    names = views.Names("fridge", Profiles()["fridge"])
    code, age, young, mended = views.evidence(
        finding(
            signals=[
                {"signal": "ERR_5a", "unit": "count", "normal_low": 0.0, "normal_high": 0.1, "seen": 1.7},
                {"signal": "compressor", "unit": "h", "normal_low": 48.0, "normal_high": 2400.0, "seen": 4800.0},
                {"signal": "compressor", "unit": "h", "normal_low": 1.0, "normal_high": 20.0, "seen": 30.0},
                {"signal": "last maintenance", "unit": "h", "normal_low": 1.0, "normal_high": 300.0, "seen": 480.0},
            ]
        ),
        names,
    )
    assert (code.title, code.seen, code.normal) == ("Error code ERR_5a, lately", "1.7 times", "0 to 0.1 times")
    assert (age.title, age.seen, age.normal) == ("Compressor: time in place", "200 days", "2 to 100 days")
    assert young.seen == "30 h"
    assert (mended.title, mended.seen) == ("Time since the last maintenance", "20 days")


def test_a_signal_that_counts_or_is_measured_in_hours_keeps_its_unit() -> None:
    fridge = Profiles()["fridge"]
    power = fridge.signals["power"]
    profile = fridge.model_copy(
        update={"signals": {unit: power.model_copy(update={"unit": unit}) for unit in ("count", "h")}}
    )
    seen = views.evidence(
        finding(signals=[{"signal": unit, "unit": unit, "seen": 240.0} for unit in ("count", "h")]),
        views.Names("fridge", profile),
    )
    assert [(one.title, one.seen) for one in seen] == [("Electric power", "240"), ("Electric power", "240 h")]
