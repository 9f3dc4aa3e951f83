"""The recorded benchmark's profiles are read, and it runs on a small set in the same format."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.recorded.__main__ import hand_set, learnt, main
from benchmarks.recorded.conditions import six
from benchmarks.recorded.sets import SETS, Goal
from core.profile import load
from telemetry.recorded import Recording


@pytest.mark.parametrize("name", SETS)
def test_profiles_are_valid_and_their_hand_set_values_counted(name: str) -> None:
    profile = load(SETS[name].profile)
    assert all(signal.component or signal.role == "context" for signal in profile.signals.values())
    assert (hand_set(profile) == 0) == ("detectors" not in profile.model_fields_set)


def test_a_coarser_tick_is_a_hand_set_value() -> None:
    profile = load(SETS["azure_pdm"].profile)
    coarse = profile.model_copy(update={"tick": 2 * profile.tick})
    assert (hand_set(profile), hand_set(coarse)) == (0, 1)


def test_goals() -> None:
    goal = Goal(name="x", figure=lambda _: None, least=0.75, most=0.85)
    assert [goal.met(value) for value in (0.7, 0.8, 0.9, None)] == [False, True, False, False]
    assert Goal(name="x", figure=lambda _: None).met(1.0) is None


def test_six_conditions_move_sensors_and_change_nothing_within_one() -> None:
    random = np.random.default_rng(4)
    plain = Recording(
        devices=("a",),
        signals=("op1", "s2", "op2"),
        device=np.zeros(600, dtype=np.int64),
        times=np.arange(600) * 3_600_000_000,
        values=random.normal([0.0, 50.0, 0.0], [0.001, 2.0, 0.001], (600, 3)),
        tick=3_600_000_000,
    )
    laid = six(plain)
    flown = np.round(laid.values[:, 0])
    assert sorted(set(flown.tolist())) == [0, 10, 20, 25, 35, 42]
    for altitude in set(flown.tolist()):
        own = flown == altitude
        assert np.corrcoef(laid.values[own, 1], plain.values[own, 1])[0, 1] == pytest.approx(1.0)
    assert laid.values[:, 1].std() > 20 * plain.values[:, 1].std()


def test_each_device_is_judged_once_by_what_was_learnt_from_others(tmp_path: Path) -> None:
    names = [f"d{at:02}" for at in range(23)]
    deals = [learnt(SETS["backblaze"], tmp_path, names, 5, deal) for deal in (0, 1, 2)]
    for runs in deals:
        judged = [at for known in runs for at in range(23) if at not in known]
        assert sorted(judged) == list(range(23))
        assert [len(known) for known in runs] == [18, 18, 18, 19, 19]
    assert deals[0][0] == tuple(at for at in range(23) if at % 5)
    assert deals[1] != deals[0] != deals[2] != deals[1]
    assert learnt(SETS["backblaze"], tmp_path, names, 5, 2) == deals[2]


def test_it_runs_on_a_folder(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    (tmp_path / "skab").mkdir()
    columns = "accelerometer1_rms,accelerometer2_rms,current,pressure,temperature,thermocouple,voltage,flow_rate_rms"
    flow = [100.0 if second < 800 else 40.0 for second in range(1200)]
    rows = [
        f"run,{1583749000 + second},0.2,0.2,2,0.1,{75 + random.normal():.2f},25,230,{flow[second] + random.normal():.2f}"
        for second in range(1200)
    ]
    text = "device,time," + columns + "\n" + "\n".join(rows)
    (tmp_path / "skab" / "telemetry.csv.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "skab" / "anomalies.csv").write_text("device,start,end\nrun,1583749800,1583750200\n")
    out = tmp_path / "out.json"
    result = CliRunner().invoke(main, [str(tmp_path), "--set", "skab", "--json", str(out)], catch_exceptions=False)
    assert "F1" in result.output
    figures = json.loads(out.read_text())["skab"]
    assert figures["figures"]["F1"]["value"] > 0.5
    assert figures["hand_set_values"] == hand_set(load(SETS["skab"].profile))
