import pytest

from device_gateway.topics import Kind, Topic, parse


@pytest.mark.parametrize("kind", list(Kind))
def test_a_topic_is_read_as_it_is_written(kind: Kind) -> None:
    topic = Topic(device="f-1.a:b_c", kind=kind)
    assert parse(str(topic)) == topic


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
def test_what_is_no_native_topic_is_none(topic: str) -> None:
    assert parse(topic) is None
