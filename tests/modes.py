"""A heat pump whose mode is a number: its profile, and what it did, by SQL, for tests of the API and of the pages."""

from datetime import datetime, timedelta

from core.database import Database

PUMP = "heatpump-kiruna-1"
MODES = {0.0, 1.0, 2.0, 4.0}
"""Off, heating, hot water, defrosting; there is no 3."""
PROFILE = """
profile: heat_pump
title: Heat pump
tick: 5min
silence_after: 1d
signals:
  mode: {title: Mode, unit: /, range: [0, 9], interval: 5min, role: mode}
  flow_temp: {title: Flow temperature, unit: Cel, range: [-20, 90], interval: 5min, component: compressor}
  efficiency: {title: Efficiency, unit: /, range: [0, 9], interval: 5min, component: compressor}
components: {compressor: {title: Compressor}}
"""
# By the minute of a day in which it is 03:59 now, whatever the hour: hot water in the morning, off at night, else heating for
# 40 minutes of an hour, with a defrost of 10 minutes each third hour. It was silent for seven hours.
_READINGS = """
WITH said AS (
    SELECT t, CASE WHEN minute BETWEEN 360 AND 409 THEN 2 WHEN minute < 240 THEN 0
                   WHEN minute %% 180 < 10 THEN 4 WHEN minute %% 60 < 40 THEN 1 ELSE 0 END AS mode
    FROM generate_series(%(now)s - %(history)s, %(now)s - interval '1 minute', interval '5 minutes') t,
         LATERAL (SELECT timestamp '2000-01-01 03:59' - (%(now)s - t) AS day) story,
         LATERAL (SELECT extract(hour FROM day) * 60 + extract(minute FROM day) AS minute) at
    WHERE t NOT BETWEEN %(now)s - interval '20 hours' AND %(now)s - interval '13 hours'
)
INSERT INTO reading (series_id, time, received_at, value, quality)
SELECT s.id, t, t, CASE s.signal WHEN 'mode' THEN mode WHEN 'efficiency' THEN 3.2 + 0.4 * sin(extract(epoch FROM t) / 9000)
                   ELSE 25 + (ARRAY[0, 11, 24, 0, -15])[mode + 1] + sin(extract(epoch FROM t) / 4000) END, 0
FROM said, series s JOIN device d ON d.id = s.device_id WHERE d.name = %(pump)s
"""


def seed_modes(database: Database, now: datetime, *, history: timedelta = timedelta(days=30)) -> None:
    """PUMP with its readings over `history`."""
    with database.transaction() as c:
        c.execute("INSERT INTO device (name, profile, model) VALUES (%s, 'heat_pump', 'NordHeat 8')", (PUMP,))
        c.execute(
            "INSERT INTO series (device_id, signal) SELECT id, unnest(ARRAY['mode', 'flow_temp', 'efficiency'])"
            " FROM device WHERE name = %s",
            (PUMP,),
        )
        c.execute(_READINGS, {"now": now, "history": history, "pump": PUMP})
