"""Calls decoders so that none can stop the gateway, and those with a memory once for each message."""

import contextlib
from collections.abc import Sequence

from core import log
from device_gateway.decoder import Decoded, Reason, Undecodable, shown
from device_gateway.formats import Route
from device_gateway.readings import Message

_log = log.get("gateway.decoders")


class Guard:
    """What became of decoding, where that is more than a call."""

    def __init__(self) -> None:
        self._decoded: dict[int, Decoded | Undecodable] = {}
        self._complained: set[str] = set()

    def decode_once(self, route: Route, message: Message) -> Decoded | Undecodable:
        """What a decoder with a memory made of a message, though its batch may be accepted several times."""
        found = self._decoded.get(message.received)
        if found is None:
            try:
                found = route.decoder.decode(message.payload, route.source, message.received)
            except BaseException as error:  # noqa: BLE001 — see `failed`
                found = self.failed(route, error)
            self._decoded[message.received] = found
        return found

    def kept(self, message: Message) -> Message:
        """A message as its dead letter keeps it: so that it can be read without those before it, where that is needed."""
        decoded = self._decoded.get(message.received)
        if isinstance(decoded, Decoded) and decoded.letter:
            # What fails here may be the very reason for the dead letter, which is then kept as it came.
            with contextlib.suppress(Exception):
                return message.with_payload(decoded.letter())
        return message

    def forget(self, messages: Sequence[Message]) -> None:
        """Messages that are stored will not be asked for again."""
        if self._decoded:
            for message in messages:
                self._decoded.pop(message.received, None)

    def failed(self, route: Route, error: BaseException) -> Undecodable:
        """The answer in the place of a decoder that raised `error`: it costs this message and no other.

        That is any error but a person's Ctrl-C: a panic in an extension written in Rust is no `Exception`.
        """
        if isinstance(error, KeyboardInterrupt):
            raise error
        if route.format not in self._complained:
            self._complained.add(route.format)
            _log.error(
                "a decoder failed; messages on which it does become dead letters",
                decoder=route.format,
                topic=route.source.topic,
                exc_info=error,
            )
        return Undecodable(Reason.DECODER_FAILED, f"the decoder {route.format!r} failed: {shown(error, 200)}")
