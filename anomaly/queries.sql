-- take_cursor: the cursor, locked for this turn; no row while another process has it
SELECT xact::text::bigint AS xact, turn FROM detection_cursor FOR UPDATE SKIP LOCKED;

-- move_cursor: the end of a turn
UPDATE detection_cursor SET xact = %(xact)s::text::xid8, turn = turn + 1 RETURNING turn;

-- devices: profile of some devices, up to which time they are judged, which events were seen, and whether they were judged by events alone
SELECT d.id, d.profile, j.until, coalesce(j.events_xact, '0')::text::bigint AS seen, j.spoke_at IS NOT NULL AS eventful FROM device d LEFT JOIN judged j ON j.device_id = d.id
 WHERE d.id = ANY(%(devices)s) ORDER BY d.id;

-- states: stored detector states of some devices
SELECT device_id, detector, version, state FROM detector_state WHERE device_id = ANY(%(devices)s);

-- save_state: one detector's state of one device
INSERT INTO detector_state (device_id, detector, version, state)
VALUES (%(device)s, %(detector)s, %(version)s, %(state)s)
ON CONFLICT (device_id, detector) DO UPDATE SET version = excluded.version, state = excluded.state;

-- save_judged: up to which time a device is judged, which events were seen, and when it was last heard
INSERT INTO judged (device_id, until, heard_at, events_xact)
VALUES (%(device)s, %(until)s, %(heard_at)s, %(seen)s::bigint::text::xid8)
ON CONFLICT (device_id) DO UPDATE
   SET until = excluded.until, heard_at = greatest(judged.heard_at, excluded.heard_at),
       events_xact = excluded.events_xact, spoke_at = NULL;

-- spoken: devices that never measured anything and of which events were stored after a transaction, and those whose newest event lies in a tick that is over by now and not judged yet
WITH new AS (
    SELECT device_id, min(time) AS first, min(time) FILTER (WHERE kind <> 'maintenance') AS own, max(time) AS last
      FROM device_event WHERE xact > %(after)s::text::xid8 AND xact <= %(upto)s::text::xid8
     GROUP BY device_id
),
-- Few at any time, and found by their own index: a look at all devices each turn would cost a large fleet dear.
waiting AS MATERIALIZED (SELECT device_id, until, events_xact, spoke_at FROM judged WHERE spoke_at >= until)
SELECT d.id, d.profile, j.until, coalesce(j.events_xact, '0')::text::bigint AS seen, new.first, new.own,
       greatest(new.last, j.spoke_at) AS last
  FROM new JOIN device d ON d.id = new.device_id LEFT JOIN judged j ON j.device_id = d.id
 WHERE j.heard_at IS NULL AND (j.device_id IS NOT NULL OR new.own IS NOT NULL)
UNION ALL
SELECT d.id, d.profile, j.until, j.events_xact::text::bigint, NULL, NULL, j.spoke_at
  FROM waiting j
  JOIN device d ON d.id = j.device_id
  JOIN unnest(%(profiles)s::text[], %(before)s::timestamptz[]) AS over (profile, before)
    ON over.profile = d.profile AND j.spoke_at < over.before
 WHERE NOT EXISTS (SELECT FROM new WHERE new.device_id = j.device_id)
 ORDER BY id;

-- save_spoken: up to which time a device that never measured anything is judged, which events were seen, and when it last spoke
INSERT INTO judged (device_id, until, heard_at, events_xact, spoke_at)
VALUES (%(device)s, %(until)s, NULL, %(seen)s::bigint::text::xid8, %(spoke_at)s)
ON CONFLICT (device_id) DO UPDATE
   SET until = excluded.until, events_xact = excluded.events_xact, spoke_at = excluded.spoke_at;

-- forget_states: what is known of some devices
DELETE FROM detector_state WHERE device_id = ANY(%(devices)s);

-- forget_checkpoints: what was known of some devices
DELETE FROM detector_checkpoint WHERE device_id = ANY(%(devices)s);

-- end_shadow: what a shadow would have found of some devices is over at a time of each
UPDATE shadow_finding f SET closed_at = greatest(f.opened_at, want.at)
  FROM unnest(%(devices)s::integer[], %(at)s::timestamptz[]) AS want (id, at)
 WHERE f.device_id = want.id AND f.closed_at IS NULL;

-- open_finding: a new finding; none where the same is open
INSERT INTO finding (device_id, kind, component, failure_mode, severity, detector, version, began_at, opened_at,
                     extended_at, closed_at, score, peak_score, because, evidence, stored_at, changed_at,
                     remaining_p10_d, remaining_p50_d, remaining_p90_d)
VALUES (%(device)s, %(kind)s, %(component)s, %(failure_mode)s, %(severity)s, %(detector)s, %(version)s, %(began_at)s,
        %(at)s, coalesce(%(closed_at)s, %(at)s), %(closed_at)s, %(score)s, %(score)s, %(because)s, %(evidence)s, %(now)s, %(now)s,
        %(p10)s, %(p50)s, %(p90)s)
ON CONFLICT (device_id, component, failure_mode) WHERE closed_at IS NULL DO NOTHING;

-- extend_finding: it goes on
UPDATE finding SET extended_at = %(at)s, score = %(score)s, peak_score = greatest(peak_score, %(score)s),
                   evidence = coalesce(%(evidence)s, evidence), remaining_p10_d = %(p10)s, remaining_p50_d = %(p50)s, remaining_p90_d = %(p90)s
 WHERE device_id = %(device)s AND component = %(component)s AND failure_mode = %(failure_mode)s AND closed_at IS NULL;

