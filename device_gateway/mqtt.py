"""The gateway's side of MQTT, and, with `wire`, the only file here that knows paho.

One thread does all that touches the connection: it reads messages into the inbox and writes acknowledgements, many at
once. paho connects, subscribes and keeps the connection alive; see `device_gateway.packets` for why it does not read
the messages.
"""

import contextlib
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from core import log
from core.errors import BrokerRefused
from device_gateway.decoder import Request
from device_gateway.inbox import Inbox
from device_gateway.metrics import Metrics
from device_gateway.packets import Publish, complete, take_publishes
from device_gateway.readings import KEPT_BYTES, Message
from device_gateway.wire import Link, Wire

_log = log.get("gateway.mqtt")

_SESSION_SECONDS = 7 * 86_400
"""How long an MQTT 5 broker keeps session and backlog of a gateway that is away."""
_KEEPALIVE = 30
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 10.0
_STEADY = 10.0
_MOST_REQUESTS = 1000
"""Messages to publish that wait for the connection; what comes on top takes the place of the oldest."""
_OLD_PROTOCOL = "unsupported protocol version"
_ALONE = "run one gateway, with --workers if need be, without FOREWARN_MQTT_SHARE"
_QUIET = 2.0
"""Seconds without a message after which a session that is to end holds none any more."""


