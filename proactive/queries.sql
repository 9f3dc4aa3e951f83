-- changed_findings: findings that triage has not seen in their present form, oldest first, with device and customer
SELECT f.id, f.device_id, f.kind, f.component, f.failure_mode, f.severity, f.opened_at, f.closed_at, f.began_at,
       f.because, f.score, f.changed_at, f.withdrawn, d.name AS device, d.profile, d.model, seen.ticket_id AS earlier_ticket,
       seen.finding_id IS NOT NULL AS seen,
       c.id AS customer_id, c.name AS customer, c.email, c.language, c.time_zone, c.consent
  FROM finding f
  JOIN device d ON d.id = f.device_id
  LEFT JOIN customer c ON c.id = d.customer_id
  LEFT JOIN ticket_finding seen ON seen.finding_id = f.id
 WHERE seen.finding_id IS NULL OR seen.seen_change < f.changed_at
 ORDER BY f.changed_at, f.id
 LIMIT %(most)s;

-- living_ticket: the ticket of a fault that is not closed, locked
SELECT id, state, resolution, solved_at, severity FROM ticket
 WHERE device_id = %(device_id)s AND component = %(component)s AND failure_mode = %(failure_mode)s AND state <> 'closed'
   FOR UPDATE;

-- open_ticket: a new ticket, or no row where the same fault has a living one
INSERT INTO ticket (device_id, component, failure_mode, state, severity, subject, opened_at, changed_at)
VALUES (%(device_id)s, %(component)s, %(failure_mode)s, 'new', %(severity)s, %(subject)s, %(at)s, %(at)s)
ON CONFLICT (device_id, component, failure_mode) WHERE state <> 'closed' DO NOTHING
RETURNING id;

-- remember_decision: what triage decided about a finding, and which of its changes it saw
INSERT INTO ticket_finding (finding_id, ticket_id, seen_change, decision)
VALUES (%(finding_id)s, %(ticket_id)s, %(seen_change)s, %(decision)s)
ON CONFLICT (finding_id) DO UPDATE
   SET ticket_id = coalesce(excluded.ticket_id, ticket_finding.ticket_id), seen_change = excluded.seen_change,
       decision = excluded.decision;

-- ticket_for_update: state of one ticket, locked
SELECT id, state, resolution, solved_at, assignee FROM ticket WHERE id = %(id)s FOR UPDATE;

-- set_standing: state, resolution and their time
UPDATE ticket SET state = %(state)s, resolution = %(resolution)s, solved_at = %(solved_at)s, changed_at = %(at)s
 WHERE id = %(id)s;

-- set_assignee: who works on a ticket
UPDATE ticket SET assignee = %(assignee)s, changed_at = %(at)s WHERE id = %(id)s;

-- touch_ticket: a ticket got a new timeline entry
UPDATE ticket SET changed_at = %(at)s WHERE id = %(id)s;

-- add_entry: one timeline entry
INSERT INTO timeline_entry (ticket_id, at, kind, actor, summary, detail)
VALUES (%(ticket_id)s, %(at)s, %(kind)s, %(actor)s, %(summary)s, %(detail)s);

-- add_notice: one message in the outbox; none where the key was used before
INSERT INTO notice (ticket_id, step, channel, idempotency_key, recipient, language, subject, body_text, body_html,
                    state, reason, created_at, due_at)
VALUES (%(ticket_id)s, %(step)s, %(channel)s, %(key)s, %(recipient)s, %(language)s, %(subject)s, %(text)s, %(html)s,
        'due', %(reason)s, %(at)s, %(due_at)s)
ON CONFLICT (idempotency_key) DO NOTHING
RETURNING id;

-- cancel_notices: what has not left stays here
UPDATE notice SET state = 'cancelled', reason = %(reason)s WHERE ticket_id = %(ticket_id)s AND state = 'due'
RETURNING id;

-- claim_notice: the next due notice, marked as leaving
UPDATE notice SET state = 'sending', attempts = attempts + 1, claimed_at = %(now)s
 WHERE id = (SELECT id FROM notice WHERE state = 'due' AND due_at <= %(now)s
              ORDER BY due_at, id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id, ticket_id, channel, idempotency_key, recipient, language, subject, body_text, body_html, attempts;

-- notice_sent: the far end took it
UPDATE notice SET state = 'sent', sent_at = %(at)s, receipt = %(receipt)s, reason = '' WHERE id = %(id)s;

-- notice_again: try it later
UPDATE notice SET state = 'due', due_at = %(due_at)s, reason = %(reason)s WHERE id = %(id)s;

-- notice_failed: given up
UPDATE notice SET state = 'failed', reason = %(reason)s WHERE id = %(id)s;

-- interrupted_notices: claimed long ago by a process that never told how it went
UPDATE notice SET state = 'failed', reason = %(reason)s
 WHERE state = 'sending' AND claimed_at < %(before)s
RETURNING id, ticket_id, recipient;

-- long_solved: tickets that may be closed for good
SELECT id FROM ticket WHERE state = 'solved' AND solved_at < %(before)s ORDER BY id LIMIT 500;

-- confirmed_faults: faults that were there, by what became of their tickets; from when to when they showed, as a ticket may be solved
-- long after the repair
SELECT d.name AS device, t.component, coalesce(min(f.began_at), t.opened_at) AS began_at,
       CASE WHEN bool_and(f.closed_at IS NOT NULL) FILTER (WHERE f.id IS NOT NULL)
            THEN least(t.solved_at, max(f.closed_at)) ELSE t.solved_at END AS ended_at
  FROM ticket t
  JOIN device d ON d.id = t.device_id
  LEFT JOIN ticket_finding l ON l.ticket_id = t.id
  LEFT JOIN finding f ON f.id = l.finding_id AND f.withdrawn = ''
 WHERE d.profile = %(profile)s AND t.resolution IN ('confirmed', 'already_fixed') AND t.solved_at IS NOT NULL
 GROUP BY t.id, d.id
 ORDER BY ended_at, t.id;
