-- live_findings: what was found on some components of a profile's devices since a time, or was open then
SELECT f.device_id AS device, f.component, f.opened_at, f.closed_at, f.stored_at
  FROM finding f JOIN device d ON d.id = f.device_id
 WHERE d.profile = %(profile)s AND f.kind = 'degradation' AND f.component = ANY(%(components)s)
   AND (f.stored_at >= %(since)s OR f.closed_at IS NULL OR f.changed_at >= %(since)s);

-- shadow_findings: what a shadow found
SELECT device_id AS device, component, opened_at, closed_at, stored_at
  FROM shadow_finding WHERE model_id = %(model)s;

-- verdicts: how tickets about a profile's devices ended since a time
SELECT t.device_id AS device, t.component, t.opened_at, t.solved_at, t.resolution
  FROM ticket t JOIN device d ON d.id = t.device_id
 WHERE d.profile = %(profile)s AND t.solved_at >= %(since)s AND t.resolution IN ('confirmed', 'no_fault_found');

-- judged_days: for how many days in all a profile's devices were heard since a time, those that only send events by their newest one
SELECT coalesce(sum(extract(epoch FROM least(h.heard_at, %(until)s) - greatest(d.created_at, %(since)s))), 0)::float8 / 86400 AS days
  FROM device d
  JOIN judged j ON j.device_id = d.id
  CROSS JOIN LATERAL (SELECT coalesce(j.heard_at, j.spoke_at) AS heard_at) h
 WHERE d.profile = %(profile)s AND h.heard_at > greatest(d.created_at, %(since)s);

-- opened_by: how the tickets ended that a model's findings opened since a time; of one that only sets thresholds, the findings of the detectors it sets them for
SELECT count(*) AS tickets,
       count(*) FILTER (WHERE t.resolution = 'confirmed') AS confirmed,
       count(*) FILTER (WHERE t.resolution = 'no_fault_found') AS no_fault_found
  FROM ticket t
  JOIN device d ON d.id = t.device_id
  JOIN LATERAL (SELECT f.* FROM ticket_finding l JOIN finding f ON f.id = l.finding_id
                 WHERE l.ticket_id = t.id ORDER BY f.id LIMIT 1) f ON true
 WHERE d.profile = %(profile)s AND t.opened_at >= %(since)s AND f.stored_at >= %(since)s AND f.kind = 'degradation'
   AND CASE WHEN %(learnt)s THEN f.detector = %(detector)s AND f.version = %(version)s ELSE f.detector <> %(detector)s END;

-- performance: of each detector and version: findings, how the tickets ended that they opened, and how long before its end the first finding of a confirmed one came
SELECT d.profile, f.detector, f.version, count(*) AS findings,
       count(*) FILTER (WHERE first.id IS NOT NULL AND t.resolution = 'confirmed') AS confirmed,
       count(*) FILTER (WHERE first.id IS NOT NULL AND t.resolution = 'no_fault_found') AS no_fault_found,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY t.solved_at - f.opened_at)
           FILTER (WHERE first.id IS NOT NULL AND t.resolution = 'confirmed') AS ahead,
       max(f.stored_at) AS newest
  FROM finding f
  JOIN device d ON d.id = f.device_id
  LEFT JOIN ticket_finding l ON l.finding_id = f.id
  LEFT JOIN ticket t ON t.id = l.ticket_id
  LEFT JOIN LATERAL (SELECT f.id WHERE f.id = (SELECT min(o.finding_id) FROM ticket_finding o WHERE o.ticket_id = t.id)) first ON true
 WHERE f.kind IN ('degradation', 'limit') AND (%(profile)s::text IS NULL OR d.profile = %(profile)s)
 GROUP BY d.profile, f.detector, f.version
 ORDER BY d.profile, newest DESC;
