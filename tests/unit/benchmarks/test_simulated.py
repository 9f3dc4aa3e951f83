"""The benchmark of simulated devices: a profile as it is shipped, and one of signals and components alone."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.simulated import main


@pytest.mark.parametrize("options", [(), ("--bare", "1h")])
def test_each_fault_is_counted_once_by_either_profile(options: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    size = ("--devices", "8", "--days", "60", "--failing", "4", "--seed", "2")
    result = CliRunner().invoke(main, [*size, *options, "--json", str(file)])
    assert result.exit_code == 0, result.output
    found = json.loads(file.read_text())
    assert sum(row["faults"] for row in found["by_fault"]) == found["faults"] == 4
    # By component it is harder to be right than by the shipped symptoms, and what it drags along counts as false.
    assert found["warned"] >= (0.5 if options else 1.0)
    assert found["false_findings"] <= (12 if options else 0)


def test_what_the_first_days_cost_sets_the_threshold_for_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    size = ("--devices", "8", "--days", "60", "--failing", "4", "--seed", "2", "--bare", "1h")
    figures = {}
    for learn in ("10d", "40d"):
        result = CliRunner().invoke(main, [*size, "--learn", learn, "--json", str(file)])
        assert result.exit_code == 0, result.output
        figures[learn] = json.loads(file.read_text())
    # In ten days little can happen; in forty some devices begin to fail, and who does not know it sets the threshold by them.
    assert figures["10d"]["threshold_factor"] < figures["40d"]["threshold_factor"]
    assert figures["10d"]["warned"] >= figures["40d"]["warned"]
    assert figures["10d"]["device_months"] > figures["40d"]["device_months"]


@pytest.mark.parametrize("learn", ["0d", "90d", "200d"])
def test_a_time_to_learn_that_leaves_nothing_is_refused(learn: str) -> None:
    result = CliRunner().invoke(main, ["--learn", learn])
    assert result.exit_code == 2
    assert f"--learn {learn}: it must be longer than nothing and shorter than the 90 days" in result.output


def test_what_a_support_team_confirmed_sets_no_threshold(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    size = ("--product", "air_compressor", "--devices", "8", "--days", "60", "--failing", "4", "--seed", "2")
    factors = []
    for verdicts in ((), ("--verdicts",)):
        options = (*size, "--bare", "1h", "--learn", "40d", *verdicts, "--json", str(file))
        result = CliRunner().invoke(main, options)
        assert result.exit_code == 0, result.output
        factors.append(json.loads(file.read_text())["threshold_factor"])
    assert factors[1] < factors[0]


def test_verdicts_of_no_time_are_refused() -> None:
    result = CliRunner().invoke(main, ["--verdicts"])
    assert result.exit_code == 2
    assert "--verdicts goes with --learn" in result.output


def test_a_tick_that_is_none_is_refused() -> None:
    result = CliRunner().invoke(main, ["--bare", "often"])
    assert result.exit_code == 2
    assert "--bare often: write a duration like" in result.output
