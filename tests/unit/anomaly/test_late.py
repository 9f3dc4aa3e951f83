"""What a second look changes in findings."""

from datetime import UTC, datetime, timedelta

import pytest

from anomaly.finding import Change, FindingChange
from anomaly.late import Revision, Seen, Told, checkpoints, reach, revise, seen
from core.detection import Fleet
from core.profile import Profile, parse
from tests.failing import PROFILE

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(hour: int) -> datetime:
    return START + timedelta(hours=hour)


def change(what: Change, hour: int) -> FindingChange:
    return FindingChange(
        change=what,
        device=1,
        kind="limit",
        component="heater",
        failure_mode="burn",
        severity="major",
        detector="limits",
        version="1",
        began_at=at(hour - 1),
        at=at(hour),
        score=1.0,
    )


def look(opened: int | None, closed: int | None) -> Seen:
    return Seen(
        opened=None if opened is None else change(Change.OPENED, opened),
        closed=None if closed is None else change(Change.CLOSED, closed),
    )


def stored(number: int, opened: int, closed: int | None) -> Told:
    return Told(id=number, opened_at=at(opened), closed_at=None if closed is None else at(closed))


def test_changes_become_findings_from_first_to_last() -> None:
    key = (1, "heater", "burn")
    changes = [
        change(Change.CLOSED, 3),
        change(Change.OPENED, 5),
        change(Change.EXTENDED, 6),
        change(Change.CLOSED, 7),
        change(Change.OPENED, 9),
    ]
    assert seen(changes, [key]) == {key: [look(None, 3), look(5, 7), look(9, None)]}
    assert seen([], [key]) == {key: [look(None, None)]}


@pytest.mark.parametrize(
    ("told", "found", "wanted"),
    [
        ([], [(5, 7)], [(None, 0)]),
        ([(1, 5, 7)], [], [(1, None)]),
        ([(1, 5, None)], [(4, None)], [(1, 0)]),
        ([(1, 5, None)], [(4, 8)], [(1, 0)]),
        ([(1, 2, None)], [(None, 6)], [(1, 0)]),
        ([(1, 5, 7), (2, 9, None)], [(5, None)], [(2, None), (1, 0)]),
        ([(1, 5, None)], [(5, 7), (9, None)], [(1, 0), (None, 1)]),
        ([(1, 5, 7)], [(7, 9)], [(1, None), (None, 0)]),
    ],
    ids=["new", "unmade", "earlier", "over", "carried", "grown together", "split", "elsewhere"],
)
def test_what_overlaps_is_the_same_finding(
    told: list[tuple[int, int, int | None]],
    found: list[tuple[int | None, int | None]],
    wanted: list[tuple[int | None, int | None]],
) -> None:
    old, new = [stored(*row) for row in told], [look(*row) for row in found]
    by_id = {one.id: one for one in old}
    assert revise(old, new) == [
        Revision(told=None if a is None else by_id[a], seen=None if b is None else new[b]) for a, b in wanted
    ]


@pytest.mark.parametrize("step", [1, 3, 24, 100])
def test_a_checkpoint_old_enough_is_always_there(step: int) -> None:
    far, kept = 24, {-24}
    for start in range(0, 500, step):
        end = start + step
        kept |= set(checkpoints(start, end, far))
        age = end - max(t for t in kept if t <= end - far)
        # Before the first one there is nothing to be judged again, however old it is.
        assert far <= age
        assert age <= 2 * far or end < 2 * far


def profile(**changed: object) -> Profile:
    return parse(PROFILE, "box.yaml").model_copy(update=changed)


def test_how_far_back_it_reaches() -> None:
    hour = 3_600_000_000
    assert reach(profile()) == 24 * hour
    assert reach(profile(late_within=timedelta(hours=5))) == 5 * hour
    assert reach(profile(late_within=timedelta(0))) == 0
    fleet = profile().detectors.model_copy(update={"fleet": Fleet()})
    assert reach(profile(detectors=fleet)) == 0
