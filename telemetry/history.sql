-- batches_after: committed batches after a cursor, none of which can be overtaken any more
SELECT xact::text::bigint AS xact, readings, devices, first_times, last_times, stored_at
  FROM batch
 WHERE xact > %(cursor)s::text::xid8 AND xact < pg_snapshot_xmin(pg_current_snapshot())
 ORDER BY xact
 LIMIT %(most)s;

-- readings_between: good readings of each series within its own span, binary
COPY (
    SELECT r.series_id, r.time, r.value
      FROM unnest(%(series)s::integer[], %(starts)s::timestamptz[], %(ends)s::timestamptz[]) AS want (id, start_at, end_at)
      JOIN reading r ON r.series_id = want.id AND r.time >= want.start_at AND r.time < want.end_at
     WHERE r.quality = 0
) TO STDOUT (FORMAT binary);

-- series_of: all series of some devices
SELECT id, device_id, signal FROM series WHERE device_id = ANY(%(devices)s) ORDER BY id;
