"""The soak of `python -m benchmarks.soak`, shortened: every fault once, under a load that any machine carries."""

import os
import subprocess
import sys

import pytest

from benchmarks.services import ROOT, Timescale
from tests.conftest import missing


@pytest.mark.timeout(300)
def test_nothing_is_lost_or_doubled_whatever_fails(mosquitto: object) -> None:
    if why := Timescale.missing():
        missing("TimescaleDB", why)
    command = [sys.executable, "-m", "benchmarks.soak", "--minutes", "1.1", "--rate", "1500", "--disk-mb", "3000"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr[-20_000:])
    assert done.returncode == 0
    assert "duplicates 0, dead letters 0, memory flat" in done.stdout
