"""The yardstick: paho's receive loop at QoS 1 with a callback that counts, as a process of its own."""

import argparse
import threading
import time

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

SESSION_S = 3600
RECEIVE_MAXIMUM = 5000


def _client(client_id: str) -> Client:
    return Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=MQTTProtocolVersion.MQTTv5)


def _connect(client: Client, port: int) -> None:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = SESSION_S
    properties.ReceiveMaximum = RECEIVE_MAXIMUM
    client.connect("127.0.0.1", port, 30, clean_start=False, properties=properties)


def subscribe(port: int, client_id: str, to: str) -> None:
    """Makes a session at the broker that collects a backlog, and leaves it."""
    client, subscribed = _client(client_id), threading.Event()
    client.on_subscribe = lambda *_: subscribed.set()

    def on_connect(*_: object) -> None:
        client.subscribe(to, 1)

    client.on_connect = on_connect
    _connect(client, port)
    client.loop_start()
    if not subscribed.wait(10):
        raise TimeoutError(f"the broker did not answer the subscription to {to}")
    client.disconnect()
    client.loop_stop()


def rate(port: int, client_id: str, messages: int) -> float:
    """Messages a second from the first to the last of a backlog."""
    client, done = _client(client_id), threading.Event()
    count, began, ended = 0, 0.0, 0.0

    def on_message(_client: Client, _userdata: object, _message: MQTTMessage) -> None:
        nonlocal count, began, ended
        if not count:
            began = time.perf_counter()
        count += 1
        if count == messages:
            ended = time.perf_counter()
            done.set()

    client.on_message = on_message
    _connect(client, port)
    client.loop_start()
    if not done.wait(300):
        raise TimeoutError(f"{count} of {messages} messages came")
    client.disconnect()
    client.loop_stop()
    return (messages - 1) / (ended - began)


def main() -> None:
    """Prints the rate."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--client-id", required=True)
    parser.add_argument("--messages", type=int, required=True)
    given = parser.parse_args()
    print(rate(given.port, given.client_id, given.messages))


if __name__ == "__main__":
    main()
