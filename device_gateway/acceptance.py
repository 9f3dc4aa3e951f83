"""Turns messages into one columnar batch: who spoke, which series, what time, what quality, and what is refused.

This is the hot path: what is done for each message and each sample is a few list operations, and all that can be
done for many values at once is done by numpy. It is a pure function of the messages and the registry.
"""

from collections.abc import Sequence
from dataclasses import replace

from core import log
from core.errors import DatabaseRefused
from device_gateway.batching import Batching, dead_letter
from device_gateway.clock import Rules
from device_gateway.decoder import Reason, Undecodable, shown
from device_gateway.formats import Formats, Route
from device_gateway.guard import Guard
from device_gateway.mapping import in_units, renamed
from device_gateway.readings import Batch, DeadLetter, Message
from device_gateway.registry import Known, Registry

_log = log.get("gateway.acceptance")
_MOST_TOPICS = 100_000
_NOT_FOR_US = frozenset({"commands", "results"})
"""Commands go to devices, results to who sent the command."""


class Acceptance:
    """Accepts messages of registered devices. max_payload: bytes of the largest payload that is decoded."""

    def __init__(self, registry: Registry, formats: Formats, rules: Rules, *, max_payload: int) -> None:
        self._registry = registry
        self._formats = formats
        self._rules = rules
        self._max_payload = max_payload
        self._routes: dict[str, Route | None] = {}
        self._guard = Guard()

    def accept(self, messages: Sequence[Message]) -> Batch:
        """All that is in `messages`: readings, events, status and dead letters. May be asked again, until `forget`.

        A message at which this code itself fails becomes a dead letter: else the broker would send it again to a gateway
        that stops at it again, for ever.
        """
        try:
            return self._together(messages)
        except Exception as error:
            good, letters = self._apart(messages)
            if not letters:
                raise error from None
        batch = self._together(good)
        return replace(batch, dead_letters=(*batch.dead_letters, *letters))

    def _apart(self, messages: Sequence[Message]) -> tuple[list[Message], list[DeadLetter]]:
        """The messages that can be accepted, and dead letters of the others."""
        good, letters = [], []
        for message in messages:
            try:
                self._together([message])
            except Exception as error:  # noqa: BLE001 — logged, and told by the dead letter
                letters.append(self.letter(message, error))
            else:
                good.append(message)
        return good, letters

    def _together(self, messages: Sequence[Message]) -> Batch:
        work = Batching(self._registry, self._rules, messages)
        routes, known, limit = self._routes, self._registry.get, self._max_payload
        if len(routes) > _MOST_TOPICS:
            routes.clear()
        for at, message in enumerate(messages):
            name = message.topic
            route = routes.get(name)
            if route is None:
                route = routes[name] = self._formats.route(name)
            if route is None or not route.source.device:
                detail = (
                    f"{shown(name)} is no topic of the formats that are read here, like forewarn/v1/<device>/telemetry"
                )
                work.refuse(at, [Undecodable(Reason.UNKNOWN_TOPIC, detail)])
                continue
            source, decoder = route.source, route.decoder
            if source.kind in _NOT_FOR_US:
                continue
            if message.size > limit:
                detail = f"the payload has {message.size} bytes; at most {limit} are read"
                work.refuse(at, [Undecodable(Reason.TOO_LARGE, detail)])
                continue
            device = known(source.device)
            if device is not None and not decoder.stateful:
                try:
                    decoded = decoder.decode(message.payload, source, message.received)
                except BaseException as error:  # noqa: BLE001 — see `failed`
                    decoded = self._guard.failed(route, error)
            elif decoder.stateful:
                decoded = self._guard.decode_once(route, message)
                if device is None and not isinstance(decoded, Undecodable):
                    work.requests.extend(decoded.requests)
                    if not (decoded.samples or decoded.events or decoded.refused):
                        work.add_statuses(at, None, decoded.statuses)
                        continue
            if device is None:
                work.strangers.setdefault(source.device, set())
                detail = f"no device {shown(source.device)} is registered: see `forewarn device add`"
                work.refuse(at, [Undecodable(Reason.UNKNOWN_DEVICE, detail)])
                if decoder.stateful and not isinstance(decoded, Undecodable) and decoded.letter:
                    work.keep_letter(at, decoded.letter)
                continue
            if isinstance(decoded, Undecodable):
                work.refuse(at, [decoded])
                continue
            if decoded.samples:
                if device.offsets is None:
                    work.strangers.setdefault(source.device, set())
                    detail = f"the device's profile {shown(device.profile)} is not among the profiles of this gateway"
                    work.refuse(at, [Undecodable(Reason.UNKNOWN_PROFILE, detail)])
                else:
                    samples = decoded.samples
                    if decoded.units:
                        samples, wrong = in_units(samples, decoded.units, device)
                        work.refuse(at, wrong)
                    if device.columns:
                        samples, wrong = renamed(samples, device)
                        work.refuse(at, wrong)
                    work.add(at, source.device, device, samples)
            if decoded.refused:
                work.refuse(at, _minded(decoded.refused, device))
            if decoded.events:
                work.add_events(at, device, decoded.events)
            if decoded.statuses:
                work.add_statuses(at, device, decoded.statuses)
            if decoded.requests:
                work.requests.extend(decoded.requests)
            if decoded.letter:
                work.keep_letter(at, decoded.letter)
        return work.finish()

    def letter(self, message: Message, error: Exception) -> DeadLetter:
        """The dead letter of a message that `error` kept from being stored; if that is a failure of ours, it is logged."""
        kept = self._guard.kept(message)
        if isinstance(error, DatabaseRefused):
            return dead_letter(kept, Reason.REFUSED_BY_DATABASE, [str(error)])
        _log.error("the gateway failed at a message; it is a dead letter", topic=message.topic, exc_info=error)
        return dead_letter(kept, Reason.GATEWAY_FAILED, [f"the gateway failed at it: {shown(error, 200)}"])

    def forget(self, messages: Sequence[Message]) -> None:
        """Messages that are stored will not be asked for again."""
        self._guard.forget(messages)


def _minded(refused: Sequence[Undecodable], device: Known) -> list[Undecodable]:
    """What is minded of the refused parts: a profile that ignores unknown signals ignores unknown fields too."""
    return [r for r in refused if not (device.unknown == "ignore" and r.reason is Reason.UNKNOWN_FIELD)]
