-- tickets: one page of tickets with device, customer, newest finding and newest notice. `urgent_first` sorts for the queue: what needs a person, then severity, then newest; else by id, newest first. A cursor is the sort key of the last row seen.
WITH ranked AS (
    SELECT t.*, d.name AS device, d.profile, d.customer_id,
           CASE WHEN NOT %(urgent_first)s THEN 0
                WHEN t.state IN ('new', 'open') THEN 0
                WHEN t.state IN ('pending', 'on_hold') THEN 1
                WHEN t.state = 'solved' THEN 2 ELSE 3 END AS need,
           CASE WHEN NOT %(urgent_first)s THEN 0
                ELSE coalesce(array_position(ARRAY['critical', 'major', 'minor', 'warning'], t.severity), 5) END AS rank
    FROM ticket t JOIN device d ON d.id = t.device_id
    WHERE (%(states)s::text[] IS NULL OR t.state = ANY (%(states)s))
      AND (%(severity)s::text IS NULL OR t.severity = %(severity)s)
      AND (%(device)s::text IS NULL OR d.name = %(device)s)
      AND (%(id)s::bigint IS NULL OR t.id = %(id)s)
),
page AS (
    SELECT * FROM ranked
    WHERE %(after_id)s::bigint IS NULL
       OR (need, rank, -id) > (%(after_need)s::int, %(after_rank)s::int, -%(after_id)s::bigint)
    ORDER BY need, rank, id DESC
    LIMIT %(limit)s
)
SELECT p.id, p.device, p.profile, p.component, p.failure_mode, p.state, p.resolution, p.severity, p.assignee, p.subject,
       p.opened_at, p.changed_at, p.solved_at, p.need, p.rank,
       c.name AS customer, c.time_zone,
       (SELECT min(f.began_at) FROM ticket_finding l JOIN finding f ON f.id = l.finding_id
        WHERE l.ticket_id = p.id) AS since,
       n.state AS notice_state, n.channel AS notice_channel, n.due_at AS notice_due_at, n.sent_at AS notice_sent_at,
       n.attempts AS notice_attempts, n.reason AS notice_reason,
       r.extended_at, r.closed_at, r.remaining_p10_d, r.remaining_p50_d, r.remaining_p90_d
FROM page p
LEFT JOIN customer c ON c.id = p.customer_id
LEFT JOIN LATERAL (SELECT f.* FROM ticket_finding l JOIN finding f ON f.id = l.finding_id
                   WHERE l.ticket_id = p.id ORDER BY f.id DESC LIMIT 1) r ON true
LEFT JOIN LATERAL (SELECT * FROM notice n WHERE n.ticket_id = p.id ORDER BY n.id DESC LIMIT 1) n ON true
ORDER BY p.need, p.rank, p.id DESC;

-- ticket_counts: how many tickets there are by state and severity.
SELECT state, severity, count(*) AS tickets FROM ticket GROUP BY state, severity;

-- timeline: what happened to a ticket, newest first.
SELECT id, at, kind, actor, summary, detail FROM timeline_entry WHERE ticket_id = %(ticket)s ORDER BY id DESC;

-- devices: one page of devices by name, with customer, last reading and living tickets.
WITH page AS (
    SELECT d.*, c.name AS customer, c.time_zone
    FROM device d LEFT JOIN customer c ON c.id = d.customer_id
    WHERE (%(name)s::text IS NULL OR d.name = %(name)s)
      AND (%(after)s::text IS NULL OR d.name > %(after)s)
      AND (%(profile)s::text IS NULL OR d.profile = %(profile)s)
      AND (%(search)s::text IS NULL
           OR strpos(lower(concat_ws(' ', d.name, d.serial, d.model, d.site, d.address, c.name)), lower(%(search)s)) > 0)
    ORDER BY d.name
    LIMIT %(limit)s
)
SELECT p.id, p.name, p.profile, p.customer, p.model, p.serial, p.firmware, p.site, p.address, p.status, p.status_at,
       p.clock_skew_s, p.created_at, coalesce(p.time_zone, 'UTC') AS time_zone,
       (SELECT max(last.time) FROM series s CROSS JOIN LATERAL
            (SELECT r.time FROM reading r WHERE r.series_id = s.id ORDER BY r.time DESC LIMIT 1) last
        WHERE s.device_id = p.id) AS last_reading_at,
       (SELECT count(*) FROM ticket t WHERE t.device_id = p.id AND t.state NOT IN ('solved', 'closed')) AS living_tickets,
       j.until AS judged_until, worst.component AS worst_component, worst.health AS worst_health
FROM page p LEFT JOIN judged j ON j.device_id = p.id
LEFT JOIN LATERAL (SELECT h.component, h.health FROM component_health h WHERE h.device_id = p.id AND h.health IS NOT NULL
                   ORDER BY h.health, h.component LIMIT 1) worst ON true
ORDER BY p.name;

-- component_health: the condition of a device's components, the worst first, those not known last.
SELECT h.component, h.health, h.at, h.since FROM component_health h JOIN device d ON d.id = h.device_id
WHERE d.name = %(device)s ORDER BY h.health NULLS LAST, h.component;

