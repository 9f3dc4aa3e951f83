import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from telemetry import window

MINUTE = 60_000_000


def build(rows: list[tuple[int, int, int, float]]) -> window.Window:
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    return window.build(
        devices=np.array([7, 9]),
        signals=("a", "b"),
        tick=MINUTE,
        device_at=np.array(columns[0], dtype=np.int64),
        signal_at=np.array(columns[1], dtype=np.int64),
        times=np.array(columns[2], dtype=np.int64),
        values=np.array(columns[3], dtype=float),
    )


def test_means_by_tick_device_and_signal_with_gaps_as_nan() -> None:
    found = build([(0, 0, 5 * MINUTE, 1.0), (0, 0, 5 * MINUTE + 1, 3.0), (1, 1, 9 * MINUTE, 4.0)])
    assert found.times.tolist() == [5 * MINUTE, 9 * MINUTE]
    np.testing.assert_array_equal(found.values[0], [[2.0, np.nan], [np.nan, np.nan]])
    np.testing.assert_array_equal(found.values[1], [[np.nan, np.nan], [np.nan, 4.0]])
    assert [tick.heard.tolist() for tick in found.ticks()] == [[True, False], [False, True]]


def test_nothing_gives_an_empty_window() -> None:
    assert build([]).values.shape == (0, 2, 2)


@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(-(10**9), 10**9), st.floats(-1e3, 1e3)), max_size=30
    ),
    st.randoms(),
)
def test_the_order_of_readings_does_not_matter(rows: list[tuple[int, int, int, float]], random: object) -> None:
    shuffled = rows[:]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = build(rows), build(shuffled)
    np.testing.assert_array_equal(one.times, other.times)
    np.testing.assert_allclose(one.values, other.values, atol=1e-9)


def test_a_mode_is_the_one_that_most_of_a_ticks_readings_have_and_of_several_the_last() -> None:
    rows = [(0, 0, 1.0), (0, 1, 3.0), (0, 2, 3.0), (1, 0, 2.0), (1, 1, 5.0), (0, MINUTE, 4.0), (1, MINUTE, 9.0)]
    device, times, values = (np.array(column) for column in zip(*rows, strict=True))
    for order in (np.arange(7), np.arange(7)[::-1]):
        found = window.build(
            devices=np.array([7, 9]),
            signals=("a", "mode"),
            tick=MINUTE,
            device_at=device[order],
            signal_at=np.ones(7, dtype=np.int64),
            times=times[order],
            values=values[order],
            beyond=values[order] > 8,
            modes=np.array([False, True]),
        )
        np.testing.assert_array_equal(found.values[:, :, 1], [[3.0, 5.0], [4.0, np.nan]])
        assert np.isnan(found.values[:, :, 0]).all()


def test_ticks_within_spans_are_listed_once() -> None:
    starts, ends = np.array([50, 0, 20, 100, 70]), np.array([70, 30, 40, 90, 80])
    assert window.ticks_within(starts, ends, 10).tolist() == [0, 10, 20, 30, 50, 60, 70]
    assert window.ticks_within(starts[:0], ends[:0], 10).tolist() == []
    assert window.ticks_within(starts[3:4], ends[3:4], 10).tolist() == []


def test_what_is_beyond_a_sensors_range_stands_beside_the_means() -> None:
    found = window.build(
        devices=np.array([7, 9]),
        signals=("a",),
        tick=MINUTE,
        device_at=np.array([0, 0, 0, 1]),
        signal_at=np.zeros(4, dtype=np.int64),
        times=np.array([0, 1, MINUTE, MINUTE]),
        values=np.array([1.0, 9.0, 9.0, 2.0]),
        beyond=np.array([False, True, True, False]),
    )
    np.testing.assert_array_equal(found.values[:, :, 0], [[1.0, np.nan], [np.nan, 2.0]])
    assert found.beyond
    np.testing.assert_array_equal(found.beyond.values[:, :, 0], [[9.0, np.nan], [9.0, np.nan]])
    np.testing.assert_array_equal(found.beyond.share[:, :, 0], [[0.5, 0.0], [1.0, 0.0]])
    # A device whose sensor is wrong is heard all the same.
    assert found.heard.tolist() == [[True, False], [True, True]]
    _, later = found.cut(MINUTE)
    (tick,) = later.part(np.array([0])).ticks()
    assert tick.heard.tolist() == [True]
    assert tick.beyond
    assert tick.beyond.share.tolist() == [[1.0]]
