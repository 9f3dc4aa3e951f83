"""Zigbee2MQTT: `zigbee2mqtt/{device}` as JSON, `zigbee2mqtt/{device}/availability` as online or offline.

`last_seen` counts as time of measurement where Zigbee2MQTT is set to send it (`advanced.last_seen`), as ISO 8601 or as
milliseconds since 1970. The installed version under `update` is the firmware. What the bridge says of itself, and what
others ask devices to do (`/set`, `/get`), is not subscribed to.

Source: https://www.zigbee2mqtt.io/guide/usage/mqtt_topics_and_messages.html
"""

from typing import ClassVar

from device_gateway.decoder import Decoded, Reason, Source, Undecodable
from device_gateway.decoders.nested import flat, iso_time, parse_object
from device_gateway.events import decode_status
from device_gateway.lenient import finite

_NO_SIGNALS = frozenset({"last_seen", "update", "update_available", "device"})


class Zigbee2MqttDecoder:
    """The `zigbee2mqtt` format."""

    topics: ClassVar[tuple[str, ...]] = ("zigbee2mqtt/{device}", "zigbee2mqtt/{device}/{kind=availability}")
    stateful: ClassVar[bool] = False

    def decode(self, payload: bytes, source: Source, received: int) -> Decoded | Undecodable:  # noqa: ARG002 — see Decoder
        """The sample or status in `payload`; see `Decoder`."""
        if source.kind == "availability":
            status = decode_status(payload)
            return status if isinstance(status, Undecodable) else Decoded(statuses=(status,))
        value = parse_object(payload)
        if isinstance(value, Undecodable):
            return value
        seen, update = value.get("last_seen"), value.get("update")
        ts = finite(seen) if isinstance(seen, int | float) else iso_time(seen, offset_needed=True)
        if isinstance(ts, Undecodable):
            return Undecodable(Reason.BAD_TIME, f"`last_seen`: {ts.detail}")
        firmware = update.get("installed_version") if isinstance(update, dict) else None
        return flat(value, ts, without=_NO_SIGNALS, firmware=firmware)