-- latest_readings: the newest reading of each signal of a device.
SELECT s.signal, last.time, last.value, last.quality
FROM device d JOIN series s ON s.device_id = d.id
CROSS JOIN LATERAL (SELECT r.time, r.value, r.quality FROM reading r WHERE r.series_id = s.id
                    ORDER BY r.time DESC LIMIT 1) last
WHERE d.name = %(device)s
ORDER BY s.signal;

-- series: the number of one signal of a device; no row when the device is unknown, a NULL id when it never sent the signal. `kept`: what was measured before it is dropped.
SELECT d.profile, s.id, (SELECT kept FROM rollup_cursor) AS kept
FROM device d LEFT JOIN series s ON s.device_id = d.id AND s.signal = %(signal)s
WHERE d.name = %(device)s;

-- raw_readings: readings of a series as measured, times in ms since epoch. Stops after `limit`.
SELECT (extract(epoch FROM time) * 1000)::bigint AS time, value
FROM reading
WHERE series_id = %(series)s AND time >= %(start)s AND time < %(stop)s
ORDER BY reading.time
LIMIT %(limit)s;

-- bucketed_readings: least, greatest and mean value of a series in each bucket that has readings; time is the bucket's start.
SELECT (extract(epoch FROM bucket) * 1000)::bigint AS time, least, greatest, mean, readings
FROM (
    SELECT date_bin(%(width)s, time, %(start)s) AS bucket,
           min(value) AS least, max(value) AS greatest, avg(value) AS mean, count(*) AS readings
    FROM reading
    WHERE series_id = %(series)s AND time >= %(start)s AND time < %(stop)s
    GROUP BY 1
) b
ORDER BY bucket;

-- bucketed_modes: of a series of modes, the value that most readings of each bucket have, of several the one measured last; time is the bucket's start.
SELECT DISTINCT ON (bucket) (extract(epoch FROM bucket) * 1000)::bigint AS time, value
FROM (
    SELECT date_bin(%(width)s, time, %(start)s) AS bucket, value, count(*) AS readings, max(time) AS last
    FROM reading
    WHERE series_id = %(series)s AND time >= %(start)s AND time < %(stop)s
    GROUP BY 1, 2
) b
ORDER BY bucket, readings DESC, last DESC;

-- bucketed_hours: as bucketed_readings for buckets of whole hours, from hourly rows; the newest hour, which may grow, and what follows it from readings.
WITH edge AS (
    SELECT coalesce((SELECT max(hour) FROM reading_hour WHERE series_id = %(series)s), '-infinity') AS at
),
part AS (
    SELECT h.hour AS time, h.least, h.greatest, h.mean * h.readings AS total, h.readings
    FROM reading_hour h, edge
    WHERE h.series_id = %(series)s AND h.hour >= date_bin('1 hour', %(start)s, '2000-01-01Z') AND h.hour < %(stop)s
      AND h.hour < edge.at
    UNION ALL
    SELECT r.time, r.value, r.value, r.value, 1
    FROM reading r, edge
    WHERE r.series_id = %(series)s AND r.time >= greatest(%(start)s, edge.at) AND r.time < %(stop)s
)
SELECT (extract(epoch FROM bucket) * 1000)::bigint AS time, least, greatest, mean, readings
FROM (
    SELECT date_bin(%(width)s, time, date_bin('1 hour', %(start)s, '2000-01-01Z')) AS bucket, min(least) AS least,
           max(greatest) AS greatest, sum(total) / sum(readings) AS mean, sum(readings) AS readings
    FROM part
    GROUP BY 1
) b
ORDER BY bucket;

-- bucketed_mode_hours: as bucketed_modes for buckets of whole hours, from hourly rows; what bucketed_hours takes from readings, and hours that know no mode, from readings.
WITH edge AS (
    SELECT coalesce((SELECT max(hour) FROM reading_hour WHERE series_id = %(series)s), '-infinity') AS at
),
past AS (
    SELECT h.hour, h.mode, h.mode_readings
    FROM reading_hour h, edge
    WHERE h.series_id = %(series)s AND h.hour >= date_bin('1 hour', %(start)s, '2000-01-01Z') AND h.hour < %(stop)s
      AND h.hour < edge.at
),
part AS (
    SELECT hour AS time, mode AS value, mode_readings AS readings FROM past WHERE mode IS NOT NULL
    UNION ALL
    SELECT r.time, r.value, 1
    FROM past p JOIN reading r ON r.series_id = %(series)s AND r.time >= p.hour AND r.time < p.hour + interval '1 hour'
    WHERE p.mode IS NULL
    UNION ALL
    SELECT r.time, r.value, 1
    FROM reading r, edge
    WHERE r.series_id = %(series)s AND r.time >= greatest(%(start)s, edge.at) AND r.time < %(stop)s
)
SELECT DISTINCT ON (bucket) (extract(epoch FROM bucket) * 1000)::bigint AS time, value
FROM (
    SELECT date_bin(%(width)s, time, date_bin('1 hour', %(start)s, '2000-01-01Z')) AS bucket, value,
           sum(readings) AS readings, max(time) AS last
    FROM part
    GROUP BY 1, 2
) b
ORDER BY bucket, readings DESC, last DESC;

