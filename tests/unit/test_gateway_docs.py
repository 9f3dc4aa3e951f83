from pathlib import Path

from device_gateway.decoder import Reason
from telemetry.device_list import COLUMNS

DOCS = (Path(__file__).parents[2] / "docs" / "gateway.md").read_text(encoding="utf-8")


def test_each_reason_of_a_dead_letter_is_explained() -> None:
    assert [r for r in Reason if f"`{r}`" not in DOCS] == []


def test_the_columns_of_the_list_of_devices_are_documented() -> None:
    assert ",".join(COLUMNS) in DOCS
