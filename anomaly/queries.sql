-- take_cursor: the cursor, locked for this turn; no row while another process has it
SELECT xact::text::bigint AS xact, turn FROM detection_cursor FOR UPDATE SKIP LOCKED;

-- move_cursor: the end of a turn
UPDATE detection_cursor SET xact = %(xact)s::text::xid8, turn = turn + 1 RETURNING turn;

-- devices: profile of some devices, up to which time they are judged, and which events were seen
SELECT d.id, d.profile, j.until, coalesce(j.events_xact, '0')::text::bigint AS seen FROM device d LEFT JOIN judged j ON j.device_id = d.id
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
   SET until = greatest(judged.until, excluded.until), heard_at = greatest(judged.heard_at, excluded.heard_at),
       events_xact = excluded.events_xact;

-- open_finding: a new finding; none where the same is open
INSERT INTO finding (device_id, kind, component, failure_mode, severity, detector, version, began_at, opened_at,
                     extended_at, score, peak_score, because, evidence, stored_at, changed_at,
                     remaining_p10_d, remaining_p50_d, remaining_p90_d)
VALUES (%(device)s, %(kind)s, %(component)s, %(failure_mode)s, %(severity)s, %(detector)s, %(version)s, %(began_at)s,
        %(at)s, %(at)s, %(score)s, %(score)s, %(because)s, %(evidence)s, %(now)s, %(now)s,
        %(p10)s, %(p50)s, %(p90)s)
ON CONFLICT (device_id, component, failure_mode) WHERE closed_at IS NULL DO NOTHING;

-- extend_finding: it goes on
UPDATE finding SET extended_at = %(at)s, score = %(score)s, peak_score = greatest(peak_score, %(score)s),
                   evidence = %(evidence)s, remaining_p10_d = %(p10)s, remaining_p50_d = %(p50)s, remaining_p90_d = %(p90)s
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
