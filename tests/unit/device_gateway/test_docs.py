import re
from pathlib import Path

from device_gateway.decoder import Decoded, Decoder, Reason
from device_gateway.decoders import DECODERS
from device_gateway.formats import choose
from telemetry.device_list import COLUMNS

DOCS = (Path(__file__).parents[3] / "docs" / "gateway.md").read_text(encoding="utf-8")


def test_each_reason_of_a_dead_letter_is_explained() -> None:
    assert [r for r in Reason if f"`{r}`" not in DOCS] == []


def test_the_columns_of_the_list_of_devices_are_documented() -> None:
    assert ",".join(COLUMNS) in DOCS


def test_the_decoder_in_the_guide_works() -> None:
    code = re.search(r"```python\n(.*?)```", DOCS, re.DOTALL)
    assert code
    written: dict[str, type[Decoder]] = {}
    exec(code[1], written)  # noqa: S102 — our own documentation
    formats = choose("native, csv_line", DECODERS | {"csv_line": written["CsvLineDecoder"]})
    assert formats.filters == ("forewarn/v1/#", "csv/+")
    route = formats.route("csv/f1")
    assert route
    assert route.source.device == "f1"
    found = route.decoder.decode(b"cabinet_temp=4.1,power=x", route.source, 0)
    assert isinstance(found, Decoded)
    assert [s.values for s in found.samples] == [{"cabinet_temp": 4.1}]
    assert [r.reason for r in found.refused] == [Reason.BAD_VALUE]


def test_each_format_is_explained() -> None:
    assert [name for name in DECODERS if f"`{name}`" not in DOCS] == []
