"""A TCP proxy between a program and its server, so that the network between them can fail as real networks do."""

import contextlib
import socket
import struct
import threading
from types import TracebackType
from typing import Self

_CHUNK = 262_144
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: on, no seconds. Closing such a socket resets the connection and drops what was on its way."""


class Proxy:
    """Passes bytes between `port`, a free one of 127.0.0.1, and `to`, until told otherwise."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._down = False
        self._flowing = threading.Event()
        self._flowing.set()
        self._left: int | None = None
        self.cuts = 0
        """How many connections were cut."""
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def cut(self) -> None:
        """Resets all connections now, in the middle of whatever they carry."""
        with self._lock:
            self._left = None
            pairs = list(self._pairs)
            self._pairs.clear()
        for pair in pairs:
            self.cuts += 1
            for end in pair:
                _reset(end)

    def cut_after(self, sent: int) -> None:
        """Resets all connections once `sent` more bytes went to the server: in the middle of a batch for sure."""
        with self._lock:
            self._left = sent

    def down(self) -> None:
        """Cuts, and resets each new connection until `up`."""
        self._down = True
        self.cut()

    def up(self) -> None:
        """Passes everything again."""
        self._down = False
        self._flowing.set()

    def stall(self) -> None:
        """Passes nothing on, and closes nothing: a firewall that forgot, a cable that was pulled."""
        self._flowing.clear()

    def close(self) -> None:
        """Ends it."""
        # Closing alone would leave `accept` waiting in its thread.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._flowing.set()
        self.cut()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                if self._down:
                    raise ConnectionRefusedError
                far = socket.create_connection(("127.0.0.1", self._to), timeout=5)
            except OSError:
                _reset(near)
                continue
            for end in (near, far):
                end.settimeout(None)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = (near, far)
            with self._lock:
                self._pairs.add(pair)
            for source, sink, upward in ((near, far, True), (far, near, False)):
                threading.Thread(target=self._pump, args=(pair, source, sink, upward), daemon=True).start()

    def _pump(
        self, pair: tuple[socket.socket, socket.socket], source: socket.socket, sink: socket.socket, upward: bool
    ) -> None:
        try:
            while data := source.recv(_CHUNK):
                self._flowing.wait()
                if upward and self._due(len(data)):
                    sink.sendall(data[: len(data) // 2])
                    self.cut()
                    return
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            with self._lock:
                self._pairs.discard(pair)
            for end in pair:
                _reset(end)

    def _due(self, size: int) -> bool:
        with self._lock:
            if self._left is None:
                return False
            self._left -= size
            return self._left <= 0


def _reset(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        # Wakes the thread that reads from it; closing alone does not.
        end.shutdown(socket.SHUT_RD)
    with contextlib.suppress(OSError):
        end.close()
