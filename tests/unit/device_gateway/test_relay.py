import io

from hypothesis import given
from hypothesis import strategies as st

from device_gateway.readings import Message
from device_gateway.relay import Report, pack, read_messages, read_report

MESSAGE = st.builds(
    Message,
    st.text(st.characters(exclude_categories=["Cs"])),
    st.binary(),
    st.integers(0, 1 << 40),
    st.integers(0, 1 << 60),
    st.integers(0, 1 << 31),
    st.integers(0, 65_535),
    st.booleans(),
)


@given(st.lists(st.lists(MESSAGE, max_size=5), max_size=4))
def test_messages_arrive_as_they_were_sent(batches: list[list[Message]]) -> None:
    pipe = io.BytesIO(b"".join(map(pack, batches)))
    assert [read_messages(pipe) for _ in batches] == batches
    assert read_messages(pipe) is None


@given(st.integers(1, 60))
def test_a_frame_that_was_cut_off_is_none(cut: int) -> None:
    whole = pack([Message("forewarn/v1/d1/telemetry", b"payload of a device", 19, 1, 2, 3)])
    assert read_messages(io.BytesIO(whole[:-cut])) is None


def test_a_report_says_all_it_was_given() -> None:
    report = Report(done=3, messages=4, readings=5, duplicates=6, seconds=0.5, dead={"empty": 2}, away=True)
    assert read_report(io.BytesIO(pack(report))) == report