-- findings: one page of findings, newest first.
SELECT f.id, d.name AS device, d.profile, f.kind, f.component, f.failure_mode, f.severity, f.detector, f.version,
       f.began_at, f.opened_at, f.extended_at, f.closed_at, f.score, f.peak_score, f.because, f.evidence,
       f.withdrawn, f.remaining_p10_d, f.remaining_p50_d, f.remaining_p90_d, l.ticket_id AS ticket
FROM finding f
JOIN device d ON d.id = f.device_id
LEFT JOIN ticket_finding l ON l.finding_id = f.id
WHERE (%(device)s::text IS NULL OR d.name = %(device)s)
  AND (%(kind)s::text IS NULL OR f.kind = %(kind)s)
  AND (%(open)s::boolean IS NULL OR (f.closed_at IS NULL) = %(open)s)
  AND (%(ticket)s::bigint IS NULL OR l.ticket_id = %(ticket)s)
  AND (%(after)s::bigint IS NULL OR f.id < %(after)s)
ORDER BY f.id DESC
LIMIT %(limit)s;

-- notices: one page of notices, newest first.
SELECT n.id, n.ticket_id AS ticket, d.name AS device, n.step, n.channel, n.recipient, n.language, n.subject, n.body_text,
       n.state, n.reason, n.created_at, n.due_at, n.attempts, n.sent_at, n.receipt,
       coalesce(c.time_zone, 'UTC') AS time_zone
FROM notice n
JOIN ticket t ON t.id = n.ticket_id
JOIN device d ON d.id = t.device_id
LEFT JOIN customer c ON c.id = d.customer_id
WHERE (%(state)s::text IS NULL OR n.state = %(state)s)
  AND (%(ticket)s::bigint IS NULL OR n.ticket_id = %(ticket)s)
  AND (%(after)s::bigint IS NULL OR n.id < %(after)s)
ORDER BY n.id DESC
LIMIT %(limit)s;

-- dead_letters: one page of dead letters, newest first.
SELECT id, received_at, topic, payload, payload_bytes, reason, detail, tried_at, left_because
FROM dead_letter
WHERE (%(reason)s::text IS NULL OR reason = %(reason)s)
  AND (%(after)s::bigint IS NULL OR id < %(after)s)
ORDER BY id DESC
LIMIT %(limit)s;

-- dead_letter_counts: how many dead letters there are of each reason, and the first and last time of receipt.
SELECT reason, count(*) AS letters, min(received_at) AS first, max(received_at) AS last
FROM dead_letter GROUP BY reason ORDER BY letters DESC, reason;

-- device_events: one page of a device's events, newest first. A cursor is the key of the last row seen.
SELECT e.time, e.received_at, e.kind, e.code, e.detail
FROM device d JOIN device_event e ON e.device_id = d.id
WHERE d.name = %(device)s
  AND (%(kind)s::text IS NULL OR e.kind = %(kind)s)
  AND (%(start)s::timestamptz IS NULL OR e.time >= %(start)s)
  AND (%(stop)s::timestamptz IS NULL OR e.time < %(stop)s)
  AND (%(after_time)s::timestamptz IS NULL
       OR (e.time, e.kind, e.code) < (%(after_time)s::timestamptz, %(after_kind)s::text, %(after_code)s::text))
ORDER BY e.time DESC, e.kind DESC, e.code DESC
LIMIT %(limit)s;

-- device_attributes: what a device said of itself, by name, the newest value of each first.
SELECT a.name, a.value, a.since, lead(a.since) OVER (PARTITION BY a.name ORDER BY a.since) AS until
FROM device d JOIN device_attribute a ON a.device_id = d.id
WHERE d.name = %(device)s
ORDER BY a.name, a.since DESC;

-- totals: the numbers that `/metrics` shows.
SELECT (SELECT count(*) FROM ticket WHERE state NOT IN ('solved', 'closed')) AS open_tickets,
       (SELECT count(*) FROM notice WHERE state = 'due') AS due_notices,
       (SELECT count(*) FROM dead_letter) AS dead_letters;

-- token_by_hash: the living token with this hash.
SELECT id, name, role FROM api_token WHERE sha256 = %(sha256)s AND revoked_at IS NULL;

-- token_by_id: the living token with this number.
SELECT id, name, role FROM api_token WHERE id = %(id)s AND revoked_at IS NULL;

-- token_create: a new token; no row when the name is taken.
INSERT INTO api_token (name, role, sha256, created_at) VALUES (%(name)s, %(role)s, %(sha256)s, %(now)s)
ON CONFLICT (name) DO NOTHING RETURNING id;

-- token_list: all tokens, revoked ones too.
SELECT name, role, created_at, revoked_at FROM api_token ORDER BY name;

-- token_revoke: ends a token; no row when there is no such token.
UPDATE api_token SET revoked_at = coalesce(revoked_at, %(now)s) WHERE name = %(name)s RETURNING revoked_at;
