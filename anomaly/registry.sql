-- lock_profile: one change of a profile's models at a time
SELECT pg_advisory_xact_lock(hashtext('model of ' || %(profile)s));

-- versions_of_day: how many versions of a profile's models there are of a day
SELECT count(*) AS versions FROM model WHERE profile = %(profile)s AND starts_with(version, %(day)s);

-- add_model: a new model, as a shadow
INSERT INTO model (profile, version, profile_hash, stage, created_at, staged_at, staged_by, reason, card, packed, sha256)
VALUES (%(profile)s, %(version)s, %(profile_hash)s, 'shadow', %(now)s, %(now)s, %(actor)s, %(reason)s, %(card)s, %(packed)s, %(sha256)s)
RETURNING id;

-- list_models: all models or those of a profile, newest first
SELECT id, profile, version, profile_hash, stage, created_at, staged_at, staged_by, reason, card
  FROM model WHERE %(profile)s::text IS NULL OR profile = %(profile)s ORDER BY created_at DESC, id DESC;

-- in_use: which models are live or shadow
SELECT id, profile, stage FROM model WHERE stage <> 'retired';

-- learnt_for: the hash of what a model rests on
SELECT profile_hash FROM model WHERE id = %(id)s;

-- load_model: the bytes of a model and their hash
SELECT packed, sha256 FROM model WHERE id = %(id)s;

-- set_stage: a model's new stage
UPDATE model SET stage = %(stage)s, staged_at = %(now)s, staged_by = %(actor)s, reason = %(reason)s WHERE id = %(id)s;

-- add_change: who gave a model which stage, when and why, and whose place it took
INSERT INTO model_change (model_id, at, stage, actor, reason, instead_of)
VALUES (%(id)s, %(now)s, %(stage)s, %(actor)s, %(reason)s, %(instead_of)s);

-- changes: which stages a model had, newest first
SELECT c.at, c.stage, c.actor, c.reason, b.version AS instead_of
  FROM model_change c LEFT JOIN model b ON b.id = c.instead_of
 WHERE c.model_id = %(id)s ORDER BY c.id DESC;

-- save_drift: the newest look at what a model is shown
INSERT INTO model_drift (model_id, at, found) VALUES (%(id)s, %(now)s, %(found)s)
ON CONFLICT (model_id) DO UPDATE SET at = excluded.at, found = excluded.found;

-- drift: the newest look at what a model is shown
SELECT at, found FROM model_drift WHERE model_id = %(id)s;
