"""Chromium, and a real server over a seeded database, for the journeys of the support team."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.webdriver import WebDriver

import hatch_build
from cli.embedded import free_port
from core.clock import utc_now
from core.database import Database
from tests.conftest import RAN_ON, Server, missing, wait_for
from tests.models import seed_models
from tests.modes import PROFILE, seed_modes
from tests.seed import seed

TOKEN = "a token of the browser tests"
_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --hide-scrollbars"
)


@pytest.fixture(scope="session")
def vendor_files() -> None:
    hatch_build.fetch()


@pytest.fixture(scope="session")
def axe() -> str:
    """axe-core's source, fetched from npm as a development dependency."""
    folder = hatch_build.ROOT / "build" / "vendor-tests"
    hatch_build.fetch(folder, hatch_build.TEST_FILES, tests=True)
    return (folder / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def site(postgresql: Server, vendor_files: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of `forewarn api` as a process of its own, over a database with a month of readings."""
    with psycopg.connect(postgresql.url_of("postgres"), autocommit=True) as admin:
        admin.execute("CREATE DATABASE browser TEMPLATE forewarn_template")
    url = postgresql.url_of("browser")
    with Database(url) as database:
        seed(database, utc_now())
        seed_models(database, utc_now())
        seed_modes(database, utc_now())
    port = free_port()
    log = tmp_path_factory.mktemp("api") / "log"
    profiles = tmp_path_factory.mktemp("profiles")
    (profiles / "heat_pump.yaml").write_text(PROFILE)
    environment = os.environ | {
        "FOREWARN_DATABASE_URL": url,
        "FOREWARN_ADMIN_TOKEN": TOKEN,
        "FOREWARN_HTTP_PORT": str(port),
        "FOREWARN_LOG_FORMAT": "text",
        "FOREWARN_PROFILE_DIR": str(profiles),
        "PYTHONPATH": str(hatch_build.ROOT),
    }
    program = [sys.executable, "-c", "from cli.main import main; main()", "api"]
    with log.open("wb") as out, subprocess.Popen(program, env=environment, stdout=out, stderr=out) as server:
        try:
            wait_for(lambda: _answers(server, port, log), what="forewarn api answers")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(15)
            with psycopg.connect(postgresql.url_of("postgres"), autocommit=True) as admin:
                admin.execute("DROP DATABASE browser WITH (FORCE)")


def _answers(server: "subprocess.Popen[bytes]", port: int, log: Path) -> bool:
    assert server.poll() is None, log.read_text()
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


class Browser:
    """One Chromium window that remembers what it asked for and what its console said."""

    def __init__(self, driver: WebDriver, site: str) -> None:
        self.driver = driver
        self.site = site
        self.requested: list[str] = []
        self.weight = 0
        """Bytes on the wire since the last `open`."""

    def open(self, path: str) -> None:
        self.collect()
        self.weight = 0
        self.driver.get(self.site + path)

    def size(self, width: int, height: int = 1000) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def dark(self, *, on: bool) -> None:
        features = [{"name": "prefers-color-scheme", "value": "dark" if on else "light"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def js(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def collect(self) -> None:
        """Takes the performance log up to now."""
        for entry in self._log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                url = message["params"]["request"]["url"]
                # The browser's own first page loads chrome://; what a page holds as data: goes nowhere.
                if not url.startswith(("chrome:", "data:")):
                    self.requested.append(url)
            if message["method"] == "Network.loadingFinished":
                self.weight += int(message["params"]["encodedDataLength"])

    def complaints(self) -> list[str]:
        """What the console said that is worse than a warning."""
        return [e["message"] for e in self._log("browser") if e["level"] == "SEVERE"]

    def _log(self, kind: str) -> list[dict[str, Any]]:
        return list(self.driver.get_log(kind))  # type: ignore[no-untyped-call]

    def until(self, condition: str, within: float = 10.0) -> Any:
        """What a JavaScript expression gives once it is true."""
        return wait_for(lambda: self.js(f"return {condition}"), within=within, what=condition)

    def empty_cache(self) -> None:
        self.driver.execute_cdp_cmd("Network.clearBrowserCache", {})


@pytest.fixture
def browser(site: str, tmp_path: Path) -> Iterator[Browser]:
    chromium, chromedriver = (shutil.which(name) for name in ("chromium", "chromedriver"))
    if not chromium or not chromedriver:
        missing("Chromium", "no `chromium` and `chromedriver` on PATH: run tests/services/install.sh as root")
    options = webdriver.ChromeOptions()
    options.binary_location = str(chromium)
    for flag in [*_FLAGS.split(), f"--user-data-dir={tmp_path / 'chromium'}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(chromedriver)))
    RAN_ON["Chromium"] = str(driver.capabilities["browserVersion"])
    try:
        yield Browser(driver, site)
    finally:
        driver.quit()
