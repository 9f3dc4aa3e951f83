"""The options of `forewarn replay`."""

import math

import pytest

from cli.replay import layout_of, speed_of
from core.errors import InvalidInput
from core.profile import Profiles
from simulator.recording import Layout

PUMP = Profiles()["water_pump"]


def layout(*columns: str) -> Layout:
    return layout_of(PUMP, columns, time_column="time", device_column="device", device="")


def test_signals_and_the_profiles_columns_are_known() -> None:
    assert layout().columns["flow"] == ("flow", 1.0)
    assert layout().columns["thermocouple"] == ("fluid_temp", 1.0)
    assert layout().columns["pressure"] == ("pressure", 1000.0)


def test_an_option_replaces_the_profiles_column_for_its_signal() -> None:
    chosen = layout("p=psi=pressure*68.9476")
    assert chosen.columns["p=psi"] == ("pressure", 68.9476)
    assert "pressure" not in chosen.columns
    assert chosen.required == ("p=psi",)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("pressure", "write CSVCOL=SIGNAL"),
        ("p=colour", "has no signal 'colour'; it has vibration_1"),
        ("p=pressure*much", "the factor 'much' is not a number"),
        ("p=pressure*0", "the factor '0' is not a number other than 0"),
        ("p=pressure*nan", "the factor 'nan' is not a number"),
    ],
)
def test_a_wrong_column_option_is_explained(text: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match="--column") as caught:
        layout(text)
    assert reason in str(caught.value)


def test_speeds() -> None:
    assert speed_of("max") == math.inf
    assert speed_of("100") == 100
    for text in ("0.5", "0", "-1", "fast", "nan"):
        with pytest.raises(InvalidInput, match="write max, or a number from 1 on"):
            speed_of(text)
