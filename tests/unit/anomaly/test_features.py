"""What models know of a device: running means, error codes, replaced components, attributes, in a state of fixed size."""

import numpy as np
import pytest

from anomaly.detector import fresh, pack, unpack
from anomaly.learning.features import Features, Vocabulary
from core.profile import parse
from telemetry.window import Floats, Marks, Tick
from tests.failing import HOUR, PROFILE

BOX = parse(PROFILE, "box.yaml")
VOCABULARY = Vocabulary(codes=("E7", "E9"), attributes={"age": (), "model": ("a", "b")})


def tick(hour: int, values: list[list[float]], **more: object) -> Tick:
    row = np.array(values, dtype=float)
    return Tick(time=hour * HOUR, values=row, heard=np.asarray(np.isfinite(row).any(axis=1)), **more)  # type: ignore[arg-type]


def marks(names: tuple[str, ...], *rows: tuple[int, int]) -> Marks:
    return Marks(
        names=names,
        at=np.zeros(len(rows), dtype=np.int64),
        device=np.array([r[0] for r in rows], dtype=np.int64),
        what=np.array([r[1] for r in rows], dtype=np.int64),
    )


def named(features: Features, row: Floats) -> dict[str, float]:
    return dict(zip(features.names, row.tolist(), strict=True))


def test_means_follow_and_a_replaced_component_starts_anew() -> None:
    features = Features(BOX, VOCABULARY)
    state = fresh(features.layout, 2)
    for hour in range(300):
        step = 10.0 if hour >= 290 else 0.0
        features.follow(tick(hour, [[50 + step, 5], [50, 5]]), state)
    first, second = (named(features, row) for row in features.read(state))
    assert first["heat.now"] == 60
    assert 58 < first["heat.mean_0.0625"] < 60
    assert 50 < first["heat.mean_0.5"] < 55
    assert first["heat.trend"] > 3
    assert first["heat.from_new"] > 3
    assert second["heat.trend"] == pytest.approx(0, abs=1e-3)
    assert first["heater.in_place"] == 299
    features.follow(tick(300, [[50, 5], [50, 5]], replaced=marks(("heater", "lid"), (0, 0), (1, 1))), state)
    first, second = (named(features, row) for row in features.read(state))
    assert first["heater.in_place"] == 0
    assert first["fan.in_place"] == 300
    assert second["heater.in_place"] == 300
    assert first["heat.mean_0.5"] == 50
    assert first["hum.mean_0.5"] == 5
    assert np.isnan(first["heat.from_new"])


def test_codes_are_counted_and_aged_also_where_nothing_was_measured() -> None:
    features = Features(BOX, VOCABULARY)
    state = fresh(features.layout, 2)
    silent = [[np.nan, np.nan], [np.nan, np.nan]]
    features.follow(tick(10, silent, events=marks(("E9", "other", "E7"), (0, 0), (0, 1), (0, 2), (0, 2))), state)
    features.follow(tick(34, [[50, 5], [50, 5]]), state)
    first, second = (named(features, row) for row in features.read(state))
    assert (first["E7.ago"], first["E9.ago"]) == (24, 24)
    assert first["E7.count_0.5"] == pytest.approx(2 * np.exp(-1))
    assert first["E9.count_0.5"] == pytest.approx(np.exp(-1))
    assert np.isnan(second["E7.ago"])
    assert second["E7.count_0.5"] == 0


def test_the_last_maintenance_of_any_component_is_known_now_and_as_a_code_came() -> None:
    features = Features(BOX, VOCABULARY)
    state = fresh(features.layout, 2)
    same = [[50.0, 5.0], [50.0, 5.0]]
    features.follow(tick(0, same), state)
    features.follow(tick(100, same, replaced=marks(("lid", "heater"), (0, 1)), events=marks(("E9",), (1, 0))), state)
    features.follow(tick(130, same, events=marks(("E7",), (0, 0))), state)
    features.follow(tick(140, same, replaced=marks(("fan",), (0, 0))), state)
    features.follow(tick(150, same), state)
    first, second = (named(features, row) for row in features.read(state))
    assert (first["last maintenance.ago"], second["last maintenance.ago"]) == (10, 150)
    assert (first["heater.in_place"], first["fan.in_place"]) == (50, 10)
    # What was replaced after a code came changes nothing of when it came.
    assert (first["E7.ago"], first["E7.after"]) == (20, 30)
    assert (second["E9.ago"], second["E9.after"]) == (50, 100)
    assert np.isnan(first["E9.after"])


def test_attributes_are_numbers_or_places_among_the_texts_that_were_learnt() -> None:
    features = Features(BOX, VOCABULARY)
    state = fresh(features.layout, 3)
    told = {"age": ("7", "old", ""), "model": ("b", "c", "a")}
    features.follow(tick(1, [[50, 5]] * 3, attributes=told), state)
    rows = [named(features, row) for row in features.read(state)]
    assert rows[0]["age"] == 7
    assert np.isnan([rows[1]["age"], rows[2]["age"], rows[1]["model"]]).all()
    assert (rows[0]["model"], rows[2]["model"]) == (1, 0)


def test_a_vocabulary_leaves_out_what_is_the_same_for_all_and_what_tells_devices_apart() -> None:
    attributes = {
        "age": ["1", "2.5", "", "3", "4", "5", "6"],
        "model": ["a", "b", "b", "a", "a", "b", "of one's own"],
        "maker": ["x", "x", "", "x", "x", "x", "x"],
        "serial": ["s1", "s2", "s3", "s4", "s5", "s6", "s7"],
    }
    assert Vocabulary.of(["E9", "E7", "E9"], attributes) == VOCABULARY


def test_the_place_of_a_text_is_no_number() -> None:
    features = Features(BOX, VOCABULARY)
    assert [name for name, text in zip(features.names, features.categories, strict=True) if text] == ["model"]


def test_a_signal_that_is_gone_for_long_has_no_present_value() -> None:
    features = Features(BOX, VOCABULARY)
    state = fresh(features.layout, 1)
    for hour in range(40):
        features.follow(tick(hour, [[50, 5 if hour < 20 else np.nan]]), state)
    row = named(features, features.read(state)[0])
    assert np.isnan(row["hum.now"])
    assert row["heat.now"] == 50


def test_a_restored_state_goes_on_the_same() -> None:
    features = Features(BOX, VOCABULARY)
    random = np.random.default_rng(2)
    values = random.normal([50, 5], 1, (80, 3, 2))
    values[random.random((80, 3, 2)) < 0.2] = np.nan
    state, other = fresh(features.layout, 3), fresh(features.layout, 3)
    for hour in range(80):
        if hour == 40:
            for at in range(3):
                assert unpack(features.layout, pack(features.layout, state, at), other, at)
        step = tick(hour, values[hour].tolist(), events=marks(("E7",), (hour % 3, 0)))
        features.follow(step, state)
        if hour >= 40:
            features.follow(step, other)
            np.testing.assert_array_equal(features.read(state), features.read(other))
