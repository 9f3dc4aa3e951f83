from datetime import UTC, datetime, timedelta

from device_gateway.readings import Status
from telemetry.connection import Before, follow

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def status(online: bool, second: int, device: int = 1) -> Status:
    time = T0 + timedelta(seconds=second)
    return Status(device=device, time=time, received_at=time, online=online)


def kinds(before: Before, *statuses: Status) -> list[str]:
    return [e.kind for e in follow({1: before}, statuses)[1]]


def test_the_first_status_is_news() -> None:
    never = Before(online=None, since=None)
    assert kinds(never, status(True, 0)) == ["connect"]
    assert kinds(never, status(False, 0)) == ["disconnect"]


def test_the_same_status_again_is_no_news() -> None:
    assert kinds(Before(online=True, since=T0), status(True, 1), status(True, 2)) == []


def test_each_change_is_told_in_order() -> None:
    changed, events = follow({1: Before(online=True, since=T0)}, [status(False, 1), status(True, 2), status(False, 3)])
    assert [e.kind for e in events] == ["disconnect", "connect", "disconnect"]
    assert changed == {1: Before(online=False, since=T0 + timedelta(seconds=3))}


def test_an_older_status_that_comes_late_changes_nothing() -> None:
    assert kinds(Before(online=True, since=T0 + timedelta(seconds=10)), status(False, 5)) == []


def test_a_device_that_is_gone_is_left_out() -> None:
    assert follow({}, [status(True, 0)]) == ({}, [])
