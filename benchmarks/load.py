"""The load: PUBLISH packets encoded in advance and written to a plain socket, so that Python never is the bottleneck.

One packet costs the generator a share of one `send`; reading the answers is counting bytes. The broker, not this, is
what limits how fast a backlog grows.
"""

import argparse
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from benchmarks.services import DEVICES, SIGNALS

_CONNECT_FLAGS_CLEAN = 0x02


def _string(text: bytes) -> bytes:
    return len(text).to_bytes(2, "big") + text


def _packet(kind: int, body: bytes) -> bytes:
    length, size = bytearray(), len(body)
    while True:
        size, digit = divmod(size, 128)
        length.append(digit | (0x80 if size else 0))
        if not size:
            return bytes((kind,)) + bytes(length) + body


def publish(topic: str, payload: bytes, mid: int, *, again: bool = False) -> bytes:
    """One PUBLISH packet of MQTT 3.1.1 at QoS 1; `mid` is its packet id, 1 to 65535."""
    return _packet(0x3A if again else 0x32, _string(topic.encode()) + mid.to_bytes(2, "big") + payload)


def connect(port: int, client_id: str, *, within: float = 10.0) -> socket.socket:
    """A connection to the broker on which PUBLISH packets may be written. Raises OSError."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=within)
    body = _string(b"MQTT") + bytes((4, _CONNECT_FLAGS_CLEAN, 0, 0)) + _string(client_id.encode())
    connection.sendall(_packet(0x10, body))
    if connection.recv(4) != b"\x20\x02\x00\x00":
        connection.close()
        raise ConnectionError("the broker did not accept the connection")
    return connection


def message(n: int, *, ts: float, samples: int = 1, step: float = 1000.0) -> tuple[str, bytes]:
    """Topic and payload number `n`: `samples` times 5 values, the first at `ts` ms. Values differ by message."""
    parts = []
    for k in range(samples):
        at = n * samples + k
        values = ",".join(f'"{name}":{(at * 5 + s) % 20_000 / 1000 - 10:.3f}' for s, name in enumerate(SIGNALS))
        parts.append(f'{{"ts":{ts + k * step:.3f},"values":{{{values}}}}}')
    text = parts[0] if samples == 1 else f"[{','.join(parts)}]"
    return f"forewarn/v1/d{n % DEVICES}/telemetry", text.encode()


def backlog(messages: int, *, start_ms: float, samples: int = 1) -> Iterator[tuple[str, bytes]]:
    """Messages whose device times go on, second by second for each device, from `start_ms`."""
    for n in range(messages):
        yield message(n, ts=start_ms + n // DEVICES * samples * 1000.0, samples=samples)


def fill(port: int, messages: Iterator[tuple[str, bytes]], *, chunk: int = 2000) -> int:
    """Publishes as fast as the broker takes it; returns how many it has acknowledged, which is all."""
    connection = connect(port, "load")
    connection.settimeout(60)
    sent = answered = 0
    with connection:
        buffer, waiting = bytearray(), 0
        for topic, payload in messages:
            sent += 1
            buffer += publish(topic, payload, sent % 65_535 + 1)
            waiting += 1
            if waiting == chunk:
                connection.sendall(buffer)
                answered += _answers(connection, chunk)
                buffer.clear()
                waiting = 0
        connection.sendall(buffer)
        answered += _answers(connection, waiting)
    return answered


def _answers(connection: socket.socket, count: int) -> int:
    """Reads `count` PUBACK packets, four bytes each."""
    missing = 4 * count
    while missing:
        data = connection.recv(min(missing, 65_536))
        if not data:
            raise ConnectionError("the broker closed the connection of the load")
        missing -= len(data)
    return count


def paced(
    port: int,
    packets: Sequence[bytes],
    *,
    rate: float,
    start: float,
    clock: Callable[[], float] = time.time,
    slice_s: float = 0.002,
) -> float:
    """Writes packet n at `start` + n / rate by the clock; returns by how much the last one was late, in seconds."""
    with connect(port, "load") as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)
        done, waiting, answers, late = 0, bytearray(), 4 * len(packets), 0.0
        while answers:
            due = min(len(packets), max(0, int((clock() - start) * rate) + 1))
            if due > done:
                waiting += b"".join(packets[done:due])
                done = due
            readable, writable, _ = select.select([connection], [connection] if waiting else [], [], slice_s)
            if writable:
                del waiting[: connection.send(waiting)]
                if not waiting:
                    late = clock() - (start + (done - 1) / rate)
            if readable:
                data = connection.recv(65_536)
                if not data:
                    raise ConnectionError("the broker closed the connection of the load")
                answers -= len(data)
            elif not waiting and done < len(packets):
                # `select` has returned at once for nothing else, so the rest of the slice is free.
                time.sleep(max(0.0, min(slice_s, start + done / rate - clock())))
    return late


def paced_packets(count: int, *, rate: float, start: float, probe_every: int) -> list[bytes]:
    """Packets whose `ts` is the time at which they are due. Each `probe_every`-th is of the device `probe`."""
    packets = []
    for n in range(count):
        topic, payload = message(n, ts=(start + n / rate) * 1000)
        if n % probe_every == 0:
            topic = "forewarn/v1/probe/telemetry"
        packets.append(publish(topic, payload, n % 65_535 + 1))
    return packets


class Steady:
    """Devices that publish at a rate and send again what the broker did not acknowledge: nothing of it may get lost.

    Message n has the values 8n, 8n + 1, ... 8n + 4, so that count and sum of what is stored show a loss or a double.
    """

    def __init__(self, port: int, *, rate: float, most_waiting: int = 20_000) -> None:
        self._port = port
        self._rate = rate
        self._most = most_waiting
        self._waiting: dict[int, tuple[str, bytes]] = {}
        self.sent = 0
        """Messages that were made; the broker has acknowledged all of them when `run` returns."""

    def run(self, stop: Callable[[], bool]) -> None:
        """Publishes until `stop` is true, and then on until everything is acknowledged."""
        began = time.monotonic()
        while not stop() or self._waiting:
            try:
                with connect(self._port, "fleet") as connection:
                    connection.setblocking(False)
                    self._serve(connection, began, stop)
            except OSError:
                time.sleep(0.2)

    def _serve(self, connection: socket.socket, began: float, stop: Callable[[], bool]) -> None:
        buffer = bytearray(b"".join(publish(t, p, mid, again=True) for mid, (t, p) in self._waiting.items()))
        answers = bytearray()
        while True:
            if stop():
                if not self._waiting:
                    return
            else:
                due = int((time.monotonic() - began) * self._rate)
                # What was not sent while the broker was away is sent afterwards, as devices with a buffer do.
                for n in range(self.sent, min(due, self.sent + self._most - len(self._waiting), self.sent + 2000)):
                    mid = n % 65_535 + 1
                    self._waiting[mid] = self._message(n)
                    buffer += publish(*self._waiting[mid], mid)
                    self.sent = n + 1
            readable, writable, _ = select.select([connection], [connection] if buffer else [], [], 0.005)
            if writable:
                del buffer[: connection.send(buffer)]
            if readable:
                data = connection.recv(65_536)
                if not data:
                    raise ConnectionError("the broker closed the connection")
                answers += data
                whole = len(answers) // 4 * 4
                for at in range(2, whole, 4):
                    self._waiting.pop(answers[at] << 8 | answers[at + 1], None)
                del answers[:whole]
            elif not writable:
                time.sleep(0.002)

    @staticmethod
    def _message(n: int) -> tuple[str, bytes]:
        values = ",".join(f'"{name}":{8 * n + s}' for s, name in enumerate(SIGNALS))
        # Each device has a time of its own for each of its messages, a tenth of a second apart.
        ts = _SOAK_START_MS + n // DEVICES * 100
        return f"forewarn/v1/d{n % DEVICES}/telemetry", f'{{"ts":{ts},"values":{{{values}}}}}'.encode()


_SOAK_START_MS = (int(time.time()) - 2 * 86_400) * 1000


def steady(port: int, rate: float) -> None:
    """A process: publishes until its input ends; prints what it sent each second, and the whole at the end."""
    load, ended = Steady(port, rate=rate), threading.Event()
    thread = threading.Thread(target=load.run, args=(ended.is_set,))
    thread.start()
    while not select.select([sys.stdin], [], [], 1.0)[0]:
        print(load.sent, flush=True)
    ended.set()
    thread.join()
    print(load.sent, flush=True)


def main() -> None:
    """A process that fills a broker's queues, or publishes at a rate; prints a number when it is done."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("fill", "paced", "steady"))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--messages", type=int, default=0)
    parser.add_argument("--samples", type=int, default=1)
    parser.add_argument("--start", type=float, default=0.0, help="seconds since 1970")
    parser.add_argument("--rate", type=float, default=1000.0)
    parser.add_argument("--probe-every", type=int, default=100)
    given = parser.parse_args()
    if given.what == "fill":
        messages = backlog(given.messages, start_ms=given.start * 1000, samples=given.samples)
        print(fill(given.port, messages, chunk=2000 if given.samples == 1 else 200))
        return
    if given.what == "steady":
        steady(given.port, given.rate)
        return
    packets = paced_packets(given.messages, rate=given.rate, start=given.start, probe_every=given.probe_every)
    if time.time() > given.start:
        sys.exit("the packets were not encoded before the start")
    print(paced(given.port, packets, rate=given.rate, start=given.start))


if __name__ == "__main__":
    main()
