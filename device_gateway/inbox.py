"""What was received and is not stored yet: between the thread that reads the network and those that store."""

import contextlib
import threading
from collections import deque
from collections.abc import Sequence

from device_gateway.readings import Message

MOST_BYTES = 128 * 1024 * 1024
"""Payload bytes held at the most; beyond it the gateway takes nothing from the broker until some is stored."""


class Inbox:
    """A bounded queue for one thread that puts, one that takes and one that says what is done.

    most: messages held at the most, once for those that want an acknowledgement and once for those that do not. Those
    that were taken count too, until `done` says that they are stored.
    """

    def __init__(self, *, most: int, most_bytes: int = MOST_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._waiting: deque[Message] = deque()
        self._taken: deque[Sequence[Message]] = deque()
        # Each is written by one thread only: what was put, and what of it is done.
        self._put, self._put_free, self._put_bytes = 0, 0, 0
        self._done, self._done_free, self._done_bytes = 0, 0, 0
        self._arrived = threading.Event()
        self._many = threading.Event()
        self._wanted = 1
        self._closed = False

    def put(self, messages: Sequence[Message]) -> int:
        """Adds messages; returns how many were dropped.

        Those that want an acknowledgement are never dropped: whoever puts looks at `full` before it reads on. Of
        others, of QoS 0, no more than `most` are held.
        """
        dropped = 0
        for message in messages:
            if not message.mid:
                if self._put_free - self._done_free >= self._most:
                    dropped += 1
                    continue
                self._put_free += 1
            self._put += 1
            self._put_bytes += len(message.payload)
            self._waiting.append(message)
        if self._waiting and not self._arrived.is_set():
            self._arrived.set()
        if len(self._waiting) >= self._wanted and not self._many.is_set():
            self._many.set()
        return dropped

    def take(self, *, most: int, most_bytes: int, linger: float, timeout: float) -> Sequence[Message]:
        """The next messages in order: at most `most`, or as many as fit in `most_bytes`, but at least one.

        Waits `timeout` seconds for the first; then `linger` for more. Empty when none came.
        """
        self._wanted = most
        self._many.clear()
        self._arrived.clear()
        if not self._waiting and not self._closed:
            self._arrived.wait(timeout)
        if not self._waiting:
            return ()
        if len(self._waiting) < most and not self._closed:
            self._many.wait(linger)
        taken: list[Message] = []
        size = 0
        while self._waiting and len(taken) < most:
            size += len(self._waiting[0].payload)
            if taken and size > most_bytes:
                break
            taken.append(self._waiting.popleft())
        self._taken.append(taken)
        return taken

    def done(self) -> None:
        """The oldest batch that was taken is stored."""
        batch = self._taken[0]
        self._done_bytes += sum(len(m.payload) for m in batch)
        self._done_free += sum(not m.mid for m in batch)
        self._done += len(batch)
        self._taken.popleft()

    def close(self) -> None:
        """No more will be put: `take` no longer waits."""
        self._closed = True
        self._arrived.set()
        self._many.set()

    @property
    def closed(self) -> bool:
        """Whether no more will be put."""
        return self._closed

    @property
    def held(self) -> int:
        """Messages that are not stored yet."""
        return self._put - self._done

    @property
    def full(self) -> bool:
        """Whether as much is held as may be, so that nothing more should be read."""
        return self._load() >= 1

    @property
    def roomy(self) -> bool:
        """Whether so much was stored that it pays to connect again."""
        return self._load() <= 0.5

    def _load(self) -> float:
        wanting = self.held - (self._put_free - self._done_free)
        return max(wanting / self._most, (self._put_bytes - self._done_bytes) / self._most_bytes)

    @property
    def oldest(self) -> int | None:
        """When the oldest message that is not stored was received, microseconds since 1970."""
        # Others take and put meanwhile, so what was there a moment ago may be gone.
        with contextlib.suppress(IndexError):
            return self._taken[0][0].received
        with contextlib.suppress(IndexError):
            return self._waiting[0].received
        return None
