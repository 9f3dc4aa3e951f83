-- take_rollup: up to which transaction the hours are made, locked for this turn; no row while another has it
SELECT xact::text::bigint AS xact, kept FROM rollup_cursor FOR UPDATE SKIP LOCKED;

-- move_rollup: the end of a turn
UPDATE rollup_cursor SET xact = %(xact)s::text::xid8;

-- roll_up: makes the hours anew in which something was stored; one whose readings were dropped meanwhile stays as it is. Of a mode, the value that most readings have, of several the one measured last
WITH want AS (
    SELECT s.id AS series_id, w.start_at, w.end_at,
           (d.profile, s.signal) IN (SELECT * FROM unnest(%(profiles)s::text[], %(signals)s::text[])) AS is_mode
      FROM unnest(%(devices)s::integer[], %(starts)s::timestamptz[], %(ends)s::timestamptz[]) AS w (device_id, start_at, end_at)
      JOIN device d ON d.id = w.device_id
      JOIN series s ON s.device_id = w.device_id
),
made AS (
    SELECT r.series_id, date_bin('1 hour', r.time, '2000-01-01Z') AS hour,
           count(*) AS readings, avg(r.value) AS mean, min(r.value) AS least, max(r.value) AS greatest
      FROM want w
      JOIN reading r ON r.series_id = w.series_id AND r.time >= w.start_at AND r.time < w.end_at
     GROUP BY 1, 2
),
most AS (
    SELECT DISTINCT ON (series_id, hour) series_id, hour, mode, mode_readings
      FROM (SELECT r.series_id, date_bin('1 hour', r.time, '2000-01-01Z') AS hour, r.value AS mode,
                   count(*) AS mode_readings, max(r.time) AS last
              FROM want w
              JOIN reading r ON r.series_id = w.series_id AND r.time >= w.start_at AND r.time < w.end_at
             WHERE w.is_mode
             GROUP BY 1, 2, 3) m
     ORDER BY series_id, hour, mode_readings DESC, last DESC
)
INSERT INTO reading_hour AS old (series_id, hour, readings, mean, least, greatest, mode, mode_readings)
SELECT series_id, hour, readings, mean, least, greatest, mode, mode_readings
  FROM made LEFT JOIN most USING (series_id, hour)
 ORDER BY 1, 2
ON CONFLICT (series_id, hour) DO UPDATE
   SET readings = excluded.readings, mean = excluded.mean, least = excluded.least, greatest = excluded.greatest,
       mode = excluded.mode, mode_readings = excluded.mode_readings
 WHERE %(kept)s::timestamptz IS NULL OR old.hour >= %(kept)s;

-- keep_from: what was measured before this time is being dropped
UPDATE rollup_cursor SET kept = greatest(kept, %(cutoff)s);

-- has_chunks: whether readings lie in chunks that can be dropped as a whole
SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') AS chunks;

-- drop_chunks: drops the chunks that hold nothing newer; TimescaleDB only
SELECT count(*) AS dropped FROM drop_chunks('reading', older_than => %(cutoff)s::timestamptz);

-- all_series: the number of each series after one, in order
SELECT id FROM series WHERE id > %(after)s ORDER BY id LIMIT %(most)s;

-- delete_readings: the old readings of some series; plain PostgreSQL
DELETE FROM reading WHERE series_id = ANY(%(series)s::integer[]) AND time < %(cutoff)s;

-- prune_batches: takes batches away that detection and rollups have passed
DELETE FROM batch
 WHERE xact < (SELECT least(d.xact, r.xact) FROM detection_cursor d, rollup_cursor r) AND stored_at < %(before)s;

-- prune_heartbeats: forgets processes that have not been seen for long; a gateway is known by its client id and stays
DELETE FROM heartbeat WHERE at < %(before)s AND part <> 'gateway';
