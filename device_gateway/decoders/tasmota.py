"""Tasmota: `tele/{device}/SENSOR` and `STATE` as nested JSON, `LWT` as Online or Offline, the firmware in `INFO1`.

`Time` counts where it has an offset (`SetOption52 1`); without one it is by a clock on some wall, and the time of receipt
counts. `STATE` is not read unless a pattern of one's own names it: it tells of the radio, not of the product.

Source: https://tasmota.github.io/docs/MQTT/
"""

from typing import ClassVar

from device_gateway.decoder import SERVER_TIME, Decoded, Presence, Reason, Source, Undecodable, shown
from device_gateway.decoders.nested import firmware_alone, flat, iso_time, parse_object

_NO_SIGNALS = frozenset({"Time", "TempUnit", "PressureUnit", "SpeedUnit"})


class TasmotaDecoder:
    """The `tasmota` format."""

    topics: ClassVar[tuple[str, ...]] = ("tele/{device}/{kind=SENSOR|LWT|INFO1}",)
    stateful: ClassVar[bool] = False

    def decode(self, payload: bytes, source: Source, received: int) -> Decoded | Undecodable:  # noqa: ARG002 — see Decoder
        """The sample, status or firmware in `payload`; see `Decoder`."""
        if source.kind == "LWT":
            word = payload.strip().lower()
            if word not in (b"online", b"offline"):
                return Undecodable(Reason.BAD_STATUS, f"{shown(payload[:60])} is neither Online nor Offline")
            return Decoded(statuses=(Presence(word == b"online", SERVER_TIME),))
        value = parse_object(payload)
        if isinstance(value, Undecodable):
            return value
        if source.kind == "INFO1":
            info = value.get("Info1", value)
            return firmware_alone(SERVER_TIME, info.get("Version") if isinstance(info, dict) else None)
        ts = iso_time(value.get("Time"), offset_needed=False)
        if isinstance(ts, Undecodable):
            return Undecodable(Reason.BAD_TIME, f"`Time`: {ts.detail}")
        return flat(value, ts, without=_NO_SIGNALS)
