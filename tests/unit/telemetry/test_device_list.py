import pytest

from core.errors import InvalidInput
from telemetry.device_list import COLUMNS, Customer, Device, parse

PROFILES = {"fridge"}


def line(**given: str) -> str:
    row = {"device": "f1", "profile": "fridge"} | given
    return ",".join(row.get(c, "") for c in COLUMNS)


def read(*lines: str) -> list[Device]:
    return parse("\n".join([",".join(COLUMNS), *lines]), "devices.csv", PROFILES)


def test_a_device_is_read_with_its_customer() -> None:
    found = read(line(model="M1", customer="C1", customer_name="Anna", language="de", consent="yes"))
    customer = Customer(external_id="C1", name="Anna", language="de", consent=True)
    assert found == [Device(name="f1", profile="fridge", model="M1", customer=customer)]


def test_two_columns_are_enough_and_a_byte_order_mark_does_not_matter() -> None:
    assert parse("\ufeffprofile,device\r\nfridge,f1\r\n\r\n", "x", PROFILES) == [Device(name="f1", profile="fridge")]


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"device": "a/b"}, "device: 'a/b' is no device name"),
        ({"device": "a#"}, "device: 'a#' is no device name"),
        ({"device": ""}, "device: '' is no device name"),
        ({"device": "x" * 129}, "is no device name"),
        ({"profile": "toaster"}, "profile: there is no profile 'toaster'"),
        ({"customer": "C1", "language": "fr"}, "language: 'fr' is not one of en, de"),
        ({"customer": "C1", "time_zone": "Mars/Base"}, "time_zone: 'Mars/Base' is no IANA time zone"),
        ({"customer": "C1", "time_zone": "../UTC"}, "time_zone: '../UTC' is no IANA time zone"),
        ({"customer": "C1", "email": "anna"}, "email: 'anna' is no email address"),
        ({"customer": "C1", "email": "a@b"}, "email: 'a@b' is no email address"),
        ({"customer": "C1", "email": "a@b.de>"}, "email: 'a@b.de>' is no email address"),
        ({"customer": "C1", "phone": "call me"}, "phone: 'call me' is no phone number"),
        ({"customer": "C1", "consent": "maybe"}, "consent: 'maybe' is neither true nor false"),
        ({"email": "a@example.com"}, "email: is given, but the column customer is empty"),
        ({"model": "a\x07"}, "model: is longer than 500 characters or holds a control character"),
    ],
)
def test_a_fault_names_file_line_and_column(given: dict[str, str], fault: str) -> None:
    lines = [line(device="ok"), line(**given)]
    with pytest.raises(InvalidInput) as caught:
        read(*lines)
    assert str(caught.value).startswith("devices.csv:3: ")
    assert fault in str(caught.value)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        read(line(device="a/b", profile="x"), line(device="b"), line(device="b"))
    places = [text.rsplit(": ", 2)[0] for text in str(caught.value).split("\n")]
    assert [p.split(": ")[0] for p in places] == ["devices.csv:2", "devices.csv:2", "devices.csv:4"]


def test_a_customer_may_stand_in_many_lines_if_they_agree() -> None:
    same = {"customer": "C1", "email": "a@example.com"}
    assert len(read(line(device="a", **same), line(device="b", **same))) == 2
    with pytest.raises(InvalidInput, match=r"devices.csv:3: email: differs .* in line 2"):
        read(line(device="a", **same), line(device="b", customer="C1", email="b@example.com"))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "x:1: device: this column must be there"),
        ("device,profile\n", "x: holds no device"),
        ("device,profile,colour\n", "x:1: colour: no such column"),
        ("device,profile,device\n", "x:1: device: this column stands twice"),
        ("device,profile\nf1\n", "x:2: has 1 columns, the header has 2"),
        ('device,profile\n"f1,fridge\n', "is not CSV"),
    ],
)
def test_a_list_that_is_no_list_is_refused(text: str, fault: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(text, "x", PROFILES)
    assert fault in str(caught.value)
