"""`forewarn backtest` on small files of its own: tables, JSON, report, and refusals a stranger can act on."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cli.main import forewarn
from core.errors import ForewarnError

PROFILE = """
profile: box
title: Box & <Lid>
tick: 1h
silence_after: 1d
signals:
  heat: {title: Heat <b>, unit: Cel, range: [0, 100], interval: 1h, component: heater}
components: {heater: {title: Heater & coil}}
detectors:
  baseline: {warm_up: 5d, memory: 10d, smooth: 12h, on_delay: 6h, off_delay: 12h}
"""
START = datetime(2026, 1, 1, tzinfo=UTC)


def at(hour: int) -> str:
    return (START + timedelta(hours=hour)).isoformat()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(5)
    values = random.normal(50, 1, (720, 4))
    values[500:548, 1] += np.linspace(0, 14, 48)
    rows = [f"d{d},{at(h)},{values[h, d]:.3f}" for d in range(4) for h in range(720)]
    files = {
        "box.yaml": PROFILE,
        "telemetry.csv": "device,time,heat\n" + "\n".join(rows),
        "failures.csv": f"device,time,component\nd1,{at(548)},heater\n",
        "anomalies.csv": f"device,start,end\nd1,{at(500)},{at(548)}\n",
        "events.csv": f"device,time,code\nd1,{at(500)},error1\n",
        "maintenance.csv": f"device,time,component\nd1,{at(548)},heater\n",
        "devices.csv": "device,model\nd1,m\n",
        "life.csv": f"device,time,remaining_cycles\nd0,{at(700)},30\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def run(folder: Path, *options: str) -> Result:
    names = [str(folder / x) if x.endswith((".csv", ".yaml", ".json", ".html")) else x for x in options]
    common = ["backtest", "--profile", str(folder / "box.yaml")]
    result = CliRunner(env={"COLUMNS": "120"}).invoke(forewarn, [*common, *names])
    if isinstance(result.exception, ForewarnError):
        return result
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_it_prints_the_table_and_writes_json_and_report(folder: Path) -> None:
    options = "--telemetry telemetry.csv --failures failures.csv --events events.csv --maintenance maintenance.csv"
    more = "--devices devices.csv --anomalies anomalies.csv --remaining-life life.csv --nab --flagged 10%"
    result = run(folder, *options.split(), *more.split(), "--json", "out.json", "--html", "out.html")
    assert result.exit_code == 0
    for words in ("recall", "false/mo", "simple rule", "NAB: standard", "labelled intervals", "by age alone"):
        assert words in result.output
    told = json.loads((folder / "out.json").read_text())
    row = told["budgets"][0]
    wanted = "budget lead_hours recall recall_low recall_high precision false_per_device_month lead_median_hours"
    assert set(wanted.split()) | {"lead_p10_hours", "component_right"} <= set(row)
    assert told["configured"][0]["recall"] == 1.0
    assert {"f1", "far", "mar", "delay_median_s"} <= set(told["intervals"])
    assert {"standard", "low_fp", "low_fn"} == set(told["nab"])
    assert set(told["baselines"]) == {"no_alarm", "always", "random", "simple_rule"}
    assert told["baselines"]["random"][0].keys() == row.keys()
    assert told["remaining_life"] is None
    assert told["remaining_life_by_age"]["devices"] == 1
    assert told["healthy_flagged"][0]["budget"] == 0.1

    page = (folder / "out.html").read_text()
    assert "Box &amp; &lt;Lid&gt;" in page
    assert "Heat &lt;b&gt;" in page
    assert "Heater &amp; coil" in page
    assert "<Lid>" not in page
    assert page.count("<svg") >= 3
    assert not re.search(r"<script|https?://|\bsrc=|@import", page)
    assert "failure, foreseen" in page


@pytest.mark.parametrize("names", [["d0,d2", "d3"], ["d0", "--train-devices", "d2,d3"]])
def test_devices_to_learn_from_are_named_one_by_one_or_by_commas(folder: Path, names: list[str]) -> None:
    result = run(folder, "--telemetry", "telemetry.csv", "--failures", "failures.csv", "--train-devices", *names)
    assert result.exit_code == 0
    assert "1 device-months judged, thresholds from 3 healthy ones" in result.output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--failures failures.csv", "or --from-database"),
        ("--telemetry telemetry.csv", "nothing to judge against: give --failures"),
        ("--telemetry telemetry.csv --failures failures.csv --nab", "--nab needs --anomalies"),
        ("--telemetry telemetry.csv --failures failures.csv --lead soon", "--lead soon: write a duration"),
        ("--telemetry telemetry.csv --failures failures.csv --train-devices d9", "no device 'd9' in the telemetry"),
        ("--telemetry telemetry.csv --failures failures.csv d1", "may only follow --train-devices"),
        ("--telemetry telemetry.csv --failures failures.csv --train-until may", "--train-until may: write a date"),
        ("--telemetry telemetry.csv --failures events.csv", "events.csv:1: column 'component': no such column"),
        ("--telemetry telemetry.csv --failures failures.csv --flagged 5h", "--flagged 5h: write a share"),
    ],
)
def test_refusals_name_the_option_or_the_place(folder: Path, options: str, said: str) -> None:
    result = run(folder, *options.split())
    assert result.exit_code != 0
    assert said in str(result.exception)
