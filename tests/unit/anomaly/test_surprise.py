"""The detector of surprises on made-up series: bursts, daily rhythm, steps, and what it says of them."""

from itertools import pairwise

import numpy as np
import pytest

from anomaly.finding import Change, FindingChange
from anomaly.judge import Judge
from core.profile import Profile, parse
from telemetry.window import Floats, Window

TICK = 300_000_000
DAY = 288

SERIES = """
profile: series
title: Series
tick: 5min
silence_after: 1d
signals:
  load: {title: Load, unit: "%", range: [0, 1000], interval: 5min, component: server}
components: {server: {title: Server}}
detectors: {surprise: {}}
"""


@pytest.fixture(scope="module")
def profile() -> Profile:
    return parse(SERIES, "series.yaml")


def window(values: Floats, start: int = 0) -> Window:
    """[T, D] values of the one signal, five minutes a tick."""
    times = (np.arange(len(values)) + start) * TICK
    return Window(devices=np.arange(values.shape[1]) + 1, signals=("load",), times=times, values=values[:, :, None])


def opened(profile: Profile, values: Floats) -> list[FindingChange]:
    judge = Judge(profile)
    found = window(values if values.ndim == 2 else values[:, None])
    changes = judge.run(found, judge.fresh(len(found.devices)))
    return [c for c in changes if c.change is Change.OPENED]


def tick_of(change: FindingChange) -> int:
    """The tick that opened it; a tick is judged when it is over."""
    return round(change.at.timestamp() * 1e6) // TICK - 1


def days(count: int, seed: int = 1) -> Floats:
    """A load that follows the day, with noise, and a burst each night at two."""
    random = np.random.default_rng(seed)
    at = np.arange(count * DAY)
    values = 50 + 20 * np.sin(at / DAY * 2 * np.pi) + random.normal(0, 0.3, len(at))
    values[at % DAY // 3 == 8] += 60
    return values


def test_a_range_that_is_far_too_wide_makes_nobody_blind(profile: Profile) -> None:
    wide = parse(SERIES.replace("[0, 1000]", "[-1.0e9, 1.0e9]"), "series.yaml")
    values = days(20)
    values[15 * DAY + 144 : 15 * DAY + 156] += 90
    assert opened(profile, values)
    assert [tick_of(c) for c in opened(wide, values)] == [tick_of(c) for c in opened(profile, values)]


def test_a_burst_that_comes_every_night_surprises_nobody_but_one_at_noon_does(profile: Profile) -> None:
    values = days(20)
    late = [c for c in opened(profile, values) if tick_of(c) > 12 * DAY]
    noon = 15 * DAY + DAY // 2
    values[noon : noon + 3] += 60
    assert [tick_of(c) for c in late] == []
    assert noon <= tick_of(opened(profile, values)[-1]) < noon + 6


def test_a_night_without_its_fall_is_seen_by_the_hour_alone(profile: Profile) -> None:
    values = days(20)
    stuck = slice(15 * DAY + DAY // 2, 16 * DAY)
    values[stuck] = 50 + np.random.default_rng(2).normal(0, 1, DAY // 2)
    found = [tick_of(c) for c in opened(profile, values) if tick_of(c) > 12 * DAY]
    assert found
    assert stuck.start <= found[0] < stuck.stop


def test_a_new_level_is_told_once(profile: Profile) -> None:
    values = 10 + np.random.default_rng(3).normal(0, 0.5, 20 * DAY)
    values[10 * DAY :] += 8
    found = [c for c in opened(profile, values) if tick_of(c) >= 10 * DAY]
    assert [tick_of(c) for c in found] == [10 * DAY]
    (evidence,) = found[0].evidence
    assert evidence.normal_high is not None
    assert evidence.normal_high < evidence.seen
    assert evidence.direction == "high"


def test_a_signal_that_starts_to_flutter_is_seen(profile: Profile) -> None:
    random = np.random.default_rng(4)
    values = 10 + random.normal(0, 0.5, 20 * DAY)
    values[3 * DAY] += 6
    # None of these is as far out as what came before, but they do not end.
    values[10 * DAY : 10 * DAY + 48] += random.choice([-2.0, 2.0], 48)
    found = [tick_of(c) for c in opened(profile, values) if tick_of(c) > 9 * DAY]
    assert found
    assert 10 * DAY <= found[0] < 10 * DAY + 48


def test_how_often_it_speaks_does_not_hang_on_the_distribution(profile: Profile) -> None:
    random = np.random.default_rng(5)
    steady = random.normal(0, 1, (30 * DAY, 20))
    bursts = random.standard_t(3, (30 * DAY, 20)) * 40
    rates = []
    for values in (steady, bursts):
        late = [c for c in opened(profile, values + 500) if tick_of(c) > 10 * DAY]
        rates.append(len(late) / (20 * 20 / 30))
    # A month of such ticks has 8,640: about one alarm in five hundred at most.
    assert max(rates) < 20
    assert max(rates) < 3 * min(rates)


def test_nothing_is_said_in_the_warm_up_or_of_what_is_not_there(profile: Profile) -> None:
    values = 10 + np.random.default_rng(6).normal(0, 0.5, 160)
    values[100:] += 50
    assert opened(profile, values) == []
    gap = 10 + np.random.default_rng(6).normal(0, 0.5, 3 * DAY)
    gap[DAY : 2 * DAY] = np.nan
    assert all(np.isfinite(gap[tick_of(c)]) for c in opened(profile, gap))


def test_split_stored_and_restored_it_finds_the_same(profile: Profile) -> None:
    judge = Judge(profile)
    values = np.stack([days(8, seed) for seed in range(3)], axis=1)
    values[6 * DAY, 1] += 300
    whole = judge.run(window(values), judge.fresh(3))
    parts: list[FindingChange] = []
    state = judge.fresh(3)
    for start, end in pairwise((0, 7, 500, 6 * DAY + 1, 8 * DAY)):
        restored = judge.fresh(3)
        for device in range(3):
            for name, version, packed in judge.pack(state, device):
                assert judge.unpack(restored, device, name, version, packed)
        state = restored
        parts += judge.run(window(values[start:end], start=start), state)

    def told(changes: list[FindingChange]) -> list[tuple[str, int, int]]:
        return [(str(c.change), c.device, tick_of(c)) for c in changes if c.change is not Change.EXTENDED]

    assert told(parts) == told(whole)
    assert ("opened", 2, 6 * DAY) in told(whole)


def test_ticks_of_a_day_have_no_rhythm_of_the_day() -> None:
    daily = parse(SERIES.replace("tick: 5min", "tick: 1d"), "series.yaml")
    values = 10 + np.random.default_rng(7).normal(0, 0.5, 400)
    values[180] += 20
    judge = Judge(daily)
    times = np.arange(400) * DAY * TICK
    found = Window(devices=np.array([1]), signals=("load",), times=times, values=values[:, None, None])
    changes = [c for c in judge.run(found, judge.fresh(1)) if c.change is Change.OPENED]
    assert 180 in [round(c.at.timestamp() / 86400) - 1 for c in changes]
