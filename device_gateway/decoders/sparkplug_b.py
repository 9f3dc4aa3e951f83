"""Sparkplug B 3.0: births name the metrics, data may then send only numbers for them (aliases), deaths end a session.

The topic's group, node and device, joined by `:`, are the device's name; metrics of the node itself belong to `group:node`.
Nodes need not be registered. What births teach is held in memory for each edge node. Messages carry sequence numbers: after
a gap a birth may have been missed, so that an alias might mean another metric. Then aliases are no longer believed and a
rebirth is asked for; metrics that are sent with their names are read all the same.

Historical metrics are readings at the time they carry. Null metrics, texts, data sets and templates are no readings and are
left out, not refused: births are full of them by design. Packed messages are unpacked. A text named like a firmware version is kept as such.

Source: https://sparkplug.eclipse.org/specification/version/3.0/documents/sparkplug-specification-3.0.0.pdf
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from device_gateway.decoder import (
    ATTRIBUTES,
    SERVER_TIME,
    Decoded,
    Presence,
    Reason,
    Request,
    Said,
    Sample,
    Source,
    Undecodable,
    shown,
)
from device_gateway.decoders.sparkplug_wire import PAYLOAD, SIGNED_BITS, Unreadable, parse
from device_gateway.lenient import finite

_BOOLEAN, _DATE_TIME = 11, 13
_NUMBERS = {"int_value", "long_value", "float_value", "double_value", "boolean_value"}
_CONTROLS = ("Node Control/", "Device Control/", "Node Info/", "Device Info/")
_FIRMWARE = re.compile(r"(?:^|[/_ ])(?:firmware|fw)(?:[_ ]?version)?$", re.IGNORECASE)
_ASK_AGAIN = 10_000_000
"""Microseconds before a node is asked for a rebirth once more."""
_MOST_NODES = 10_000


class _Meant(NamedTuple):
    """What an alias stands for."""

    device: str
    name: str
    datatype: int


@dataclass(slots=True, kw_only=True)
class _Node:
    """What is known of one edge node. `believed`: the devices whose aliases hold; `""` is the node itself."""

    aliases: dict[int, _Meant] = field(default_factory=dict)
    types: dict[tuple[str, str], int] = field(default_factory=dict)
    devices: dict[str, str] = field(default_factory=dict)
    believed: set[str] = field(default_factory=set)
    seq: int | None = None
    bd_seq: int | None = None
    born: bool = False
    asked: int | None = None


class SparkplugBDecoder:
    """The `sparkplug_b` format."""

    topics: ClassVar[tuple[str, ...]] = (
        "spBv1.0/{group}/{kind=NBIRTH|NDATA|NDEATH}/{node}",
        "spBv1.0/{group}/{kind=DBIRTH|DDATA|DDEATH}/{node}/{device}",
    )
    stateful: ClassVar[bool] = True

    def __init__(self) -> None:
        self._nodes: dict[str, _Node] = {}

    def decode(self, payload: bytes, source: Source, received: int) -> Decoded | Undecodable:
        """The metrics or the death in `payload`, and a rebirth request where one is due; see `Decoder`."""
        try:
            message = parse(payload)
        except Unreadable as error:
            return Undecodable(Reason.NOT_PROTOBUF, f"the payload is no Sparkplug B message: {shown(str(error))}")
        levels = source.topic.split("/")
        own = source.kind.startswith("N")
        at = len(levels) - (2 if own else 3)
        address = "/".join([*levels[:at], "NCMD", levels[at + 1]])
        node = self._nodes.get(address)
        if node is None:
            if len(self._nodes) >= _MOST_NODES:
                del self._nodes[next(iter(self._nodes))]
            node = self._nodes[address] = _Node()
        device = "" if own else levels[-1]
        if source.kind == "NDEATH":
            return _node_death(node, message)
        _follow(node, source.kind, message)
        if source.kind == "DDEATH":
            node.believed.discard(device)
            node.devices.pop(device, None)
            found = Decoded(statuses=(Presence(online=False, ts=SERVER_TIME),))
        else:
            if source.kind == "DBIRTH":
                node.devices[device] = source.device
                node.believed.add(device)
            found = _metrics(node, device, message, birth=source.kind.endswith("BIRTH"))
        if not (node.born and node.believed >= {"", *node.devices}):
            found.requests = _rebirth(node, address, received)
        return found


def _node_death(node: _Node, message: Any) -> Decoded:
    """The end of a session, unless it is that of a session before the one that runs."""
    ended = next((_integer(m) for m in message.metrics if m.name == b"bdSeq"), None)
    if node.born and None not in (ended, node.bd_seq) and ended != node.bd_seq:
        return Decoded()
    devices = list(node.devices.values())
    node.born, node.seq = False, None
    node.believed.clear()
    node.devices.clear()
    # The time in a last will is that of the connection's start, so the time of receipt counts.
    return Decoded(statuses=[Presence(online=False, ts=SERVER_TIME, device=device) for device in ("", *devices)])


def _follow(node: _Node, kind: str, message: Any) -> None:
    """Follows sequence numbers and sessions; stops believing aliases where a birth may have been missed."""
    seq = message.seq % 256 if message.HasField("seq") else None
    if kind == "NBIRTH":
        node.aliases.clear()
        node.types.clear()
        node.devices.clear()
        node.believed = {""}
        node.born, node.asked = True, None
        node.bd_seq = next((_integer(m) for m in message.metrics if m.name == b"bdSeq"), None)
    elif seq is not None and node.seq is not None and seq != (node.seq + 1) % 256:
        node.believed.clear()
    node.seq = seq


def _rebirth(node: _Node, address: str, received: int) -> tuple[Request, ...]:
    if node.asked is not None and received - node.asked < _ASK_AGAIN:
        return ()
    node.asked = received
    command = PAYLOAD(timestamp=received // 1000)
    command.metrics.add(name=b"Node Control/Rebirth", timestamp=received // 1000, datatype=_BOOLEAN, boolean_value=True)
    return (Request(address, command.SerializeToString()),)


def _metrics(node: _Node, device: str, message: Any, *, birth: bool) -> Decoded:
    by_time: dict[float, dict[str, float]] = {}
    refused: list[Undecodable] = []
    named: list[tuple[int, _Meant]] = []
    events: list[Said] = []
    for at, metric in enumerate(message.metrics):
        meant = _meant(node, device, metric, birth=birth)
        if isinstance(meant, Undecodable):
            refused.append(meant)
            continue
        if not (metric.name and metric.datatype):
            named.append((at, meant))
        if meant.name == "bdSeq" or meant.name.startswith(_CONTROLS):
            continue
        ts = float(metric.timestamp if metric.HasField("timestamp") else message.timestamp) or SERVER_TIME
        firmware = _firmware(metric, meant.name)
        if firmware:
            events.append(Said(ts, ATTRIBUTES, "", json.dumps({"firmware": firmware})))
        value = _value(metric, meant)
        if isinstance(value, Undecodable):
            refused.append(value)
        elif value is not None:
            values = by_time.setdefault(0.0 if ts != ts else ts, {})  # noqa: PLR0124 — NaN is no key that is found again
            if values.setdefault(meant.name, value) != value:
                refused.append(Undecodable(Reason.BAD_VALUE, f"{shown(meant.name)} has two values at one time"))
    return Decoded(
        samples=[Sample(ts or SERVER_TIME, values) for ts, values in by_time.items()],
        refused=refused,
        events=events,
        statuses=(Presence(online=True, ts=SERVER_TIME),) if birth else (),
        letter=_with_names(message, named) if named else None,
    )


def _meant(node: _Node, device: str, metric: Any, *, birth: bool) -> _Meant | Undecodable:
    """Which metric it is: by its name, else by its alias. A birth teaches both."""
    if not metric.name:
        if not metric.HasField("alias"):
            return Undecodable(Reason.WRONG_SHAPE, "a metric has neither a name nor an alias")
        known = node.aliases.get(metric.alias)
        if known is None or known.device != device or device not in node.believed:
            return Undecodable(Reason.NO_BIRTH, f"what alias {metric.alias} means, the birth before it would have told")
        return known
    try:
        name = metric.name.decode()
    except UnicodeDecodeError:
        return Undecodable(Reason.NOT_UTF8, f"the name {shown(metric.name)} is not UTF-8")
    datatype = metric.datatype or node.types.get((device, name), 0)
    meant = _Meant(device, name, datatype)
    if birth:
        node.types[device, name] = datatype
        if metric.HasField("alias"):
            node.aliases[metric.alias] = meant
    return meant


def _value(metric: Any, meant: _Meant) -> float | Undecodable | None:
    """The metric's number; None for what is no reading."""
    kind = metric.WhichOneof("value")
    if metric.is_null or kind not in _NUMBERS or meant.datatype == _DATE_TIME:
        return None
    if kind in ("float_value", "double_value", "boolean_value"):
        number = finite(float(getattr(metric, kind)))
    else:
        whole = _integer(metric, meant.datatype)
        if whole is None:
            detail = f"{shown(meant.name)} came without its data type, so its sign is not known; a birth tells it"
            return Undecodable(Reason.NO_BIRTH, detail)
        number = finite(whole)
    return (
        Undecodable(number.reason, f"{shown(meant.name)}: {number.detail}")
        if isinstance(number, Undecodable)
        else number
    )


