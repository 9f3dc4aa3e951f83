"""From where to where a device is judged: a tick is over when the device, or for events the server's clock, is beyond it."""

from datetime import timedelta

import pytest

from anomaly.due import Due, Rules, by_events, by_readings, parts
from anomaly.progress import Judged, Words
from core.profile import parse
from tests.failing import PROFILE

RULES = Rules(tick=10, lateness=3)


def judged(until: int | None = None, *, seen: int = 0, eventful: bool = True) -> Judged:
    return Judged(device=1, profile="box", until=until, seen=seen, eventful=eventful)


def due(start: int, end: int, *, last: int, seen: int = 0, late: int | None = None) -> Due:
    return Due(device=1, start=start, end=end, seen=seen, late=late, last=last)


@pytest.mark.parametrize(
    ("before", "first", "last", "expected"),
    [
        (judged(eventful=False), 14, 47, due(10, 40, last=47)),
        (judged(eventful=False), 14, 42, due(10, 30, last=42)),
        (judged(20, eventful=False), 4, 6, due(0, 0, last=6)),
        (judged(20, seen=5, eventful=False), 14, 47, due(20, 40, last=47, seen=5, late=14)),
        # One that was judged by its events is as new once it measures.
        (judged(20, seen=5), 14, 47, due(10, 40, last=47)),
    ],
)
def test_by_readings(before: Judged, first: int, last: int, expected: Due) -> None:
    assert by_readings(before, first, last, RULES) == expected


@pytest.mark.parametrize(
    ("before", "words", "now", "expected"),
    [
        # Maintenance alone is no word.
        (judged(), Words(first=14, own=None, last=14), 99, None),
        (judged(), Words(first=4, own=14, last=32), 99, due(10, 40, last=32)),
        # Its newest tick is not over at 42, as what is 3 late may still come.
        (judged(), Words(first=14, own=14, last=32), 42, due(10, 30, last=32)),
        (judged(10), Words(first=4, own=4, last=32), 43, due(0, 40, last=32)),
        # A clock that is ahead is believed up to what it said itself.
        (judged(), Words(first=14, own=14, last=94), 50, due(10, 90, last=94)),
        (judged(30, seen=5), Words(first=14, own=14, last=32), 99, due(30, 40, last=32, seen=5, late=14)),
        # Nothing new came; the tick that was open is over by now.
        (judged(30, seen=5), Words(first=None, own=None, last=32), 99, due(30, 40, last=32, seen=5)),
    ],
)
def test_by_events(before: Judged, words: Words, now: int, expected: Due | None) -> None:
    assert by_events(before, words, now, RULES) == expected


def test_what_is_much_is_judged_in_parts_of_what_begins_together() -> None:
    profile = parse(PROFILE, "box.yaml")
    tick = profile.tick // timedelta(microseconds=1)
    many = [due(hour * tick, 20_000 * tick, last=0) for hour in range(0, 400, 2)]
    found = list(parts(many[::-1], profile, back=timedelta(0)))
    assert [one for part in found for one in part] == many
    assert [len(part) for part in found] == [100, 100]
    assert [len(part) for part in parts(many, profile, back=20_000 * profile.tick)] == [50, 50, 50, 50]
    assert list(parts([], profile, back=timedelta(0))) == []