class Subscriber:
    """Reads messages into an inbox and acknowledges them when told. max_payload: see `Acceptance`."""

    def __init__(self, link: Link, inbox: Inbox, metrics: Metrics, *, max_payload: int) -> None:
        self._link = link
        self._inbox = inbox
        self._metrics = metrics
        self._max_payload = max_payload
        self._epoch = 0
        self._welcome = False
        self._closing = False
        self._received = 0
        self._five = link.version == "5"
        self._dropping = False
        self._failure: BrokerRefused | None = None
        self._quiet_since: float | None = None
        self._acks: deque[tuple[int, int]] = deque()
        self._requests: deque[Request] = deque(maxlen=_MOST_REQUESTS)
        self._bell_in, self._bell_out = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._client = Wire(link)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_unsubscribe = self._on_unsubscribe
        # Set so that paho leaves writing to the loop below instead of writing each acknowledgement at once.
        self._client.on_socket_register_write = lambda *_: None

    def start(self) -> None:
        """Connects, now and whenever the connection is lost, in a thread of its own."""
        self._bell_in.setblocking(False)
        self._bell_out.setblocking(False)
        self._thread.start()

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Acknowledges messages in their order. Safe from any thread."""
        self._acks.extend((m.epoch, m.mid) for m in messages if m.mid)
        self._ring()

    def publish(self, requests: Sequence[Request]) -> None:
        """Publishes messages at QoS 0, once there is a connection. Safe from any thread."""
        self._requests.extend(requests)
        self._ring()

    def pause(self) -> None:
        """Takes nothing more from the broker; acknowledgements still go out."""
        self._closing = True
        self._ring()

    def close(self) -> None:
        """Writes the acknowledgements that are due and leaves the broker, which keeps the session."""
        self.pause()
        self._inbox.close()
        self._ring()
        self._thread.join(10)
        if not self._thread.is_alive():
            self._bell_in.close()
            self._bell_out.close()

    def check(self) -> None:
        """Raises BrokerRefused when that is why the subscriber has given up."""
        if self._failure:
            raise self._failure

    # --- all below runs in the subscriber's thread

    def _ring(self) -> None:
        with contextlib.suppress(OSError):  # It rings already, or nobody listens any more.
            self._bell_in.send(b"\0")

    def _run(self) -> None:
        pause, complained = _FIRST_PAUSE, False
        try:
            while not self._closing and self._failure is None:
                self._welcome = False
                began = time.monotonic()
                try:
                    self._connect()
                    self._serve()
                except OSError as error:
                    if not complained:
                        place = f"{self._link.host}:{self._link.port}"
                        _log.error("the broker cannot be reached; trying again", broker=place, error=str(error))
                    complained = True
                complained = complained and not self._welcome
                if self._welcome and time.monotonic() - began > _STEADY:
                    # Not after each welcome: of two gateways with one client id, each is thrown out by the other.
                    pause = _FIRST_PAUSE
                if not self._closing and self._failure is None:
                    self._wait(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE)
        except BaseException as error:
            self._failure = BrokerRefused(f"the connection to the broker failed: {error!r}")
            raise
        finally:
            self._inbox.close()

    def _wait(self, seconds: float) -> None:
        """Waits before the next try, and as long as the inbox is too full to take more."""
        until = time.monotonic() + seconds
        while not self._closing and (time.monotonic() < until or not self._inbox.roomy):
            select.select([self._bell_out], [], [], 0.25)
            self._hear()

    def _hear(self) -> None:
        with contextlib.suppress(BlockingIOError):  # Nobody rang.
            self._bell_out.recv(65_536)

    def _connect(self) -> None:
        link = self._link
        self._acks.clear()
        self._client.renew()
        if link.version == "5":
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = _SESSION_SECONDS
            properties.ReceiveMaximum = link.receive_maximum
            self._client.connect(link.host, link.port, _KEEPALIVE, clean_start=False, properties=properties)
        else:
            self._client.connect(link.host, link.port, _KEEPALIVE)

    def _serve(self) -> None:
        """Reads and writes until the connection ends."""
        client, connection = self._client, self._client.socket()
        acks = bytearray()
        poller = select.poll()
        poller.register(self._bell_out, select.POLLIN)
        while connection is not None and client.socket() is connection:
            reading = not self._closing and not self._inbox.full
            writing = bool(acks) or client.want_write()
            poller.register(connection, (select.POLLIN if reading else 0) | (select.POLLOUT if writing else 0))
            for descriptor, _ in poller.poll(1000):
                if descriptor == self._bell_out.fileno():
                    self._hear()
            if reading:
                client.fill()
                self._read_all()
            self._write(acks)
            client.loop_misc()
            if self._retired():
                self._end_session()
            if self._closing and self._inbox.closed and not acks and not self._acks:
                self._leave()

    def _read_all(self) -> None:
        """Moves the messages that have come into the inbox; leaves other packets to paho."""
        client, limit = self._client, self._max_payload
        while True:
            published: list[Publish] = []
            taken = take_publishes(client.buffer, five=self._five, into=published)
            del client.buffer[:taken]
            now = max(time.time_ns() // 1000, self._received + 1)
            messages = []
            for topic, payload, mid, again in published:
                size = len(payload)
                kept = payload if size <= limit else payload[:KEPT_BYTES]
                # Each its own microsecond: a value without a time of its own is stored under this one.
                messages.append(Message(topic.decode("utf-8", "replace"), kept, size, now, self._epoch, mid, again))
                now += 1
            self._received = now - 1
            if messages and self._quiet_since is not None:
                self._quiet_since = time.monotonic()
            dropped = self._inbox.put(messages)
            if dropped:
                self._metrics.dropped.inc(dropped)
                if not self._dropping:
                    _log.warning("QoS 0 messages are dropped: as many as may be held wait for the database")
            self._dropping = bool(dropped) or (self._dropping and not self._inbox.roomy)
            if not client.ended and not complete(client.buffer):
                return
            client.loop_read()
            if client.socket() is None:
                return

    def _write(self, acks: bytearray) -> None:
        """Writes what is due: what paho has begun first, then acknowledgements of this connection, many at once."""
        waiting, epoch, client = self._acks, self._epoch, self._client
        while waiting:
            of, mid = waiting.popleft()
            if of == epoch:
                acks += b"\x40\x02" + mid.to_bytes(2, "big")
        while self._requests and self._welcome:
            request = self._requests.popleft()
            client.publish(request.topic, request.payload)
        # What is cut in the middle of a packet (four bytes) has to be finished before paho may write, and the reverse.
        if client.want_write() and len(acks) % 4 == 0:
            client.loop_write()
        if acks and (len(acks) % 4 or not client.want_write()) and client.socket() is not None:
            # An error shows at reading too, and paho deals with it there.
            with contextlib.suppress(OSError):
                del acks[: client.send(acks)]

    def _retired(self) -> bool:
        """Whether all that the broker held for a session that is to end was taken, stored and acknowledged."""
        quiet = self._quiet_since is not None and time.monotonic() - self._quiet_since > _QUIET
        return quiet and not self._inbox.held and not self._acks and not self._closing

    def _end_session(self) -> None:
        self._closing = True
        self._inbox.close()
        if self._five:
            properties = Properties(PacketTypes.DISCONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = 0
            self._client.disconnect(properties=properties)
        self._leave()

    def _leave(self) -> None:
        self._client.disconnect()
        while self._client.socket() is not None and self._client.want_write():
            if self._client.loop_write() != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return

    def _on_connect(
        self, client: Client, _userdata: object, flags: ConnectFlags, reason: ReasonCode, properties: object
    ) -> None:
        if reason.is_failure:
            hint = ""
            if self._five and str(reason).lower() == _OLD_PROTOCOL:
                alone = f"; it has no MQTT 5 and so no shared subscriptions: {_ALONE}, and" if self._link.share else ";"
                hint = f"{alone} set FOREWARN_MQTT_VERSION=3.1.1"
            error = f"the broker at {self._link.host}:{self._link.port} refused the connection: {reason}{hint}"
            if self._epoch == 0:
                self._failure = BrokerRefused(error)
            else:
                # It let us in before, so this may pass: a broker that starts may not know its users yet.
                _log.error("the broker refused the connection; trying again", reason=str(reason))
            return
        self._epoch += 1
        self._welcome = True
        self._quiet_since = None
        self._metrics.connected(True)
        if self._link.retire:
            self._client.unsubscribe([*self._link.subscriptions, *self._link.former])
        elif self._link.share and getattr(properties, "SharedSubscriptionAvailable", 1) == 0:
            self._failure = BrokerRefused(f"the broker has no shared subscriptions; {_ALONE}")
            self._leave()
            return
        elif self._five:
            # Retained messages come with a new subscription only, not with each connection.
            options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
            client.subscribe([(one, options) for one in self._link.subscriptions])
        else:
            client.subscribe([(one, 1) for one in self._link.subscriptions])
        _log.info("connected", broker=f"{self._link.host}:{self._link.port}", session_present=flags.session_present)

    def _on_subscribe(
        self, _client: Client, _userdata: object, _mid: int, codes: Sequence[ReasonCode], _properties: object
    ) -> None:
        for one, code in zip(self._link.subscriptions, codes, strict=True):
            if code.is_failure or code.value != 1:
                self._failure = BrokerRefused(
                    f"the broker did not grant {one} at QoS 1: {code}; check the gateway's rights"
                )
                self._leave()
                return
        if self._five:
            # What a session was subscribed to before would bring every message twice, or what is read no more. After the
            # new subscription, not before it: in between nothing would be queued.
            self._client.unsubscribe(self._link.former)
        _log.info("subscribed", to=", ".join(self._link.subscriptions), client_id=self._link.client_id)

    def _on_unsubscribe(self, *_: object) -> None:
        if self._link.retire:
            self._quiet_since = time.monotonic()
            _log.info("unsubscribed; storing what the broker still holds", client_id=self._link.client_id)

    def _on_disconnect(
        self, _client: Client, _userdata: object, _flags: DisconnectFlags, reason: ReasonCode, _properties: object
    ) -> None:
        self._metrics.connected(False)
        if self._closing:
            _log.info("left the broker")
        elif self._welcome:
            taken = str(reason).lower() == "session taken over"
            hint = {"hint": "another gateway has this FOREWARN_MQTT_CLIENT_ID; give each its own"} if taken else {}
            _log.warning("the connection to the broker ended", reason=str(reason), **hint)
