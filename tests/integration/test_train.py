"""`forewarn train` as a person runs it: on files, and on a Dask cluster of two workers."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from distributed import LocalCluster

from cli.main import forewarn
from core.errors import InvalidInput
from tests.failing import fleet

FILES = [
    "--telemetry",
    "telemetry.csv",
    "--events",
    "events.csv",
    "--maintenance",
    "maintenance.csv",
    "--failures",
    "failures.csv",
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    fleet(8, 480).write(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as running:  # type: ignore[no-untyped-call,unused-ignore]
        yield running.scheduler_address


def train(*options: str) -> str:
    arguments = ["train", "--profile", "box.yaml", "--dry-run", *options]
    return CliRunner().invoke(forewarn, arguments, catch_exceptions=False).stdout


def test_a_cluster_learns_what_one_machine_learns(folder: Path, cluster: str) -> None:
    here = train(*FILES, "--jobs", "1")
    assert "heater" in here
    assert train(*FILES, "--dask", cluster) == here


def test_it_says_what_conditions_explain(folder: Path) -> None:
    known = fleet(8, 480)
    known.values[:, :, 1] = np.random.default_rng(1).choice([0, 3], known.values.shape[:2])
    known.values[:, :, 0] += 10 * known.values[:, :, 1]
    known.write(folder)
    profile = folder / "box.yaml"
    profile.write_text(profile.read_text().replace("component: fan}", "role: context}"))
    assert "Seen in usual conditions, by hum: heat" in train(*FILES, "--jobs", "1")


def test_a_cluster_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(InvalidInput, match=r"--dask tcp://127\.0\.0\.1:1: no scheduler answers there"):
        train(*FILES, "--dask", "tcp://127.0.0.1:1")


def test_what_is_needed_is_named(folder: Path) -> None:
    with pytest.raises(InvalidInput, match="give --telemetry FILE"):
        train("--failures", "failures.csv")
    with pytest.raises(InvalidInput, match="--lead soon: write a duration"):
        train(*FILES, "--lead", "soon")