-- close_finding: it is over
UPDATE finding SET closed_at = %(at)s, score = %(score)s, changed_at = %(now)s
 WHERE device_id = %(device)s AND component = %(component)s AND failure_mode = %(failure_mode)s AND closed_at IS NULL;

-- listening: when each device was last heard, and whether its silence is an open finding
SELECT d.id, d.profile, j.heard_at, f.id IS NOT NULL AS silent
  FROM judged j
  JOIN device d ON d.id = j.device_id
  LEFT JOIN finding f ON f.device_id = d.id AND f.component = %(component)s AND f.failure_mode = %(failure_mode)s
                     AND f.closed_at IS NULL
 WHERE j.heard_at < %(quiet_since)s OR f.id IS NOT NULL;

-- open_findings: what is open of some devices and was found in their readings
SELECT device_id, kind, component, failure_mode, severity, detector, version, began_at FROM finding
 WHERE device_id = ANY(%(devices)s) AND closed_at IS NULL AND kind <> 'silence';

-- open_shadow: what a shadow would have found
INSERT INTO shadow_finding (model_id, device_id, component, failure_mode, began_at, opened_at, score, because, stored_at)
VALUES (%(model)s, %(device)s, %(component)s, %(failure_mode)s, %(began_at)s, %(at)s, %(score)s, %(because)s, %(now)s)
ON CONFLICT (model_id, device_id, component, failure_mode) WHERE closed_at IS NULL DO NOTHING;

-- close_shadow: it is over
UPDATE shadow_finding SET closed_at = %(at)s
 WHERE model_id = %(model)s AND device_id = %(device)s AND component = %(component)s AND failure_mode = %(failure_mode)s
   AND closed_at IS NULL;

-- save_checkpoint: one detector's state of one device as it was at a time
INSERT INTO detector_checkpoint (device_id, until, detector, version, events_xact, state)
VALUES (%(device)s, %(until)s, %(detector)s, %(version)s, %(seen)s::bigint::text::xid8, %(state)s)
ON CONFLICT (device_id, until, detector)
DO UPDATE SET version = excluded.version, events_xact = excluded.events_xact, state = excluded.state;

-- prune_checkpoints: forgets what is older than the newest that is old enough
DELETE FROM detector_checkpoint c USING unnest(%(devices)s::integer[], %(enough)s::timestamptz[]) AS want (id, enough)
 WHERE c.device_id = want.id
   AND c.until < (SELECT max(o.until) FROM detector_checkpoint o WHERE o.device_id = want.id AND o.until <= want.enough);

-- checkpoints: of each device the newest one that is no later than a time
SELECT c.device_id, c.until, c.events_xact::text::bigint AS seen, c.detector, c.version, c.state
  FROM unnest(%(devices)s::integer[], %(since)s::timestamptz[]) AS want (id, since)
  JOIN detector_checkpoint c ON c.device_id = want.id
   AND c.until = (SELECT max(o.until) FROM detector_checkpoint o WHERE o.device_id = want.id AND o.until <= want.since);

-- findings_since: what was found in the readings of each device, and was open or came after its own time
SELECT f.id, f.device_id, f.component, f.failure_mode, f.opened_at, f.closed_at
  FROM unnest(%(devices)s::integer[], %(since)s::timestamptz[]) AS want (id, since)
  JOIN finding f ON f.device_id = want.id AND (f.closed_at IS NULL OR f.closed_at > want.since)
 WHERE f.kind <> 'silence' AND f.withdrawn = ''
 ORDER BY f.device_id, f.opened_at, f.id;

-- withdraw_finding: it does not hold
UPDATE finding SET closed_at = coalesce(closed_at, %(at)s), withdrawn = %(why)s, changed_at = %(now)s WHERE id = %(id)s;

-- reopen_finding: it closes at another time, or not yet
UPDATE finding SET closed_at = %(closed_at)s, changed_at = %(now)s
 WHERE id = %(id)s AND closed_at IS DISTINCT FROM %(closed_at)s;

-- retell_finding: it opened at another time
UPDATE finding SET detector = %(detector)s, version = %(version)s, began_at = %(began_at)s, opened_at = %(at)s,
                   because = %(because)s, evidence = %(evidence)s, changed_at = %(now)s
 WHERE id = %(id)s AND (detector, version, began_at, opened_at) IS DISTINCT FROM (%(detector)s, %(version)s, %(began_at)s, %(at)s);

-- forget_shadow: takes back what a shadow would have found of a device from a time on
DELETE FROM shadow_finding WHERE model_id = %(model)s AND device_id = %(device)s AND opened_at > %(since)s;

-- reopen_shadow: what it closed from then on is open as before
UPDATE shadow_finding SET closed_at = NULL WHERE model_id = %(model)s AND device_id = %(device)s AND closed_at > %(since)s;

-- save_health: the condition of components; since when is told anew when it becomes known or crosses one half
INSERT INTO component_health AS old (device_id, component, health, at, since)
SELECT device_id, component, health, at, at
  FROM unnest(%(devices)s::integer[], %(components)s::text[], %(health)s::float8[], %(at)s::timestamptz[])
       AS new (device_id, component, health, at)
ON CONFLICT (device_id, component) DO UPDATE
   SET health = excluded.health, at = excluded.at,
       since = CASE WHEN (old.health < 0.5) IS NOT DISTINCT FROM (excluded.health < 0.5) THEN old.since ELSE excluded.at END;
