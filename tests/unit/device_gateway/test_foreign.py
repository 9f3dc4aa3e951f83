"""Decoders of other packages: whatever they raise or return costs their own messages only."""

import math
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from core.errors import InvalidSettings
from core.profile import Profiles
from device_gateway.acceptance import Acceptance
from device_gateway.clock import Rules
from device_gateway.decoder import SERVER_TIME, Decoded, Presence, Reason, Said, Sample, Source, Undecodable
from device_gateway.formats import available, choose
from device_gateway.readings import Batch, Message
from device_gateway.registry import Found, Registry

NOW = 1_800_000_000_000_000
FRIDGE = Profiles()["fridge"]
NUMBERS = {signal: at for at, signal in enumerate(FRIDGE.signals)}


class Panic(BaseException):
    """As an extension written in Rust raises it."""


def raising(error: BaseException) -> Callable[[], object]:
    def fail() -> object:
        raise error

    return fail


def returning(value: object) -> Callable[[], object]:
    return lambda: value


def sampled(ts: Any, values: Any) -> Callable[[], object]:
    return returning(Decoded(samples=[Sample(ts, values)]))


WRONG: dict[bytes, tuple[Callable[[], object], str]] = {
    b"key": (raising(KeyError("temp")), "KeyError"),
    b"nothing said": (raising(RuntimeError()), "RuntimeError()"),
    b"exit": (raising(SystemExit(3)), "SystemExit"),
    b"panic": (raising(Panic("index out of bounds")), "Panic('index out of bounds')"),
    b"none": (returning(None), "neither Decoded nor Undecodable"),
    b"text": (sampled(SERVER_TIME, {"power": "80"}), "Expected `float`, got `str`"),
    b"nan": (sampled(SERVER_TIME, {"power": math.nan}), "finite"),
    b"no values": (sampled(SERVER_TIME, {}), "some, and finite ones, are needed"),
    b"an object": (sampled(SERVER_TIME, {"power": object()}), "a object"),
    b"huge": (sampled(SERVER_TIME, {"power": 10**400}), "failed: "),
    b"time": (sampled(math.inf, {"power": 80.0}), "infinite"),
    b"time of text": (sampled("now", {"power": 80.0}), "Expected `float`, got `str`"),
    b"event": (returning(Decoded(events=[Said(SERVER_TIME, "error", "E1", "[]")])), "no JSON object"),
    b"event's json": (returning(Decoded(events=[Said(SERVER_TIME, "error", "E1", "{")])), "JSONDecodeError"),
    b"status": (returning(Decoded(statuses=[Presence("yes", SERVER_TIME)])), "Expected `bool`"),  # type: ignore[arg-type]
    b"reason": (returning(Undecodable("because", "x")), "Invalid enum value"),  # type: ignore[arg-type]
    b"letter": (returning(Decoded(letter=raising(OSError("gone")))), "OSError"),  # type: ignore[arg-type]
}


class Clumsy:
    """Reads a number as power, and fails on all that it was not written for."""

    topics = ("clumsy/{device}",)
    stateful = False

    def decode(self, payload: bytes, _source: Source, _received: int) -> Decoded | Undecodable:
        if payload in WRONG:
            return WRONG[payload][0]()  # type: ignore[return-value]
        if payload == b"refused":
            return Undecodable(Reason.BAD_VALUE, "as agreed")
        return Decoded(samples=[Sample(SERVER_TIME, {"power": np.float64(payload)})])


