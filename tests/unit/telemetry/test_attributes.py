"""Which firmware a device had when, in whatever order it says so."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

from device_gateway.readings import Attribute
from telemetry.attributes import History, Key, follow

START = datetime(2026, 5, 1, tzinfo=UTC)
KEY = Key(1, "firmware")


def day(number: int) -> datetime:
    return START + timedelta(days=number)


def said(number: int, value: str) -> Attribute:
    return Attribute(device=1, time=day(number), received_at=day(30), name="firmware", value=value)


def history(*parts: tuple[int, str]) -> History:
    return [(day(number), value) for number, value in parts]


def test_saying_the_same_again_changes_nothing() -> None:
    changed, changes = follow({KEY: history((1, "1.0"))}, [said(2, "1.0"), said(9, "1.0")])
    assert (changed, changes) == ({}, [])


def test_a_new_value_is_a_change_with_the_one_before() -> None:
    changed, changes = follow({KEY: history((1, "1.0"))}, [said(5, "1.1")])
    assert changed[KEY] == history((1, "1.0"), (5, "1.1"))
    assert [(c.said.value, c.before) for c in changes] == [("1.1", "1.0")]


def test_what_is_said_late_finds_its_place() -> None:
    changed, _ = follow({KEY: history((1, "1.0"), (9, "1.2"))}, [said(5, "1.1")])
    assert changed[KEY] == history((1, "1.0"), (5, "1.1"), (9, "1.2"))
    changed, _ = follow({KEY: history((9, "1.2"))}, [said(5, "1.2")])
    assert changed[KEY] == history((5, "1.2"))


def test_of_two_values_at_one_time_the_one_that_came_last_stays() -> None:
    changed, _ = follow({KEY: history((1, "1.0"), (5, "1.1"))}, [said(5, "1.0")])
    assert changed[KEY] == history((1, "1.0"))


def test_versions_that_follow_each_other_may_be_said_in_any_order() -> None:
    one_by_one = [said(1, "1.0"), said(2, "1.0"), said(3, "1.1"), said(4, "1.2"), said(5, "1.2")]
    whole = history((1, "1.0"), (3, "1.1"), (4, "1.2"))
    for order in permutations(one_by_one):
        known: dict[Key, History] = {}
        for one in order:
            known |= follow(known, [one])[0]
        assert known[KEY] == whole
