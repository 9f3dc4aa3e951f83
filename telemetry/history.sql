-- batches_after: committed batches after a cursor, none of which can be overtaken any more
SELECT xact::text::bigint AS xact, readings, devices, first_times, last_times, stored_at
  FROM batch
 WHERE xact > %(cursor)s::text::xid8 AND xact < pg_snapshot_xmin(pg_current_snapshot())
 ORDER BY xact
 LIMIT %(most)s;

-- readings_between: readings of each series within its own span, binary; without those whose time is not the device's
COPY (
    SELECT r.series_id, r.time, r.value, r.quality
      FROM unnest(%(series)s::integer[], %(starts)s::timestamptz[], %(ends)s::timestamptz[]) AS want (id, start_at, end_at)
      JOIN reading r ON r.series_id = want.id AND r.time >= want.start_at AND r.time < want.end_at
     WHERE r.quality IN (0, 1)
) TO STDOUT (FORMAT binary);

-- series_of: all series of some devices
SELECT id, device_id, signal FROM series WHERE device_id = ANY(%(devices)s) ORDER BY id;

-- spans_of_profile: devices of a profile that measured anything since a time, and those that never did but spoke since then: first and last
SELECT d.id, d.name, min(f.time) AS first, max(l.time) AS last, false AS eventful
  FROM device d
  JOIN series s ON s.device_id = d.id
  CROSS JOIN LATERAL (SELECT r.time FROM reading r WHERE r.series_id = s.id AND r.time >= %(since)s ORDER BY r.time LIMIT 1) f
  CROSS JOIN LATERAL (SELECT r.time FROM reading r WHERE r.series_id = s.id ORDER BY r.time DESC LIMIT 1) l
 WHERE d.profile = %(profile)s
 GROUP BY d.id, d.name
UNION ALL
SELECT d.id, d.name, f.time, l.time, true
  FROM device d
  CROSS JOIN LATERAL (SELECT e.time FROM device_event e WHERE e.device_id = d.id AND e.kind <> 'maintenance' AND e.time >= %(since)s
                       ORDER BY e.time LIMIT 1) f
  CROSS JOIN LATERAL (SELECT e.time FROM device_event e WHERE e.device_id = d.id ORDER BY e.time DESC LIMIT 1) l
 WHERE d.profile = %(profile)s
   AND NOT EXISTS (SELECT FROM series s CROSS JOIN LATERAL (SELECT FROM reading r WHERE r.series_id = s.id LIMIT 1) r
                    WHERE s.device_id = d.id)
 ORDER BY name;

-- first_words: when some devices first said anything of themselves, as far as it is to be looked at; maintenance is told of them by others
SELECT want.id, f.time
  FROM unnest(%(devices)s::integer[], %(upto)s::bigint[]) AS want (id, upto)
  CROSS JOIN LATERAL (SELECT e.time FROM device_event e WHERE e.device_id = want.id AND e.kind <> 'maintenance'
                         AND e.xact <= want.upto::text::xid8 ORDER BY e.time LIMIT 1) f;

-- happenings: error codes, and components that were replaced or repaired, of each device within its own span; what came later than it should have, since a look, too
SELECT e.device_id, e.time, e.kind, CASE e.kind WHEN 'error' THEN e.code ELSE e.detail ->> 'component' END AS what
  FROM unnest(%(devices)s::integer[], %(starts)s::timestamptz[], %(ends)s::timestamptz[], %(seen)s::bigint[], %(upto)s::bigint[])
       AS want (id, start_at, end_at, seen, upto)
  JOIN device_event e ON e.device_id = want.id AND e.time < want.end_at
 WHERE (e.time >= want.start_at OR e.xact > want.seen::text::xid8)
   AND e.xact <= want.upto::text::xid8
   AND (e.kind = 'error' AND e.code <> ''
        OR e.kind = 'maintenance' AND e.detail ? 'component' AND e.detail ->> 'work' IS DISTINCT FROM 'inspected')
 ORDER BY e.time;

-- seen_now: the newest transaction that none can overtake any more
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1 AS seen;

-- attributes_of: what is known of some devices: their registered model and firmware, and the newest of what they said themselves
SELECT d.id, d.model, d.firmware,
       coalesce((SELECT jsonb_object_agg(a.name, a.value) FROM (
           SELECT DISTINCT ON (name) name, value FROM device_attribute WHERE device_id = d.id ORDER BY name, since DESC
       ) a), '{}') AS said
  FROM device d WHERE d.id = ANY(%(devices)s);