class Remembering(Clumsy):
    stateful = True


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Installs a package that offers `module:name` as the decoder `theirs`, as pip would have left it behind."""

    def install(value: str, code: str = "") -> None:
        info = tmp_path / "theirs-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[forewarn.decoders]\ntheirs = {value}\n")
        (tmp_path / "their_code.py").write_text(code)
        monkeypatch.syspath_prepend(str(tmp_path))

    yield install
    sys.modules.pop("their_code", None)


def acceptance(decoder: str) -> Acceptance:
    def look_up(names: object) -> list[Found]:
        return [Found(name="f1", id=7, profile="fridge", series=NUMBERS)]

    registry = Registry({"fridge": FRIDGE}, look_up, lambda: 0.0)
    registry.refresh({"f1": ()})
    return Acceptance(
        registry, choose(f"native, {decoder}", available()), Rules(tolerance=1, earliest=0), max_payload=99
    )


def accept(accepting: Acceptance, *payloads: bytes) -> Batch:
    return accepting.accept(
        [Message("clumsy/f1", payload, len(payload), NOW + at) for at, payload in enumerate(payloads)]
    )


@pytest.mark.parametrize("name", ["Clumsy", "Remembering"])
@pytest.mark.parametrize("payload", list(WRONG))
def test_a_decoder_that_fails_costs_its_own_message_only(
    installed: Callable[[str], None], name: str, payload: bytes
) -> None:
    installed(f"{__name__}:{name}")
    accepting = acceptance("theirs")
    batch = accept(accepting, b"80", payload, b"81", b"refused")
    assert batch.readings.value.tolist() == [80, 81]
    letter, agreed = batch.dead_letters
    assert (letter.reason, letter.topic, letter.payload) == (Reason.DECODER_FAILED, "clumsy/f1", payload)
    assert letter.detail.startswith("the decoder 'theirs' failed: ")
    assert WRONG[payload][1] in letter.detail
    assert letter.detail.isprintable()
    assert (agreed.reason, agreed.detail) == (Reason.BAD_VALUE, "as agreed")


def test_a_decoder_that_fails_is_named_in_the_log_once(installed: Callable[[str], None]) -> None:
    installed(f"{__name__}:Clumsy")
    accepting = acceptance("theirs")
    with capture_logs() as said:
        for _ in range(3):
            accept(accepting, b"key", b"none", b"80")
    assert [(line["decoder"], line["log_level"], str(line["exc_info"])) for line in said] == [
        ("theirs", "error", "'temp'")
    ]


def test_only_ctrl_c_ends_the_gateway(installed: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    installed(f"{__name__}:Clumsy")
    monkeypatch.setitem(WRONG, b"interrupted", (raising(KeyboardInterrupt()), ""))
    with pytest.raises(KeyboardInterrupt):
        accept(acceptance("theirs"), b"interrupted")


CSV = "class D:\n    topics = ('csv/{device}',)\n    stateful = False\n    def decode(self, *_): ...\n"


@pytest.mark.parametrize(
    ("value", "code", "words"),
    [
        ("no_such_module:D", "", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("their_code:Other", CSV, "AttributeError"),
        ("their_code:D", "raise OSError('no licence')", "OSError: no licence"),
        ("their_code:D", CSV.replace("topics", "topic"), "has no `topics`"),
        ("their_code:D", CSV.replace("('csv/{device}',)", "'csv/{device}'"), "has no `topics`"),
        ("their_code:D", CSV.replace("stateful", "state"), "`stateful`"),
        ("their_code:D", CSV.replace("decode", "read"), "has no method `decode`"),
    ],
)
def test_a_decoder_that_cannot_be_loaded_is_named_at_the_start(
    installed: Callable[[str, str], None], value: str, code: str, words: str
) -> None:
    installed(value, code)
    assert [e.name for e in entry_points(group="forewarn.decoders")] == ["theirs"]
    with pytest.raises(InvalidSettings) as caught:
        available()
    assert f"the decoder 'theirs' of the package theirs 1.2 ({value})" in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (CSV + "    def __init__(self): raise OSError('no licence')\n", "'theirs' cannot be made: OSError: no licence"),
        (CSV.replace("{device}", "data"), "no level names the device"),
    ],
)
def test_a_decoder_that_cannot_be_made_is_named_at_the_start(
    installed: Callable[[str, str], None], code: str, words: str
) -> None:
    installed("their_code:D", code)
    with pytest.raises(InvalidSettings, match=words):
        choose("theirs", available())
