-- beat: one sign of life
INSERT INTO heartbeat (part, instance, at, detail) VALUES (%(part)s, %(instance)s, %(at)s, %(detail)s)
ON CONFLICT (part, instance) DO UPDATE SET at = excluded.at, detail = excluded.detail;

-- beats: the last sign of life of each
SELECT part, instance, at, detail FROM heartbeat ORDER BY part, instance;
