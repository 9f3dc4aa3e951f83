"""paho's client, reading from a buffer of ours: what lets the gateway take messages out of it many at once."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

SHARE = "forewarn"
"""The group that workers share messages in unless another is set."""
_CHUNK = 262_144


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Where the broker is and how to speak to it. filters: the topics to subscribe to; others: those that an earlier
    gateway of this client id may have subscribed to. retire: take what the broker still holds for this client id, and
    nothing new; then end the session.
    """

    host: str
    port: int
    username: str
    password: str
    version: str
    tls: bool
    ca_file: Path | None
    client_id: str
    receive_maximum: int
    share: str
    filters: tuple[str, ...]
    others: tuple[str, ...] = ()
    retire: bool = False

    @property
    def subscriptions(self) -> list[str]:
        """The topic filters that are subscribed to."""
        return [self._shared(one, self.share) for one in self.filters]

    @property
    def former(self) -> list[str]:
        """The topic filters that the session may still have: from when it was, or was not, one of a group, or read other
        formats.
        """
        other_group = "" if self.share else SHARE
        return [self._shared(one, other_group) for one in self.filters] + [
            self._shared(one, group) for one in self.others for group in ("", self.share or SHARE)
        ]

    @staticmethod
    def _shared(one: str, group: str) -> str:
        return f"$share/{group}/{one}" if group else one


class Wire(Client):
    """paho's client, reading from a buffer of ours instead of from the socket, byte by byte."""

    def __init__(self, link: Link) -> None:
        five = link.version == "5"
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=link.client_id,
            clean_session=None if five else False,
            protocol=MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        self.buffer = bytearray()
        self.ended = False
        if link.username:
            self.username_pw_set(link.username, link.password)
        if link.tls:
            self.tls_set_context(ssl.create_default_context(cafile=str(link.ca_file) if link.ca_file else None))

    def renew(self) -> None:
        """Forgets what an earlier connection left."""
        self.buffer.clear()
        self.ended = False

    def fill(self) -> None:
        """Reads what has come."""
        before = len(self.buffer)
        try:
            while len(self.buffer) - before < _CHUNK:
                data = super()._sock_recv(_CHUNK)
                if not data:
                    self.ended = True
                    return
                self.buffer += data
        except BlockingIOError:
            return
        except OSError:
            self.ended = True

    def send(self, data: bytearray) -> int:
        """Writes the beginning of `data`; returns how many bytes. Raises OSError."""
        return super()._sock_send(data)

    def _sock_recv(self, bufsize: int) -> bytes:
        if not self.buffer and not self.ended:
            raise BlockingIOError
        data = bytes(self.buffer[:bufsize])
        del self.buffer[:bufsize]
        return data