def _integer(metric: Any, datatype: int = 0) -> int | None:
    """The whole number in a metric, its sign by the data type; None when that cannot be told."""
    kind = metric.WhichOneof("value")
    if kind not in ("int_value", "long_value"):
        return None
    number = int(getattr(metric, kind))
    datatype = datatype or metric.datatype
    if datatype in SIGNED_BITS:
        # Some clients sign-extend to 32 bits, some to the type's own width: its lowest bits are right either way.
        bits = SIGNED_BITS[datatype]
        number &= (1 << bits) - 1
        return number - (1 << bits) if number >> (bits - 1) else number
    top = 31 if kind == "int_value" else 63
    return None if not datatype and number >> top else number


def _firmware(metric: Any, name: str) -> str:
    if metric.is_null or not _FIRMWARE.search(name) or metric.WhichOneof("value") != "string_value":
        return ""
    text = str(metric.string_value.decode("utf-8", "replace"))[:128]
    return text if text.isprintable() else ""


def _with_names(message: Any, named: list[tuple[int, _Meant]]) -> Callable[[], bytes]:
    """Writes the message again with the names and types that births told, so that it can be read without them."""

    def write() -> bytes:
        for at, meant in named:
            message.metrics[at].name = meant.name.encode()
            message.metrics[at].datatype = meant.datatype or message.metrics[at].datatype
        return bytes(message.SerializeToString())

    return write
