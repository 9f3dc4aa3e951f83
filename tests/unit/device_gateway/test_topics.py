"""Which topics a format reads, who speaks on them, and which filters are subscribed to."""

import pytest

from core.errors import InvalidSettings
from device_gateway.decoder import Source
from device_gateway.decoders import DECODERS
from device_gateway.decoders.native import NativeDecoder
from device_gateway.formats import choose
from device_gateway.topics import Pattern, needed

NATIVE = Pattern.parse(NativeDecoder.topics[0])


@pytest.mark.parametrize("kind", ["telemetry", "events", "status", "commands", "results"])
def test_a_native_topic_names_device_and_kind(kind: str) -> None:
    topic = f"forewarn/v1/f-1.a:b_c/{kind}"
    assert NATIVE.match(topic) == Source(topic=topic, device="f-1.a:b_c", kind=kind)


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "forewarn/v1/",
        "forewarn/v1/f1",
        "forewarn/v1//telemetry",
        "forewarn/v1/f1/",
        "forewarn/v1/f1/telemetry/",
        "forewarn/v1/f1/other",
        "forewarn/v1/a/b/telemetry",
        "forewarn/v2/f1/telemetry",
        "/forewarn/v1/f1/telemetry",
        "forewarn/v1/f1/TELEMETRY",
    ],
)
def test_what_is_no_native_topic_belongs_to_nobody(topic: str) -> None:
    assert NATIVE.match(topic) is None
    route = choose("native").route(topic)
    assert route is None or not route.source.device


@pytest.mark.parametrize(
    ("setting", "filters"),
    [
        ("native", ["forewarn/v1/#"]),
        ("native, senml_json", ["forewarn/v1/#", "senml/+/json"]),
        ("senml_json=plant/{line}/{device}/senml", ["plant/+/+/senml"]),
        ("tasmota", ["tele/+/INFO1", "tele/+/LWT", "tele/+/SENSOR"]),
        (
            "tasmota=home/{device}/tele/{kind}",
            ["home/+/tele/INFO1", "home/+/tele/LWT", "home/+/tele/SENSOR"],
        ),
        ("tasmota=tele/{device}/{kind=STATE},tasmota", ["tele/+/STATE", "tele/+/INFO1", "tele/+/LWT", "tele/+/SENSOR"]),
        ("zigbee2mqtt", ["zigbee2mqtt/+", "zigbee2mqtt/+/availability"]),
    ],
)
def test_what_is_read_decides_what_is_subscribed_to(setting: str, filters: list[str]) -> None:
    assert list(choose(setting).filters) == filters


def test_the_levels_that_name_a_device_are_joined() -> None:
    route = choose("senml_json=plant/{line}/{device}/senml").route("plant/l1/f1/senml")
    assert route
    assert route.source.device == "l1:f1"
    route = choose("sparkplug_b").route("spBv1.0/plant/DDATA/edge1/f1")
    assert route
    assert (route.source.device, route.source.kind) == ("plant:edge1:f1", "DDATA")


def test_a_filter_that_another_one_covers_is_not_needed() -> None:
    assert needed(["a/+", "a/b", "a/#", "b/+/c", "b/x/c", "b/x/d", "a", "a/+/+"]) == ("a/#", "b/+/c", "b/x/d")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("", "names no format"),
        ("natiev", "there is no format 'natiev'; there is native, senml_json"),
        ("senml_json=plant/data", "no level names the device"),
        ("senml_json=plant/+/{device}", "'\\+' is neither a text"),
        ("senml_json=plant/{device}{x}", "is neither a text"),
        ("senml_json={device}/{kind}", "write the kinds"),
        ("native=x/{device=a}", "is neither a text"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused_with_its_reason(setting: str, words: str) -> None:
    with pytest.raises(InvalidSettings, match=words):
        choose(setting)


@pytest.mark.parametrize("name", list(DECODERS))
def test_each_format_can_be_chosen_by_its_name_alone(name: str) -> None:
    assert choose(name).filters
