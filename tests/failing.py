"""A small fleet whose heaters fail in a way that can be learnt: an error code and some heat a day before, for a third of the
codes nothing follows. As arrays, as a recording, as files.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from anomaly.backtest import Labels
from core.profile import Profile, parse
from telemetry.recorded import Recording
from telemetry.window import Floats, Happenings

PROFILE = """
profile: box
title: Box
tick: 1h
silence_after: 1d
horizon: 2d
signals:
  heat: {title: Heat, unit: Cel, range: [0, 100], interval: 1h, component: heater}
  hum: {title: Hum, unit: m/s2, range: [0, 100], interval: 1h, component: fan}
components: {heater: {title: Heater}, fan: {title: Fan}}
detectors:
  baseline: {warm_up: 5d, memory: 10d, smooth: 12h, on_delay: 6h, off_delay: 12h}
"""
START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = 3_600_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """values: [T, D, 2] hourly. events: (device, hour, code). failed: (device, hour); the heater is replaced then."""

    profile: Profile
    values: Floats
    events: list[tuple[int, int, str]]
    failed: list[tuple[int, int]]

    @property
    def devices(self) -> tuple[str, ...]:
        return tuple(f"d{d:02d}" for d in range(self.values.shape[1]))

    def recording(self) -> Recording:
        hours, devices, _ = self.values.shape
        start = round(START.timestamp() * 1e6)

        def happened(rows: list[tuple[int, int, str]]) -> Happenings:
            rows = sorted(rows, key=lambda row: row[1])
            return Happenings(
                device=np.array([row[0] for row in rows], dtype=np.int64),
                times=np.array([start + row[1] * HOUR for row in rows], dtype=np.int64),
                what=tuple(row[2] for row in rows),
            )

        return Recording(
            devices=self.devices,
            signals=("heat", "hum"),
            device=np.tile(np.arange(devices), hours),
            times=np.repeat(start + np.arange(hours) * HOUR, devices),
            values=self.values.reshape(-1, 2),
            tick=HOUR,
            events=happened(self.events),
            replaced=happened([(d, h, "heater") for d, h in self.failed]),
        )

    def labels(self) -> Labels:
        start = round(START.timestamp() * 1e6)
        device = np.array([d for d, _ in self.failed], dtype=np.int64)
        return Labels(failed=(device, device * 0, np.array([start + h * HOUR for _, h in self.failed], dtype=np.int64)))

    def write(self, folder: Path) -> None:
        def at(hour: int) -> str:
            return (START + timedelta(hours=hour)).isoformat()

        hours, devices, _ = self.values.shape
        files = {
            "box.yaml": PROFILE,
            "telemetry.csv": "device,time,heat,hum\n"
            + "".join(
                f"d{d:02d},{at(h)},{self.values[h, d, 0]},{self.values[h, d, 1]}\n"
                for h in range(hours)
                for d in range(devices)
            ),
            "events.csv": "device,time,code\n" + "".join(f"d{d:02d},{at(h)},{c}\n" for d, h, c in self.events),
            "maintenance.csv": "device,time,component\n"
            + "".join(f"d{d:02d},{at(h)},heater\n" for d, h in self.failed),
            "failures.csv": "device,time,component\n" + "".join(f"d{d:02d},{at(h)},heater\n" for d, h in self.failed),
        }
        for name, text in files.items():
            (folder / name).write_text(text)


def fleet(devices: int = 12, hours: int = 720, *, seed: int = 3) -> Fleet:
    """Each device fails twice, at hours of its own."""
    random = np.random.default_rng(seed)
    values = random.normal([50, 5], [1.5, 0.2], (hours, devices, 2)).round(3)
    events, failed = [], []
    for device in range(devices):
        for part in range(2):
            hour = int(random.integers(hours // 5, hours // 2 - 30)) + part * hours // 2
            values[hour - 24 : hour, device, 0] += 4
            events.append((device, hour - 24, "E7"))
            failed.append((device, hour))
        # A code that means nothing without the heat.
        events.append((device, int(random.integers(hours // 36, hours // 6)), "E7"))
    return Fleet(profile=parse(PROFILE, "box.yaml"), values=values.round(3), events=events, failed=failed)
